"""`vit evaluate`: what it prints, and the folder of `--output`."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from vit.cli import main
from vit.commands.figures import print_figures

from ..evaluation.test_metrics import drawn, measured

FILES = ("evaluation.json", "confusion.csv", "classes.csv", "mistakes.csv", "report.html")


def printed(result, labels: list[str], capsys: pytest.CaptureFixture[str], **changes) -> list[str]:
    figures = result.figures() | result.details(labels)
    figures |= {"model": "m", "data": "d", "split": "test", "flip": False, **changes}
    print_figures(Console(highlight=False, markup=False, soft_wrap=True), figures)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_few_even_classes(capsys: pytest.CaptureFixture[str]) -> None:
    logits = 4 * torch.eye(3)[[0, 0, 1, 1, 1, 2]]
    result = measured(logits, torch.tensor([0, 0, 1, 1, 2, 2]))
    lines = printed(result, ["ant", "[b]", "cat"], capsys)
    assert lines[0].startswith("d, test, n = 6: accuracy 83.33 %, top-5 100.00 %, loss ")
    assert lines[0].endswith("; 95 % interval of the accuracy 43.65 to 96.99 %")
    assert [line.split() for line in lines[1:5]] == [
        ["class", "precision", "recall", "F1", "n"],
        ["ant", "100.00", "%", "100.00", "%", "100.00", "%", "2"],
        ["[b]", "66.67", "%", "100.00", "%", "80.00", "%", "2"],
        ["cat", "100.00", "%", "50.00", "%", "66.67", "%", "2"],
    ]
    assert lines[5:] == ["most frequent confusions, true → predicted: cat → [b] (1)"]


def test_uneven_classes_and_absent_ones(capsys: pytest.CaptureFixture[str]) -> None:
    logits = 4 * torch.eye(4)[[0, 0, 0, 0, 1, 3]]
    lines = printed(measured(logits, torch.tensor([0, 0, 0, 0, 1, 1])), [*"abcd"], capsys)
    assert lines[1] == (
        "balanced accuracy 75.00 %, macro F1 55.56 %; always the most frequent class: 66.67 %"
    )
    assert lines[-1] == "no examples of 2 of the model's 4 classes, which are 1 of the predictions: c, d"
    assert [line.split()[0] for line in lines[2:5]] == ["class", "a", "b"]


def test_of_many_classes_the_worst_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    logits, targets = drawn(997, 23)
    result = measured(logits, targets, temperature="fit")
    lines = printed(result, [f"kind_{index}" for index in range(23)], capsys)
    assert f"validation split, {result.temperature:.3g}: calibration error " in lines[1]
    start = lines.index("the 10 classes with the lowest F1, of 23:")
    f1 = [row["f1"] for row in result.details([str(index) for index in range(23)])["classes"].values()]
    worst = sorted(range(23), key=lambda index: f1[index])[:10]
    assert [line.split()[0] for line in lines[start + 2 : start + 12]] == [f"kind_{i}" for i in worst]
    assert lines[-1].count("→") == 4


def test_the_folder_and_its_report(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    args = ["evaluate", str(digits_run), "--output", str(folder)]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert out.startswith("digits, test, n = 359: accuracy ")
    assert out.endswith(f"report {folder / 'report.html'}\n")
    assert all((folder / name).stat().st_size for name in FILES)
    assert main(args) == 1
    assert f"{folder} is not empty: --overwrite replaces" in capsys.readouterr().err
    (folder / "evaluation.json").unlink()
    assert main([*args, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "evaluation.json").read_text())
    assert main(["evaluate", str(digits_run), "--overwrite"]) == 2
    assert "--overwrite is an option of --output" in capsys.readouterr().err


def test_the_contract_of_json(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(digits_run), "--split", "val", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() >= {
        "accuracy", "accuracy_top5", "n", "split", "data", "model", "balanced_accuracy", "f1_macro",
        "majority", "interval", "classes", "confusion", "labels", "loss", "calibration_error", "by_class",
        "flip", "skipped",
    }  # fmt: skip
    low, high = figures["interval"]
    assert low <= figures["accuracy"] <= high
    assert figures["labels"] == list(figures["classes"]) == [str(digit) for digit in range(10)]
    assert figures["classes"]["7"].keys() == {"precision", "recall", "f1", "n"}
    assert [sum(row) for row in figures["confusion"]] == [row["n"] for row in figures["classes"].values()]
    right = sum(row[index] for index, row in enumerate(figures["confusion"]))
    assert figures["accuracy"] == pytest.approx(right / figures["n"])
