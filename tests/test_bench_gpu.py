"""Every section of the script that measures a GPU, with tiny sizes on the device that is there."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def bench(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return script("bench_gpu")


def test_every_section_runs(
    bench: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    output = tmp_path / "gpu.json"
    assert bench.main(["--quick", "--output", str(output)]) == 0
    figures = json.loads(output.read_text())
    assert figures["failed"] == {}
    measured = {(row["section"], row["what"]): row for row in figures["rows"]}
    for name in ("small", "ViT-S/16"):
        for peer in bench.PEERS:
            row = measured["steps", f"{name}, {peer}, images/s"]
            assert 0 < row["low"] <= row["median"] <= row["high"]
            assert "% of products" in row["remark"]
    assert {name for name, _ in measured} == {"matrix", "steps", "attribution", "predict", "train"}
    assert measured["train", "end to end, images/s"]["ratio"] > 0
    table = capsys.readouterr().out.split("\n\n")[-1]
    assert all(what in table for _, what in measured)


def test_a_section_that_fails_does_not_end_the_others(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "ours", lambda shape: 1 / 0)
    assert bench.main(["--quick", "--sections", "attribution,matrix"]) == 1
    table = capsys.readouterr().out.split("\n\n")[-1]
    assert "attribution FAILED: ZeroDivisionError" in table
    assert "products, TFLOP/s" in table


def test_no_section_begins_after_the_time_is_over(
    bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--quick", "--minutes", "0", "--sections", "matrix"]) == 1
    assert "matrix      FAILED: left out: no time" in capsys.readouterr().out


def test_operations_of_a_step_are_counted(bench: ModuleType) -> None:
    """Against the sum by hand; 17.6e9 multiplications in a forward pass of ViT-B/16 at 224 (timm's table)."""
    shape = bench.FULL.shapes["ViT-B/16"]
    tokens, width = 197, 768
    block = tokens * width * 12 * width + 2 * tokens * tokens * width
    forward = 12 * block + 196 * width * width + bench.CLASSES * width
    assert forward == pytest.approx(17.6e9, rel=0.01)
    assert bench.operations(shape) == pytest.approx(6 * forward, rel=1e-3)
