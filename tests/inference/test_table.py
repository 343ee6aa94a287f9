"""Rows are streamed, continued, and never lost."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vit.errors import UsageError, VitError
from vit.inference.table import Table

COLUMNS: dict[str, type] = {"path": str, "index": int, "score": float, "topk": str}
ROWS = [
    {"path": 'a, "b"\nc.png', "index": 3, "score": 0.25, "topk": '[{"label": "ü", "score": 0.25}]'},
    {"path": "bad\udcff.png", "index": None, "score": None, "topk": None},
    {"path": "=1+1.png", "index": 0, "score": 1.0, "topk": "[]"},
]


def write(output: Path, rows: list[dict[str, object]], **arguments: object) -> None:
    with Table(output, COLUMNS, {"model": "m"}, **arguments) as table:
        table.write(rows)
        table.finish()


def test_csv(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", ROWS)
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        found = list(csv.DictReader(stream))
    assert [row["path"] for row in found] == [row["path"] for row in ROWS]
    assert found[0]["score"] == "0.25"
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
    assert found[0] == ROWS[0]
    assert found[1] == ROWS[1] | {"path": "bad\\udcff.png"}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_nothing_to_write_is_a_table_without_rows(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"out.{ending}", [])
    assert (tmp_path / f"out.{ending}").exists()


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_an_interrupted_run_is_continued(tmp_path: Path, cut: int) -> None:
    write(tmp_path / "whole.csv", ROWS)
    output = tmp_path / "out.csv"
    with Table(output, COLUMNS, {"model": "m"}) as table:
        table.write(ROWS[:2])
    assert not output.exists()
    partial = tmp_path / "out.csv.partial"
    content = partial.read_bytes()
    partial.write_bytes(content[: len(content) - cut])  # a crash may leave half a row
    with Table(output, COLUMNS, {"model": "m"}) as table:
        assert table.done == (2 if cut == 0 else 1)
        table.write(ROWS[table.done :])
        table.finish()
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_partial_file_without_its_first_line_starts_over(tmp_path: Path) -> None:
    (tmp_path / "out.csv.partial").write_bytes(b'{"mo')
    write(tmp_path / "out.csv", ROWS)
    assert (tmp_path / "out.csv").exists()


def test_another_commands_partial_file_is_refused(tmp_path: Path) -> None:
    with Table(tmp_path / "out.csv", COLUMNS, {"model": "other"}) as table:
        table.write(ROWS)
    with pytest.raises(VitError, match="--overwrite starts over"):
        Table(tmp_path / "out.csv", COLUMNS, {"model": "m"})
    write(tmp_path / "out.csv", ROWS, overwrite=True)


def test_a_finished_output_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", ROWS)
    before = (tmp_path / "out.csv").read_bytes()
    with pytest.raises(VitError, match="--overwrite replaces it"):
        write(tmp_path / "out.csv", ROWS[:1])
    assert (tmp_path / "out.csv").read_bytes() == before
    write(tmp_path / "out.csv", ROWS[:1], overwrite=True)
    assert (tmp_path / "out.csv").read_bytes() != before


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in \.csv, \.jsonl, \.parquet"):
        write(tmp_path / "out.txt", ROWS)
    with pytest.raises(VitError, match="does not exist"):
        write(tmp_path / "no" / "out.csv", ROWS)
