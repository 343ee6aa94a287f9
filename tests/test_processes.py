"""Two processes under torchrun give the result of one: train, evaluate, predict."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vit.cli import main

SMALL = "--config digits --model.width 24 --model.depth 2 --trainer.max_epochs 2 --trainer.precision 32-true"
PLAIN = f"{SMALL} --optim.ema 0"
GROW = "--augment.grow_from 0.5"
CONV = f"{PLAIN} {GROW} --optim.name muon --model.tokenizer conv --model.class_token false --model.pool mean"


def torchrun(args: str, folder: Path, processes: int = 2) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    return subprocess.run(
        [*command, "-m", "vit.cli", *args.split()],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def train(args: str, folder: Path) -> Path:
    ended = torchrun(f"train --name run {args}", folder)
    assert ended.returncode == 0, ended.stderr
    return folder / "runs" / "run"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


# A bias on all keys cancels in the softmax: its gradient is rounding error, which AdamW scales up
# to the size of a few steps, 1e-3. "grow" has no such bias.
@pytest.mark.parametrize("args", ["", f"{GROW} --model.qkv_bias false"], ids=["plain", "grow"])
def test_two_processes_train_as_one_with_batches_of_twice_the_size(
    args: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = train(f"{PLAIN} {args} --data.batch_size 32", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(f"train --name alone {PLAIN} {args} --data.batch_size 64".split()) == 0
    alone = tmp_path / "runs" / "alone"
    assert [row["epoch"] for row in metrics(both)] == ["1", "2"]
    for ours, theirs in zip(metrics(both), metrics(alone), strict=True):
        for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-3), name
    expected = weights(alone)
    for name, tensor in weights(both).items():
        atol = 2e-3 if name.endswith("key.bias") else 2e-4
        torch.testing.assert_close(tensor, expected[name], atol=atol, rtol=1e-3, msg=name)


def test_sharded_weights_train_as_replicated_ones(tmp_path: Path) -> None:
    for name in ("replicated", "sharded"):
        (tmp_path / name).mkdir()
    replicated = train(f"{CONV} --trainer.strategy ddp", tmp_path / "replicated")
    sharded = train(f"{CONV} --trainer.strategy fsdp2", tmp_path / "sharded")
    expected = weights(replicated)
    for name, tensor in weights(sharded).items():
        torch.testing.assert_close(tensor, expected[name], atol=2e-3, rtol=1e-2, msg=name)
    assert (sharded / "checkpoints" / "last.ckpt").is_file(), "one file, not a folder of parts"
    assert (replicated / "overlays").is_dir()
    assert not (sharded / "overlays").exists(), "no process has all weights"
    ended = torchrun("train --name run --resume --trainer.max_epochs 3", tmp_path / "sharded")
    assert ended.returncode == 0, ended.stderr
    assert [row["epoch"] for row in metrics(sharded)] == ["1", "2", "3"]


def test_evaluation_counts_every_image_once(
    digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = f"evaluate {digits_run} --json --batch-size 100 --output"
    assert main([*args.split(), str(tmp_path / "one")]) == 0
    alone = json.loads(capsys.readouterr().out)
    ended = torchrun(f"{args} two", tmp_path)
    assert ended.returncode == 0, ended.stderr
    together = json.loads(ended.stdout)
    assert together["n"] == alone["n"] == 359
    for name in ("classes", "confusion", "labels"):
        assert together.pop(name) == alone.pop(name)
    for name in ("by_class", "interval"):
        assert together.pop(name) == pytest.approx(alone.pop(name), abs=1e-6)
    assert together == pytest.approx(alone, abs=1e-6)
    for name in ("classes.csv", "confusion.csv"):
        assert (tmp_path / "two" / name).read_text() == (tmp_path / "one" / name).read_text()
    ours, theirs = (_mistakes(tmp_path / folder / "mistakes.csv") for folder in ("two", "one"))
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert (tmp_path / "two" / "plots" / "wrongest.png").is_file()


def _mistakes(file: Path) -> dict[tuple[str, ...], float]:
    """The score of each mistake, by path, label and prediction."""
    with file.open(newline="") as stream:
        return {
            (row["path"], row["label"], row["predicted"]): float(row["score"])
            for row in csv.DictReader(stream)
        }


def test_a_split_too_small_for_its_processes(digits_run: Path, tmp_path: Path, pictures: Path) -> None:
    for part, names in (("train", ("a", "b", "c")), ("test", ("e",))):
        (tmp_path / "data" / part / "3").mkdir(parents=True)
        for name in names:
            (pictures / f"{name}.png").rename(tmp_path / "data" / part / "3" / f"{name}.png")
    ended = torchrun(f"evaluate {digits_run} --data data", tmp_path)
    assert ended.returncode == 1
    assert "1 pictures for 2 processes" in ended.stderr


def test_the_same_file_from_two_processes(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    args = f"predict {digits_run} {pictures} --output"
    assert main([*args.split(), str(tmp_path / "one.csv")]) == 0
    ended = torchrun(f"{args} {tmp_path / 'two.csv'}", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
