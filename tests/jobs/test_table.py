"""Rows to the three formats."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vit.jobs.table import WRITERS

COLUMNS: dict[str, type] = {"path": str, "index": int, "score": float, "topk": list[dict]}
ROWS = [
    {"path": 'a, "b"\nc.png', "index": 3, "score": 0.25, "topk": [{"label": "ü", "score": 0.25}]},
    {"path": "bad\udcff.png", "index": None, "score": None, "topk": None},
    {"path": "=1+1.png", "index": 0, "score": 1.0, "topk": []},
]


def write(output: Path, rows: list[dict[str, object]]) -> None:
    WRITERS[output.suffix](output, COLUMNS, iter(rows))


def test_csv(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", ROWS)
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        found = list(csv.DictReader(stream))
    assert [row["path"] for row in found] == [row["path"] for row in ROWS]
    assert found[0]["score"] == "0.25"
    assert found[0]["topk"] == '[{"label": "ü", "score": 0.25}]'
    assert found[1]["index"] == ""
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_jsonl(tmp_path: Path) -> None:
    write(tmp_path / "out.jsonl", ROWS)
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert found[0]["topk"] == [{"label": "ü", "score": 0.25}]
    assert [row["path"] for row in found] == [row["path"] for row in ROWS]


def test_parquet(tmp_path: Path) -> None:
    write(tmp_path / "out.parquet", ROWS)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert found[0] == ROWS[0] | {"topk": '[{"label": "ü", "score": 0.25}]'}
    assert found[1] == ROWS[1] | {"path": "bad\\udcff.png"}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_nothing_to_write_is_a_table_without_rows(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"out.{ending}", [])
    assert (tmp_path / f"out.{ending}").exists()
