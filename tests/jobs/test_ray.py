"""The same file from a Ray cluster."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from vit.cli import main
from vit.jobs.folder import job_folder
from vit.jobs.rows import RowFiles
from vit.weights import models

pytest.importorskip("ray", reason="needs the extra ray")


@pytest.mark.slow
def test_a_cluster_gives_the_same_file(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "bad.png").write_bytes(b"\x89PNG\r\n")
    argv = ["predict", str(digits_run), str(pictures), "--output"]
    assert main([*argv, str(tmp_path / "one.csv")]) == 3

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("this process loads a model")

    monkeypatch.setattr(models, "load_model", refuse)
    for actors in ("1", "2"):
        output = tmp_path / f"{actors}.csv"
        assert main([*argv, str(output), "--engine", "ray", "--actors", actors]) == 3
        assert output.read_bytes() == (tmp_path / "one.csv").read_bytes()
    with (tmp_path / "one.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 8


@pytest.mark.slow
def test_a_local_job_is_continued_on_a_cluster(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fingerprint that an actor reports is the one that this process computed."""

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    argv = ["predict", str(digits_run), str(pictures), "--output"]
    assert main([*argv, str(tmp_path / "whole.csv")]) == 0
    output = tmp_path / "o.csv"
    with monkeypatch.context() as patch:
        patch.setattr("vit.jobs.job.Job.finish", interrupt)
        assert main([*argv, str(output)]) == 130
    assert json.loads((job_folder(output) / "command.json").read_text())["model"]
    with monkeypatch.context() as patch:
        patch.setattr(RowFiles, "writer", interrupt)  # nothing is left to compute
        assert main([*argv, str(output), "--engine", "ray", "--actors", "1"]) == 0
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.slow
def test_an_error_in_an_actor_is_one_line(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    argv = ["predict", "no_such_model", str(pictures), "--output", str(tmp_path / "o.csv")]
    assert main(argv) == 1
    expected = capfd.readouterr().err.splitlines()[-1]
    assert main([*argv, "--engine", "ray", "--actors", "1"]) == 1
    assert expected in capfd.readouterr().err.splitlines()
    assert not job_folder(tmp_path / "o.csv").exists()


def test_actors_are_of_ray(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    argv = ["predict", str(digits_run), str(pictures), "--output", str(tmp_path / "o.csv")]
    assert main([*argv, "--actors", "2"]) == 2
