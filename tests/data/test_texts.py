"""Texts as datasets: parts, labels, batches of like length, word dropout."""

from pathlib import Path

import pytest
import torch

from vit.data.datasets import load_texts
from vit.data.loader import EpochSampler, loader
from vit.data.texts import Sentences, Texts, TokenMasking
from vit.errors import VitError


def write(folder: Path, part: str, rows: list[str], suffix: str = ".tsv") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{part}{suffix}"
    file.write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
    return file


ROWS = [f"{'pos' if i % 2 else 'neg'}\ttext number {i}" for i in range(20)]


def test_parts_are_kept_as_they_come(tmp_path: Path) -> None:
    for part, rows in (("train", ROWS), ("dev", ROWS[:4]), ("test", ROWS[:6])):
        write(tmp_path / "d", part, rows)
    splits = load_texts("text", tmp_path / "d")
    assert [len(part.texts) for part in (splits.train, splits.val, splits.test)] == [20, 4, 6]
    assert splits.labels == ["neg", "pos"]
    assert splits.train.targets.tolist()[:3] == [0, 1, 0]
    assert splits.train.names[0].endswith("train.tsv:2")


def test_one_file_is_divided_class_by_class(tmp_path: Path) -> None:
    splits = load_texts("text", write(tmp_path, "all", ROWS), val_fraction=0.25, test_fraction=0.2)
    assert [len(part.texts) for part in (splits.train, splits.val, splits.test)] == [12, 4, 4]
    assert len({*splits.train.texts, *splits.val.texts, *splits.test.texts}) == 20
    assert splits.test.targets.sum() == 2


def test_sst2_is_found_below_vit_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").mkdir()
    write(tmp_path / "text" / "sst2", "train", ROWS)
    monkeypatch.setenv("VIT_DATA", str(tmp_path))
    assert load_texts("sst2").labels == ["neg", "pos"]


def test_an_empty_text_is_skipped_and_named(tmp_path: Path) -> None:
    splits = load_texts("text", write(tmp_path, "all", [*ROWS, "pos\t  "]))
    assert [name.rpartition(":")[2] for name, _ in splits.skipped] == ["22"]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"train": [*ROWS, "a\tb\tc"]}, r"train.tsv:22 has 3 fields, expected 2"),
        ({"train": ROWS, "test": ["odd\tx"]}, r"test.tsv:2 has the label 'odd', which train has not"),
        ({"train": ["pos\tx", "pos\ty"]}, "at least two different"),
        ({"test": ROWS}, "no training texts, expected one of train.tsv"),
    ],
)
def test_datasets_that_cannot_be_used(tmp_path: Path, parts: dict[str, list[str]], said: str) -> None:
    for part, rows in parts.items():
        write(tmp_path / "d", part, rows)
    with pytest.raises(VitError, match=said):
        load_texts("text", tmp_path / "d")


def texts(lengths: list[int]) -> Texts:
    rows = [torch.arange(1, length + 1) for length in lengths]
    names = [str(length) for length in lengths]
    return Texts(Sentences(names, torch.zeros(len(rows), dtype=torch.int64), names), rows, 0)


def test_a_batch_is_padded_to_its_longest() -> None:
    ids, _, indices = texts([3, 1, 2])[[2, 0]]
    assert ids.tolist() == [[1, 2, 0], [1, 2, 3]]
    assert indices.tolist() == [2, 0]


def test_shuffled_batches_hold_like_lengths_and_every_text_once() -> None:
    lengths = torch.randint(1, 50, (1000,), generator=torch.Generator().manual_seed(1)).tolist()
    some = texts(lengths)
    batches = [indices for _, _, indices in loader(some, 10, seed=3, shuffle=True)]
    assert sorted(torch.cat(batches).tolist()) == list(range(1000))
    spread = [int(some.lengths[batch].max() - some.lengths[batch].min()) for batch in batches]
    assert sum(spread) / len(spread) < 5
    means = torch.tensor([float(some.lengths[batch].float().mean()) for batch in batches[:30]])
    assert not torch.equal(means, means.sort().values), "short texts do not all come first"


def test_orders_follow_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        lengths = texts([1, 5, 2, 9, 4, 4, 7]).lengths
        sampler = EpochSampler(7, 2, seed=seed, shuffle=True, lengths=lengths)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_blanks_are_a_function_of_seed_epoch_and_index() -> None:
    blanks = TokenMasking(7, 0.5, blank=99, keep=[0, 1])
    ids = torch.arange(40).view(2, 20)
    indices = torch.tensor([4, 8])
    changed = blanks(ids, indices, 3)
    assert torch.equal(changed, blanks(ids, indices, 3))
    assert torch.equal(changed[1], blanks(ids[1:], indices[1:], 3)[0])
    assert not torch.equal(changed, blanks(ids, indices, 4))
    assert changed[0, :2].tolist() == [0, 1]
    assert 10 < int((changed == 99).sum()) < 30
    assert torch.equal(TokenMasking(7, 0.0, 99, [])(ids, indices, 3), ids)
