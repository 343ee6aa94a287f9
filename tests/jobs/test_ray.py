"""The same file from a Ray cluster."""

import csv
from pathlib import Path

import pytest

from vit.cli import main

pytest.importorskip("ray", reason="needs the extra ray")


@pytest.mark.slow
def test_a_cluster_gives_the_same_file(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad.png").write_bytes(b"\x89PNG\r\n")
    words = ["predict", str(digits_run), str(pictures), "--output"]
    assert main([*words, str(tmp_path / "one.csv")]) == 3
    for actors in ("1", "2"):
        output = tmp_path / f"{actors}.csv"
        assert main([*words, str(output), "--engine", "ray", "--actors", actors]) == 3
        assert output.read_bytes() == (tmp_path / "one.csv").read_bytes()
    with (tmp_path / "one.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 8


def test_actors_are_of_ray(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    words = ["predict", str(digits_run), str(pictures), "--output", str(tmp_path / "o.csv")]
    assert main([*words, "--actors", "2"]) == 2
