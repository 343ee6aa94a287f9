"""`vit predict --unknown`: inputs whose score is below a threshold."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import vit
from vit.bundle import read_description
from vit.cli import main
from vit.errors import VitError
from vit.inference.predict import TIE_MARGIN, labeller, near_threshold, recorded_threshold
from vit.inference.rows import write_rows
from vit.jobs.folder import job_folder
from vit.jobs.job import Job
from vit.recipes.evaluation.robustness import record_threshold


def rows(model: Path | str, inputs: Path, output: Path, *options: str, code: int = 0) -> list[dict[str, str]]:
    assert main(["predict", str(model), str(inputs), "--output", str(output), *options]) == code
    with output.open(newline="") as stream:
        return list(csv.DictReader(stream))


def middle_score(found: list[dict[str, str]]) -> str:
    return sorted((row["score"] for row in found), key=float)[3]


def test_scores_below_the_threshold_are_unknown(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    plain = rows(digits_run, pictures, tmp_path / "plain.csv")
    threshold = middle_score(plain)
    found = rows(digits_run, pictures, tmp_path / "unknown.csv", "--unknown", threshold)
    assert {row["label"] == "unknown" for row in found} == {True, False}
    for before, after in zip(plain, found, strict=True):
        if float(before["score"]) < float(threshold):  # the one that is equal is known
            assert after == before | {"label": "unknown", "index": "-1"}
            assert json.loads(after["topk"])[0]["label"] == before["label"]
        else:
            assert after == before


def test_bad_files_are_not_unknown(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "notes.txt").write_text("no picture")
    found = rows(digits_run, pictures, tmp_path / "o.csv", "--unknown", "1.0", code=3)
    (bad,) = (row for row in found if row["status"] != "ok")
    assert bad["label"] == bad["index"] == ""
    assert {row["label"] for row in found if row["status"] == "ok"} == {"unknown"}


def test_auto_is_what_was_recorded(
    digits_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    assert (
        main(["predict", str(run), str(pictures), "--output", str(tmp_path / "a.csv"), "--unknown", "auto"])
        == 1
    )
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{run} has no recorded threshold" in said
    assert f"vit evaluate {run} --unknown FOLDER" in said
    before = read_description(run / "model")
    threshold = float(middle_score(rows(run, pictures, tmp_path / "plain.csv")))
    recorded = {"threshold": threshold, "score": "probability", "kept": 0.95, "n": 7}
    assert record_threshold(str(run), recorded) == run / "model"
    after = read_description(run / "model")
    assert after == before | {"scores": before["scores"] | {"unknown": recorded}}
    automatic = rows(run, pictures, tmp_path / "a.csv", "--unknown", "auto")
    assert automatic == rows(run, pictures, tmp_path / "b.csv", "--unknown", str(threshold))
    assert record_threshold(str(run / "model"), recorded | {"threshold": 0.25}) == run / "model"
    assert read_description(run / "model")["scores"]["unknown"]["threshold"] == 0.25


def test_only_folders_of_the_user_are_written() -> None:
    assert record_threshold("cifar10", {"threshold": 0.5}) is None
    assert record_threshold("timm:vit_tiny_patch16_224", {"threshold": 0.5}) is None


@pytest.mark.parametrize("value", ["0", "-0.5", "1.01", "nan", "none"])
def test_values_that_are_no_threshold(
    value: str, digits_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(digits_run), str(pictures), "--output", str(tmp_path / "o.csv")]
    assert main([*command, f"--unknown={value}"]) == 2
    said = capsys.readouterr().err
    assert value in said
    assert "expected auto or a probability" in said
    assert not (tmp_path / "o.csv").exists()
    model = vit.load_model(digits_run)
    with pytest.raises(VitError, match=r"unknown is 1\.5, expected a probability"):
        labeller(model, unknown=1.5)


def test_an_interrupted_job_is_continued_with_its_threshold_only(
    digits_run: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(name: str, *options: str) -> int:
        return main(["predict", str(digits_run), str(pictures), "--output", str(tmp_path / name), *options])

    def kept(name: str) -> dict[str, Any]:
        return json.loads((job_folder(tmp_path / name) / "command.json").read_text())

    with monkeypatch.context() as patch:
        patch.setattr(Job, "finish", interrupt)
        assert run("o.csv", "--unknown", "0.5") == 130
        assert run("plain.csv") == 130
    assert kept("o.csv")["unknown"] == 0.5
    assert "unknown" not in kept("plain.csv")  # as in jobs of earlier versions, which are continued
    capsys.readouterr()
    for other in (["--unknown", "0.6"], []):
        assert run("o.csv", *other) == 1
        assert "another command" in capsys.readouterr().err
    assert run("o.csv", "--unknown", "0.5") == 0


def interrupt(job: Job) -> None:
    raise KeyboardInterrupt


def test_scores_near_the_threshold_are_computed_exactly(
    digits_run: Path, pictures: Path, tmp_path: Path
) -> None:
    model = vit.load_model(digits_run)

    def scores(name: str, threshold: float | None) -> list[str]:
        write_rows(labeller(model, unknown=threshold), [str(pictures)], tmp_path / name, {})
        with (tmp_path / name).open(newline="") as stream:
            return [row["score"] for row in csv.DictReader(stream)]

    exact = scores("exact.csv", None)
    threshold = float(exact[0])
    model.autocast = torch.bfloat16
    assert scores("half.csv", threshold)[0] == exact[0]
    logits = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 9.0]])
    assert near_threshold(logits, 0.5 + 0.9 * TIE_MARGIN / 4).tolist() == [True, False, False]


def test_recorded_threshold() -> None:
    assert recorded_threshold({"unknown": {"threshold": 0.25}}, "runs/a") == 0.25
    with pytest.raises(VitError, match="timm:a has no recorded threshold"):
        recorded_threshold({"val": {"accuracy": 1.0}}, "timm:a")
