"""Decoding, in turn with a model on the CPU and ahead of one elsewhere."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.preprocess import Preprocess
from vit.inputs.files import Entry, list_files
from vit.inputs.images import ImageReader, to_image

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
    with ImageReader(GREY, 2, device=torch.device(kind)) as reader:
        for batch in reader.batches(entries()):
            found += [picture.entry for picture in batch]
            assert len(taken) == min(len(found) + ahead, 7)  # while the model works on this batch
    assert found == list(list_files([str(pictures)]))
    assert [picture.status for picture in batch] == ["ok"]


def test_no_file_is_no_batch() -> None:
    with ImageReader(GREY, 3, device=torch.device("cpu")) as reader:
        assert list(reader.batches([])) == []


def test_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    """Files come as the JSON of a job. One that cannot be decoded has zeros. `to_image` is the inverse."""
    color = torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8)
    Image.fromarray(color.numpy()).save(tmp_path / "color.png")
    (tmp_path / "notes.txt").touch()
    rgb = Preprocess(5, 7)
    inputs = json.loads(json.dumps(list(list_files([str(tmp_path)])), default=str))
    with ImageReader(rgb, 3, device=torch.device("cpu")) as reader:
        ((good, bad),) = reader.batches(inputs)
    assert torch.equal(good.pixels, color.permute(2, 0, 1))
    assert (bad.status, bad.pixels.shape, int(bad.pixels.max())) == ("truncated", (3, 5, 7), 0)
    assert torch.equal(torch.from_numpy(np.asarray(to_image(good.pixels)).copy()), color)
    assert to_image(good.pixels[:1]).mode == "L"
