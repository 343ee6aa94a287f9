"""Manifests of a few pictures per class."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def test_what_is_drawn_is_not_tested(tmp_path: Path, script: Callable[[str], ModuleType]) -> None:
    for label, count in (("a", 7), ("b", 5)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for index in range(count):
            (tmp_path / "data" / label / f"{index}.png").write_text(f"{label}{index}")
        shutil.copyfile(tmp_path / "data" / label / "0.png", tmp_path / "data" / label / "copy.png")
    arguments = [str(tmp_path / "data"), str(tmp_path / "draws"), "--per-class", "3", "--draws", "4"]
    assert script("few_pictures").main(arguments) == 0
    draws = []
    for draw in range(4):
        with (tmp_path / "draws" / f"{draw}.csv").open() as file:
            rows = list(csv.DictReader(file))
        train = {Path(row["path"]).read_text() for row in rows if row["part"] == "train"}
        test = {Path(row["path"]).read_text() for row in rows if row["part"] == "test"}
        assert (len(train), train & test, len(train | test)) == (6, set(), 12)
        draws.append(frozenset(train))
    assert len(set(draws)) > 1
    with pytest.raises(SystemExit, match="class b has 5 different pictures: lower --per-class, 5"):
        script("few_pictures").main([*arguments[:2], "--per-class", "5"])
