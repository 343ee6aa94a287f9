"""A run that is interrupted and resumed equals one that was not, bit for bit."""

import csv
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from vit.cli import main
from vit.recipes import train as recipe
from vit.training import checkpoints
from vit.training.module import Classifier
from vit.training.run_folder import LAST

TRAIN = (
    "train --config digits --model.width 24 --model.depth 2 --model.drop_path 0.3 --model.dropout 0.1 "
    "--augment.mixup 0.4 --augment.cutmix 1.0 --augment.erase 0.3 --augment.grow_from 0.5 --optim.ema 0.9 "
    "--trainer.max_epochs 2 --trainer.precision 32-true --trainer.overlays 0 --data.batch_size 100"
)
RESUME = ["train", "--name", "run", "--resume", "--trainer.save_every", "300"]
STEPS = 12  # of an epoch


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Cut(BaseException):
    """Stands for a power cut."""


def at_step(
    monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], Any], where: str = "training_step"
) -> None:
    """Call `act` in the middle of a step, counted from the start of training in this process."""
    plain = getattr(Classifier, where)
    seen = []

    def step(self: Classifier, *arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == number:
            act()
        return plain(self, *arguments)

    monkeypatch.setattr(Classifier, where, step)


def cut() -> None:
    raise Cut


def state(run: str) -> dict[str, Any]:
    """Everything that must be equal: weights, checkpoint, log of steps, log of epochs without times."""
    folder = Path("runs") / run
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    for name in [name for name in checkpoint["callbacks"] if "EpochLog" in name or "Timer" in name]:
        del checkpoint["callbacks"][name]
    for name, content in checkpoint["callbacks"].items():
        if "ModelCheckpoint" in name:
            checkpoint["callbacks"][name] = {"best": content["best_model_score"]}
    with (folder / "metrics.csv").open() as stream:
        rows = [
            {k: v for k, v in row.items() if k not in ("seconds", "images_per_second", "data_wait")}
            for row in csv.DictReader(stream)
        ]
    return {
        "weights": load_file(folder / "model" / "model.safetensors"),
        "checkpoint": {k: v for k, v in checkpoint.items() if k != "loops"},
        "steps": (folder / "steps.csv").read_text(),
        "metrics": rows,
    }


def assert_same(one: Any, other: Any, where: str = "") -> None:
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}/{index}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder, before = tmp_path_factory.mktemp("uninterrupted"), Path.cwd()
    os.chdir(folder)
    try:
        assert main([*TRAIN.split(), "--name", "run"]) == 0
        return state("run")
    finally:
        os.chdir(before)


@pytest.mark.parametrize("number", [2, 5, STEPS, STEPS + 1, STEPS + 5])
def test_cut_in_a_step(number: int, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, number, cut)
        with pytest.raises(Cut):
            main([*TRAIN.split(), "--name", "run", "--trainer.save_every", "0"])
    assert main(RESUME) == 0
    assert_same(state("run"), uninterrupted)


def test_cut_with_balanced_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws with replacement continue at the same one; the count of patience, too."""
    args = [*TRAIN.split(), "--data.balance", "sampler", "--trainer.patience", "5"]
    assert main([*args, "--name", "whole"]) == 0
    with monkeypatch.context() as patch:
        at_step(patch, STEPS + 5, cut)
        with pytest.raises(Cut):
            main([*args, "--name", "run", "--trainer.save_every", "0"])
    assert main(RESUME) == 0
    assert_same(state("run"), state("whole"))


def test_a_checkpoint_of_an_earlier_version(
    uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In it the states of callbacks have other names."""
    with monkeypatch.context() as patch:
        at_step(patch, STEPS + 5, cut)
        with pytest.raises(Cut):
            main([*TRAIN.split(), "--name", "run", "--trainer.save_every", "0"])
    last = Path("runs/run/checkpoints/last.ckpt")
    checkpoint = torch.load(last, weights_only=True)
    for old, new in checkpoints.RENAMED_CALLBACKS.items():
        checkpoint["callbacks"][old] = checkpoint["callbacks"].pop(new)
    checkpoints.DurableIO().save_checkpoint(checkpoint, last)
    assert main(RESUME) == 0
    assert_same(state("run"), uninterrupted)


def test_an_attention_pool_of_an_earlier_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had biases, whatever `model.qkv_bias` was."""
    args = [*TRAIN.split(), "--model.pool", "attention", "--model.qkv_bias", "false", "--name", "run"]
    with monkeypatch.context() as patch:
        patch.setattr("vit.recipes.image.pool_arguments", lambda config, checkpoint: {})
        at_step(patch, STEPS + 2, cut)
        with pytest.raises(Cut):
            main(args)
    assert main(RESUME) == 0
    names = [name for name in state("run")["weights"] if "query.bias" in name]
    assert names == ["pool.attention.query.bias"]


@pytest.mark.parametrize("number", [1, 2])
def test_cut_in_a_validation(
    number: int, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, number, cut, "validation_step")
        with pytest.raises(Cut):
            main([*TRAIN.split(), "--name", "run", "--trainer.save_every", "0"])
    assert main(RESUME) == 0
    assert_same(state("run"), uninterrupted)


@pytest.mark.parametrize("number", [2, STEPS, STEPS + 2])
@pytest.mark.parametrize("before", ["write", "rename"])
def test_cut_in_a_save(
    number: int, before: str, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"write": torch.save, "rename": os.replace}[before]
    saves = []

    def interrupted(*arguments: Any) -> None:
        if before == "write" or Path(arguments[1]).name == LAST:
            saves.append(1)
            if len(saves) == number:
                raise Cut
        plain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(*((checkpoints.torch, "save") if before == "write" else (os, "replace")), interrupted)
        with pytest.raises(Cut):
            main([*TRAIN.split(), "--name", "run", "--trainer.save_every", "0"])
    assert main(RESUME) == 0
    assert_same(state("run"), uninterrupted)


@pytest.mark.parametrize(
    ("kind", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize(("number", "where"), [(4, "training_step"), (1, "validation_step")])
def test_a_signal_saves_the_current_step(
    kind: signal.Signals,
    code: int,
    number: int,
    where: str,
    uninterrupted: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, number, lambda: os.kill(os.getpid(), kind), where)
        assert ended([*TRAIN.split(), "--name", "run"]) == code
    kept = torch.load("runs/run/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert kept == (number if where == "training_step" else STEPS)
    assert main(RESUME) == 0
    assert_same(state("run"), uninterrupted)


def ended(args: list[str]) -> int:
    """The exit code of a command."""
    try:
        return main(args)
    except SystemExit as leaving:
        return int(leaving.code or 0)


def test_a_damaged_checkpoint_is_found_and_survived(
    uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 5, cut)
        with pytest.raises(Cut):
            main([*TRAIN.split(), "--name", "run", "--trainer.save_every", "0"])
    folder = Path("runs/run/checkpoints")
    whole = (folder / "last.ckpt").read_bytes()
    generator = torch.Generator().manual_seed(7)
    offsets = torch.randint(len(whole), (200,), generator=generator).tolist()
    for offset in offsets[:100]:
        (folder / "last.ckpt").write_bytes(whole[:offset])
        assert checkpoints.newest_intact(folder)[0].name == "previous.ckpt"
    for offset in offsets[100:]:
        flipped = bytes([whole[offset] ^ (1 << offset % 8)])
        (folder / "last.ckpt").write_bytes(whole[:offset] + flipped + whole[offset + 1 :])
        assert checkpoints.newest_intact(folder)[0].name == "previous.ckpt"
    capsys.readouterr()
    assert main(RESUME) == 0
    assert "last.ckpt is damaged" in capsys.readouterr().out
    assert_same(state("run"), uninterrupted)


def test_nothing_good_is_left(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(digits_run, "runs/small")
    for file in Path("runs/small/checkpoints").glob("*.ckpt"):
        file.write_bytes(b"")
    assert main("train --name small --resume --trainer.max_epochs 3".split()) == 1  # noqa: SIM905
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nothing to resume" in error


def test_steps_whose_loss_is_not_finite_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Classifier.training_step
    seen = []

    def poisoned(self: Classifier, *arguments: Any) -> torch.Tensor:
        seen.append(1)
        return plain(self, *arguments) * (float("nan") if 3 <= len(seen) <= 5 else 1.0)

    monkeypatch.setattr(Classifier, "training_step", poisoned)
    assert main([*TRAIN.split(), "--name", "run"]) == 0
    assert all(tensor.isfinite().all() for tensor in state("run")["weights"].values())


def test_a_run_whose_losses_are_all_not_finite_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = Classifier.training_step
    monkeypatch.setattr(Classifier, "training_step", lambda *args: plain(*args) * float("inf"))
    assert main([*TRAIN.split(), "--name", "run"]) == 1
    error = capsys.readouterr().err
    assert re.search(r"not finite in \d\d steps in a row", error)  # it is looked at when an epoch ends
    assert error.count("\n") == 1


def test_two_runs_in_one_folder(
    digits_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(digits_run, "runs/small")
    with Path("runs/small/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for args in ("--resume --trainer.max_epochs 3", "--config digits --overwrite"):
            assert main(["train", "--name", "small", *args.split()]) == 1
            assert "is in use by another process" in capsys.readouterr().err
    assert Path("runs/small/report.html").is_file()


def test_other_data_are_refused(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(digits_run, "runs/small")
    last = Path("runs/small/checkpoints/last.ckpt")
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["callbacks"]["DataGuard"]["the list of labels"] = ["cat", *map(str, range(9))]
    checkpoints.DurableIO().save_checkpoint(checkpoint, last)
    before = {name: Path("runs/small", name).read_bytes() for name in ("config.yaml", "env.json")}
    Path("runs/small/env.json").write_bytes(before["env.json"] + b"\n")  # as another machine wrote it
    before["env.json"] += b"\n"
    assert main("train --name small --resume --trainer.max_epochs 3".split()) == 1  # noqa: SIM905
    assert {name: Path("runs/small", name).read_bytes() for name in before} == before
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the list of labels is ['0', '1'" in error
    assert "(9 came and cat went)" in error


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on files stands in for a full disk")
def test_a_disk_without_room(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))

    try:
        with monkeypatch.context() as patch:
            at_step(patch, 4, full)
            assert main([*TRAIN.split(), "--name", "run", "--trainer.save_every", "0"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "last.ckpt cannot be written: File too large" in error
    kept, _ = checkpoints.newest_intact(Path("runs/run/checkpoints"))
    assert torch.load(kept, weights_only=True)["global_step"] == 3
    assert not list(Path("runs/run").rglob("*.tmp"))


def test_a_run_that_was_moved(uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, STEPS + 4, cut)
        with pytest.raises(Cut):
            main([*TRAIN.split(), "--name", "before"])
    Path("runs/before").rename("runs/run")
    assert main(RESUME) == 0
    assert_same(state("run"), uninterrupted)
    best = torch.load("runs/run/checkpoints/last.ckpt", weights_only=True)["callbacks"]
    assert not any("before" in str(content) for content in best.values())


def limit_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    plain = Classifier.training_step

    def step(self: Classifier, batch: Any, number: int) -> torch.Tensor:
        if len(batch[0]) > most:
            raise torch.OutOfMemoryError("out of memory")
        return plain(self, batch, number)

    monkeypatch.setattr(Classifier, "training_step", step)


def test_out_of_memory_halves_batches_and_not_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limit_memory(monkeypatch, 30)
    assert main([*TRAIN.split(), "--name", "run"]) == 0
    assert (
        "out of memory with batches of 50: starting over with batches of 25, 4 per step"
        in capsys.readouterr().out
    )
    config = yaml.safe_load(Path("runs/run/config.yaml").read_text())
    assert (config["data"]["batch_size"], config["trainer"]["accumulate"]) == (25, 4)
    steps = (Path("runs/run/steps.csv")).read_text().splitlines()
    assert int(steps[-1].split(",")[0]) in (2 * STEPS, 2 * (STEPS + 1))


def test_out_of_memory_with_one_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limit_memory(monkeypatch, 0)
    assert main([*TRAIN.split(), "--name", "run", "--data.batch_size", "2"]) == 1
    assert "out of memory with a batch of one example" in capsys.readouterr().err
    assert not Path("runs/run").exists()


def test_out_of_memory_later(
    digits_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(digits_run, "runs/small")
    limit_memory(monkeypatch, 0)
    assert main("train --name small --resume --trainer.max_epochs 3".split()) == 1  # noqa: SIM905
    assert "--data.batch_size 32 --trainer.accumulate 2" in capsys.readouterr().err


def test_an_image_that_vanishes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    noise = torch.Generator().manual_seed(5)
    for label in ("dark", "light"):
        Path("pictures", label).mkdir(parents=True)
        for index in range(30):
            pixels = torch.randint(0, 256, (9, 9, 3), generator=noise, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(Path("pictures", label, f"{index}.png"))
    lost = sorted(Path("pictures", "dark").iterdir())
    args = "train --config folder --data.root pictures --data.image_size 16 --model.width 24 --model.depth 1 "
    args += "--trainer.max_epochs 3 --data.batch_size 4 --data.memory_gb 0 --trainer.save_every 0 --name run"
    with monkeypatch.context() as patch:
        at_step(patch, 4, lambda: [file.rename(f"{file}.away") for file in lost])
        assert main(args.split()) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "missing: no such file" in error
    kept, _ = checkpoints.newest_intact(Path("runs/run/checkpoints"))
    assert torch.load(kept, weights_only=True)["global_step"] >= 3
    for file in lost:
        Path(f"{file}.away").rename(file)
    assert main(RESUME) == 0


def test_cut_while_gradients_are_accumulated(monkeypatch: pytest.MonkeyPatch) -> None:
    args = [*TRAIN.split(), "--trainer.accumulate", "3"]
    assert main([*args, "--name", "whole"]) == 0
    with Path("runs/whole/steps.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(1, 2 * STEPS // 3 + 1)), "a row for each step"
    assert 2 < float(rows[0]["loss"]) < 2.7, "the loss of all of its batches, not of a third"
    with monkeypatch.context() as patch:
        at_step(patch, STEPS + 6, cut)
        with pytest.raises(Cut):
            main([*args, "--name", "run", "--trainer.save_every", "0"])
    assert main(RESUME) == 0
    assert_same(state("run"), state("whole"))


def test_a_malformed_row_is_dropped(digits_run: Path) -> None:
    shutil.copytree(digits_run, "runs/small")
    for name in ("steps.csv", "metrics.csv"):
        with Path("runs/small", name).open("a") as stream:
            stream.write("x41,1.0,2.0,,,,,,\n7\0,")
    assert main("train --name small --resume --trainer.max_epochs 3".split()) == 0  # noqa: SIM905
    with Path("runs/small/metrics.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2", "3"]


def test_a_missing_list_of_checksums(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(digits_run, "runs/small")
    Path("runs/small/checkpoints/SHA256SUMS").unlink()
    resume = ["train", "--name", "small", "--resume", "--trainer.max_epochs", "3"]
    assert main(resume) == 1
    way_out = capsys.readouterr().err.partition("as they are, ")[2].strip()
    subprocess.run(way_out, shell=True, check=True)
    assert main(resume) == 0


@pytest.mark.parametrize("args", ["--trainer.accumulate 2", "--trainer.precision bf16-mixed", "--seed 3"])
def test_another_config_is_refused(args: str, digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(digits_run, "runs/small")
    before = Path("runs/small/config.yaml").read_text()
    assert main(["train", "--name", "small", "--resume", "--trainer.max_epochs", "3", *args.split()]) == 1
    error = capsys.readouterr().err
    assert f"{args.split()[0][2:]} is " in error
    assert "and was" in error
    assert Path("runs/small/config.yaml").read_text() == before


def test_fewer_epochs_than_are_done(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(digits_run, "runs/small")
    assert main("train --name small --resume --trainer.max_epochs 1".split()) == 1  # noqa: SIM905
    assert "it is in epoch 2, and --trainer.max_epochs is 1" in capsys.readouterr().err


def test_a_run_killed_before_it_replaced_another(digits_run: Path) -> None:
    shutil.copytree(digits_run, "runs/small.replaced")
    Path("runs/small/checkpoints").mkdir(parents=True)
    for unfinished in ("last.ckpt.tmp", "best.ckpt"):
        Path("runs/small/checkpoints", unfinished).write_bytes(b"")
    config = yaml.safe_load((digits_run / "config.yaml").read_text())
    config["optim"]["lr"] *= 2  # what is resumed is the replaced run, with its own config
    Path("runs/small/config.yaml").write_text(yaml.safe_dump(config))
    assert main("train --name small --resume --trainer.max_epochs 3".split()) == 0  # noqa: SIM905
    assert Path("runs/small/model/model.safetensors").is_file()
    assert not Path("runs/small.replaced").exists()


def test_a_first_save_that_fails_keeps_the_replaced_run(
    digits_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(digits_run, "runs/small")

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    assert main([*TRAIN.split(), "--name", "small", "--overwrite"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert Path("runs/small/report.html").is_file()
    assert not Path("runs/small.replaced").exists()


def test_resume_and_overwrite_together(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(digits_run, "runs/small")
    before = sorted(Path("runs").rglob("*"))
    assert main("train --name small --resume --overwrite".split()) == 2  # noqa: SIM905
    assert "--resume continues the run and --overwrite replaces it" in capsys.readouterr().err
    assert sorted(Path("runs").rglob("*")) == before


def test_a_folder_that_another_process_has_created(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = recipe.prepare

    def slowly(*arguments: Any) -> Any:
        Path("runs/run/checkpoints").mkdir(parents=True)
        Path("runs/run/checkpoints", LAST).touch()
        return plain(*arguments)

    monkeypatch.setattr(recipe, "prepare", slowly)
    assert main([*TRAIN.split(), "--name", "run"]) == 1
    assert "runs/run exists: --resume continues it" in capsys.readouterr().err
