"""The scripts that measure and ship: small runs of each, and what they write."""

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import vit

Script = Callable[[str], ModuleType]


def test_bench_train_measures_all_candidates(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = "--depth 1 --width 24 --heads 2 --image-size 8 --patch-size 2 --batch-size 4 --rounds 2"
    output = tmp_path / "train.json"
    assert script("bench_train").main([*small.split(), "--output", str(output)]) == 0
    figures = json.loads(output.read_text())
    rows = {(row["candidate"], row["precision"]): row for row in figures["rows"]}
    assert {name for name, _ in rows} >= {"timm as it comes", "timm, fused attention off", "vit"}
    assert all(row["median"] > 0 for row in rows.values())
    against = rows["timm as it comes", "bfloat16"]["median"]
    assert 0.2 < rows["vit", "bfloat16"]["ratio"] / (rows["vit", "bfloat16"]["median"] / against) < 5
    assert capsys.readouterr().out.count("\n") == len(rows) + 1


def test_bench_train_measures_plain_and_fused_attention(
    script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = script("bench_train")
    monkeypatch.setattr(bench, "LENGTHS", (3, 5))
    monkeypatch.setattr(bench, "TOKENS_AT_ONCE", 8)
    assert bench.main(["--attention", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["float32", "3"], ["float32", "5"], ["bfloat16", "3"], ["bfloat16", "5"]
    ]  # fmt: skip


def test_the_bound_counts_every_product(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = script("bench_train")
    monkeypatch.setattr(bench, "rate", lambda *shape: 1.0)  # one operation per second: seconds are operations
    shape = {"depth": 2, "width": 24, "heads": 2, "mlp_ratio": 3.0, "image_size": 15, "patch_size": 5}
    counter = FlopCounterMode(display=False)
    model = bench.ours(shape)
    with sdpa_kernel(SDPBackend.MATH), counter:  # not every release counts what a fused kernel does
        model(torch.randn(7, 3, 15, 15)).sum().backward()
    head = 3 * 2 * 7 * 24 * bench.CLASSES
    assert bench.seconds_of_products(shape | {"batch_size": 7}, torch.float32) == pytest.approx(
        counter.get_total_flops() - head, rel=0.03
    )


def test_growth_is_drawn(script: Script, tmp_path: Path) -> None:
    bench = script("bench_train")
    points = [
        {"axis": axis, "value": value, "median": 100 / value, "bound": 200 / value, "memory_mb": value}
        for axis, values in bench.GROWTH.items()
        for value in values
    ]
    bench.draw(points, tmp_path / "growth.png")
    with Image.open(tmp_path / "growth.png") as drawn:
        assert drawn.width > 1000


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_bench_predict_measures_all_candidates(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = script("bench_predict")
    bench.make_photographs(tmp_path / "photographs", 3, longest=500)
    args = f"--model vit_tiny_patch16_224 --photographs {tmp_path / 'photographs'} --parts 2 --workers 0"
    output = tmp_path / "predict.json"
    assert bench.main([*args.split(), "--output", str(output)]) == 0
    rows = json.loads(output.read_text())["rows"]
    assert [row["candidate"] for row in rows][:3] == [
        "timm, float32",
        "transformers, float32",
        "vit, float32",
    ]
    assert {row["pictures"] for row in rows} == {3}
    assert [row["agreement"] for row in rows[:3]] == [1.0, None, 1.0]
    assert len(capsys.readouterr().out.splitlines()) == len(rows) + 1
    gc.collect()  # timm's dataset leaves its files open


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")
@pytest.mark.parametrize("processes", [1, 2])
def test_the_same_rows_whatever_happens(
    script: Script, digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], processes: int
) -> None:
    args = f"--model {digits_run} --pictures 1500 --kills 3 --processes {processes} --worlds 3"
    output = tmp_path / "same.json"
    assert script("same_rows").main([*args.split(), "--output", str(output)]) == 0
    assert "3 of 3: same bytes" in capsys.readouterr().out
    figures = json.loads(output.read_text())
    assert (len(figures["trials"]), [engine["same"] for engine in figures["engines"]]) == (3, [True])


@pytest.mark.timeout(900)  # the moments of the kills depend on the speed of the machine
def test_a_killed_training_becomes_the_same(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    output = tmp_path / "crash.json"
    assert script("crash_train").main(["--kills", "2", "--epochs", "4", "--output", str(output)]) == 0
    assert "2 of 2 equal bit for bit" in capsys.readouterr().out
    assert all(trial["moment"] > 0 for trial in json.loads(output.read_text())["trials"])


def test_many_names_are_measured(script: Script, digits_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "names.json"
    args = f"--model {digits_run} --names 3 600 --place {tmp_path}"
    assert script("bench_names").main([*args.split(), "--output", str(output)]) == 0
    few, many = json.loads(output.read_text())["rows"]
    assert (few["names"], many["names"], few["exit"], many["exit"]) == (3, 600, 3, 3)
    assert 0 < few["first"] <= few["seconds"]
    assert few["memory"] > 50


def test_a_peer_is_trained_and_measured(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert script("train_peers").main(["timm", "--data", "digits", "--epochs", "1"]) == 0
    figures = json.loads((tmp_path / "runs" / "peer_timm_30min_0" / "result.json").read_text())
    assert (figures["val"]["n"], figures["test"]["n"]) == (143, 359)
    assert 0.05 < figures["test"]["accuracy"] < 0.95
    assert "1.0 epochs" in capsys.readouterr().out


def test_a_model_is_shipped_with_its_card(script: Script, digits_run: Path, tmp_path: Path) -> None:
    ship = script("ship_model")
    args = [str(digits_run), "small", "--title", "Digits in a moment", "--into", str(tmp_path)]
    assert ship.main(args) == 0
    card = (tmp_path / "small" / "README.md").read_text()
    assert "Digits in a moment" in card
    assert "{" not in card
    assert "CIFAR" not in card
    model, exact = vit.load_model(tmp_path / "small"), vit.load_model(digits_run)
    images = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(model(images), exact(images), atol=0.02, rtol=0.02)
    assert not torch.equal(model(images), exact(images))
    scores = json.loads((tmp_path / "small" / "config.json").read_text())["scores"]
    assert set(scores) == {"val", "test", "test, with mirror images"}
