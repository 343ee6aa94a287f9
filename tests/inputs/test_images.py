"""Decoding, in turn with a model on the CPU and ahead of one elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vit.data.preprocess import Preprocess
from vit.inputs.decoding import decoder
from vit.inputs.files import Entry, list_files
from vit.inputs.images import read_batches

GREY = Preprocess(8, 8, 1, (0.5,), (0.5,))


@pytest.mark.parametrize(("kind", "ahead"), [("cpu", 0), ("cuda", 4)])
def test_batches_keep_the_order_and_no_more_is_read_than_needed(
    kind: str, ahead: int, pictures: Path
) -> None:
    taken = []

    def entries() -> Iterator[Entry]:
        for entry in list_files([str(pictures)]):
            taken.append(entry)
            yield entry

    found = []
    with decoder(GREY) as decoding:
        for batch in read_batches(entries(), decoding, 2, device=torch.device(kind)):
            found += [picture.entry for picture in batch]
            assert len(taken) == min(len(found) + ahead, 7)  # while the model works on this batch
    assert found == list(list_files([str(pictures)]))
    assert [picture.status for picture in batch] == ["ok"]


def test_no_file_is_no_batch() -> None:
    with decoder(GREY) as decoding:
        assert list(read_batches([], decoding, 3, device=torch.device("cpu"))) == []
