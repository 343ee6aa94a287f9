import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="module")
def bench(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("bench_attend")


def test_compares_and_reports_what_is_not_installed(
    bench: ModuleType,
    digits_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)  # as if it were not installed
    file = tmp_path / "bench.json"
    argv = f"{digits_run} --data digits --pictures 5 --batch-size 3 --steps 4 --rise-samples 20 --device cpu"
    methods = "rollout,relevance,rise,captum_saliency"
    assert bench.main([*argv.split(), "--methods", methods, "--output", str(file)]) == 0
    results = json.loads(file.read_text())
    assert results["failed"] == {"captum_saliency": "not installed (captum)"}
    assert results["pictures"] == 5
    assert {(row["method"], row["n"]) for row in results["faithfulness"]} == {
        (name, 5) for name in ("rollout", "relevance", "rise", "random", "centre")
    }
    assert results["speed"]["rise"]["batches"] == 2
    shown = capsys.readouterr().out.splitlines()
    assert any(line.startswith("captum_saliency") and "not installed" in line for line in shown)
    assert shown[-1].startswith("mean color, best of ours with one backward pass (relevance")


def test_tokens_and_pixels_keep_their_positions(bench: ModuleType) -> None:
    rows, cols, prefix = 2, 3, 2
    tokens = torch.arange(prefix + rows * cols).float()[None, :, None].expand(1, -1, 5)
    channels = bench.as_channels(tokens, (rows, cols), prefix)
    assert channels.shape == (1, 5, rows, cols)
    assert channels[0, 0].tolist() == [[2, 3, 4], [5, 6, 7]]
    pixels = channels[:, 0].repeat_interleave(4, 1).repeat_interleave(7, 2)
    assert bench.per_patch(pixels, (4, 7)).tolist() == channels[:, 0].tolist()


def test_meter_sees_every_byte(bench: ModuleType) -> None:
    expected, seen = bench.meter_check()
    assert seen == expected
