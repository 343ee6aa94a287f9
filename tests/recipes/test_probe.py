"""What a probe learns from and what it is tested on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vit
from vit.cli import main
from vit.errors import UsageError, VitError
from vit.recipes.evaluation import probe as module
from vit.recipes.evaluation.data import evaluation_data
from vit.recipes.evaluation.probe import probe_model


@pytest.fixture
def model(digits_run: Path) -> Any:
    return vit.load_model(digits_run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Class folders: 7 dark and 9 light pictures with noise, and a copy of one of each."""
    random = np.random.default_rng(0)
    for name, level, count in (("dark", 40, 7), ("light", 200, 9)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(count):
            pixels = (level + random.integers(-30, 30, (8, 8))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{index}.png")
        shutil.copyfile(tmp_path / "data" / name / "0.png", tmp_path / "data" / name / "copy.png")
    return tmp_path / "data"


def data_of(model: Any, folder: Path) -> Any:
    return evaluation_data(model, "timm:none", str(folder))


def divisions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[int], set[int]]]:
    """Gets what each repeat learns from and tests."""
    seen: list[tuple[set[int], set[int]]] = []
    divided = module._divided

    def spy(*arguments: Any) -> Any:
        train, test = divided(*arguments)
        seen.append((set(train.tolist()), set(test.tolist())))
        return module.Division(train, test)

    monkeypatch.setattr(module, "_divided", spy)
    return seen


def test_all_that_was_not_drawn_is_tested(model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = divisions(monkeypatch)
    data = data_of(model, folder)
    figures = probe_model(model, data, "knn", per_class=3, repeats=5)
    digests = data.parts["test"].digests
    assert len(digests) == 18
    for train, test in seen:
        assert len(train) == 6
        learnt = {digests[index] for index in train}
        assert len(learnt) == 6  # copies count once
        assert learnt.isdisjoint(digests[index] for index in test)
        assert test == {index for index in range(18) if digests[index] not in learnt}
    assert len({tuple(sorted(train)) for train, _ in seen}) > 1
    probe = figures["probe"]
    assert figures["accuracy"] == pytest.approx(np.mean(probe["accuracies"]))
    assert probe["accuracy_std"] == pytest.approx(np.std(probe["accuracies"], ddof=1))
    assert (probe["n_train"], probe["repeats"], figures["split"]) == (6, 5, "all others")
    assert figures["accuracy"] > 0.9
    assert probe_model(model, data, "knn", per_class=3, repeats=5) == figures


def test_parts_are_kept(model: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        shutil.copytree(folder, tmp_path / "parts" / part)
    for file in (tmp_path / "parts" / "train").glob("*/[0-2].png"):
        file.unlink()
    seen = divisions(monkeypatch)
    figures = probe_model(model, data_of(model, tmp_path / "parts"), "linear")
    ((train, test),) = seen
    assert len(train) == 12
    assert train.isdisjoint(test)
    assert len(test) == 4  # 1 and 2 of both classes: all others are copies of what was learnt
    assert (figures["split"], figures["n"], figures["probe"]["accuracy_std"]) == ("test", 4, None)
    assert {"interval", "confusion", "classes", "labels"} <= figures.keys()


def test_without_a_number_a_fifth_is_tested(
    model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = divisions(monkeypatch)
    probe_model(model, data_of(model, folder), "linear")
    ((train, test),) = seen
    assert train | test == set(range(18))
    assert 1 <= len(test) <= 7


def test_what_cannot_be(model: Any, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(VitError, match=r"class 'dark' has 7 different examples .*--per-class is 8: lower it"):
        probe_model(model, data_of(model, folder), "knn", per_class=8)
    data = data_of(model, folder)
    data.parts["test"].targets = torch.zeros(18, 2)
    with pytest.raises(UsageError, match="several labels per example"):
        probe_model(model, data, "knn")
    shutil.copytree(folder / "dark", tmp_path / "one" / "dark")
    with pytest.raises(VitError, match="has one class, 'dark', expected at least two"):
        probe_model(model, data_of(model, tmp_path / "one"), "linear")
    shutil.copytree(folder, tmp_path / "train_only" / "train")
    with pytest.raises(VitError, match="has a part train and no test or val"):
        probe_model(model, data_of(model, tmp_path / "train_only"), "knn")


def test_the_command(digits_run: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", str(digits_run), "--data", str(folder), "--probe", "linear", "--per-class", "2"]
    assert main([*command, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["probe"]["kind"] == "linear"
    assert {"accuracy", "accuracy_top5", "n", "split", "data", "model"} <= figures.keys()
    assert main([*command, "--repeats", "3", "--image-size", "16"]) == 0
    line = capsys.readouterr().out
    assert "linear probe" in line
    assert "mean of 3 draws" in line
    (folder / "dark" / "broken.png").write_bytes(b"no picture")
    assert main(command) == 3
    assert "1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--probe", "svm"], "--probe is 'svm'; known: linear, knn"),
        (["--per-class", "3"], "--per-class is an option of --probe, which is missing"),
        (["--probe", "knn", "--repeats", "3"], "--repeats is an option of --per-class, which is missing"),
        (["--probe", "knn", "--per-class", "0"], "--per-class is 0, expected at least 1"),
        (["--probe", "knn", "--flip"], "--flip measures a model's head, and --probe its features"),
        (["--probe", "knn", "--split", "val"], "--split is val, and --probe tests the part test"),
        (["--image-size", "9"], "--image-size is 9, expected a multiple of the patches"),
    ],
)
def test_options_that_do_not_fit(
    digits_run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(digits_run), *options]) == 2
    assert message in capsys.readouterr().err
