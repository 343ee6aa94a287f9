"""The script that measures how long reading takes: a small run of it."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


def test_measures_all_candidates(
    script: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VIT_CACHE", "")  # which the script sets
    file = BytesIO()
    Image.new("RGB", (32, 32)).save(file, "PNG")
    rows = [{"bytes": file.getvalue(), "path": None}] * 6
    for part in ("train", "test"):
        pq.write_table(pa.table({"img": rows, "label": [0, 1, 2] * 2}), tmp_path / f"{part}.parquet")
    bench, output, files = script("bench_reading"), tmp_path / "out.json", tmp_path / "files"
    options = ["--parquet", str(tmp_path), "--files", str(files), "--rounds", "2", "--workers", "0"]
    assert bench.main([*options, "--output", str(output)]) == 0
    assert len(list(files.glob("*/*/*.png"))) == 12
    assert bench.theirs(files, 0) == 12
    results = json.loads(output.read_text())
    assert results["pictures"] == 12
    assert [len(times) for times in results["seconds"].values()] == [2] * 5
    reference = results["rows"][0]
    assert (reference["candidate"], reference["ratio"]) == (bench.REFERENCE, 1)
    assert capsys.readouterr().out.count("\n") == 6
