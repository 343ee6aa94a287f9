"""The files of an evaluation."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from vit.data.images import TensorImages
from vit.data.texts import RawTexts, TokenizedTexts
from vit.errors import VitError
from vit.evaluation.examples import Examples
from vit.evaluation.metrics import Evaluation
from vit.evaluation.mistakes import find_mistakes, wrong_indices
from vit.evaluation.results import check_folder, write_evaluation

from .test_metrics import CLASSES, drawn, measured

LABELS = [f"kind {index}" for index in range(CLASSES)]
LOGITS, TARGETS = drawn(53)


def images(n: int, prefix: str = "test") -> TensorImages:
    pixels = torch.arange(n)[:, None, None, None].expand(n, 3, 5, 11).byte()
    return TensorImages(pixels, torch.zeros(n, dtype=torch.long), [f"{prefix}/{i}.png" for i in range(n)])


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        return list(csv.DictReader(stream))


def write(folder: Path, result: Evaluation, labels: list[str], examples: Examples) -> None:
    figures = result.figures() | result.details(labels)
    figures |= {"model": "m", "data": "d", "split": "test", "flip": False}
    write_evaluation(folder, labels=labels, examples=examples, result=result, figures=figures)


def test_mistakes_are_all_wrong_ones_by_score() -> None:
    result = measured(LOGITS, TARGETS)
    found = find_mistakes(result, LABELS, [str(index) for index in range(53)])
    probabilities = LOGITS.softmax(-1)
    assert len(found) == int((LOGITS.argmax(1) != TARGETS).sum()) > 5
    assert [row.score for row in found] == sorted((row.score for row in found), reverse=True)
    for row in found:
        index = int(row.path)
        assert row.label == LABELS[TARGETS[index]]
        assert row.predicted == LABELS[LOGITS[index].argmax()] != row.label
        assert row.score == pytest.approx(float(probabilities[index].max()), abs=1e-6)
        assert row.score_of_label == pytest.approx(float(probabilities[index, TARGETS[index]]), abs=1e-6)


def test_equal_scores_stay_in_order() -> None:
    result = measured(torch.zeros(23, 3), torch.full((23,), 2))
    assert wrong_indices(result) == list(range(23))


def test_the_folder_of_an_evaluation(tmp_path: Path) -> None:
    folder, result = tmp_path / "new" / "out", measured(LOGITS, TARGETS, temperature="fit")
    write(folder, result, LABELS, Examples(images(20, "a"), images(33, "b")))
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == [
        "classes.csv", "confusion.csv", "evaluation.json", "mistakes.csv", "plots/classes.png",
        "plots/confusion.png", "plots/reliability.png", "plots/wrongest.png", "report.html",
    ]  # fmt: skip
    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures["accuracy"] == result.accuracy
    matrix = rows(folder / "confusion.csv")
    assert [[int(row[label]) for label in LABELS] for row in matrix] == result.confusion.tolist()
    assert [row["label"] for row in matrix] == LABELS
    for row in rows(folder / "classes.csv"):
        expected = figures["classes"][row.pop("label")]
        assert {name: float(cell) for name, cell in row.items()} == pytest.approx(expected)
    mistakes = rows(folder / "mistakes.csv")
    assert list(mistakes[0]) == ["path", "label", "predicted", "score", "score_of_label"]
    worst = wrong_indices(result)
    names = [f"a/{i}.png" for i in range(20)] + [f"b/{i}.png" for i in range(33)]
    assert [row["path"] for row in mistakes] == [names[index] for index in worst]
    page = (folder / "report.html").read_text()
    assert f"Mistakes ({len(worst)})" in page
    assert "with temperature" in page


def test_names_that_are_no_utf8_are_kept_as_bytes(tmp_path: Path) -> None:
    files = images(2)
    files.names = ["bad\udcff.png", 'with "quotes",\nand a line.png']
    write(tmp_path, measured(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.zeros(2).long()), ["猫", "<b>"],
          Examples(files))  # fmt: skip
    assert [row["path"] for row in rows(tmp_path / "mistakes.csv")] == files.names
    assert b"bad\xff.png" in (tmp_path / "mistakes.csv").read_bytes()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "猫" in page


def test_without_mistakes(tmp_path: Path) -> None:
    write(
        tmp_path, measured(torch.tensor([[0.0, 1.0]]), torch.ones(1).long()), ["a", "b"], Examples(images(1))
    )
    assert (tmp_path / "mistakes.csv").read_text() == "path,label,predicted,score,score_of_label\n"
    assert "test split, 1 picture<" in (tmp_path / "report.html").read_text()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    check_folder(tmp_path, overwrite=False)
    check_folder(tmp_path / "absent", overwrite=False)
    (tmp_path / "file").touch()
    with pytest.raises(VitError, match="is not empty: --overwrite replaces"):
        check_folder(tmp_path, overwrite=False)
    check_folder(tmp_path, overwrite=True)
    with pytest.raises(VitError, match="is a file, expected a folder"):
        check_folder(tmp_path / "file", overwrite=True)


def test_examples_of_several_parts() -> None:
    examples = Examples(images(3, "a"), images(0), images(7, "b"))
    assert examples.names == [f"a/{i}.png" for i in range(3)] + [f"b/{i}.png" for i in range(7)]
    assert examples.count == "10 pictures"
    for index, value in ((0, 0), (2, 2), (3, 0), (9, 6)):
        picture = examples.picture(index)
        assert picture.size == (11, 5)
        assert picture.getpixel((0, 0)) == (value,) * 3


def test_a_text_is_drawn_on_a_card() -> None:
    raw = RawTexts(["a short one", "", "a word " * 99], torch.zeros(3).long(), ["t:1", "t:2", "t:3"])
    texts = Examples(TokenizedTexts(raw, [torch.arange(2)] * 3, 0))
    short, empty, long = (texts.picture(index) for index in range(3))
    assert short.size == empty.size == long.size == (360, 270)
    assert texts.count == "3 texts"

    def ink(picture: Image.Image) -> int:
        return sum(picture.convert("L").point(lambda level: level < 128).histogram()[1:])

    assert 0 == ink(empty) < ink(short) < ink(long)
