"""Kill `vit train` at random moments, resume it, and compare it with an uninterrupted run, bit for bit.

python scripts/crash_train.py                     # digits, 20 kills
python scripts/crash_train.py --kills 3 --epochs 2

The run has dropout, stochastic depth, mixup, cutmix, erasing and averaged weights. Each trial starts a new
run and kills it with SIGKILL at a random moment of a whole run's time: in a step, in a save, in a validation,
between epochs. Compared are the weights in the bundle; the last checkpoint's weights, averaged weights,
optimiser, schedule and random state; and the log of steps. Checkpoints are written every half second.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from vit.training.environment import environment

RUN = (
    "--config digits --model.width 48 --model.depth 3 --model.drop_path 0.2 --model.dropout 0.1 "
    "--augment.mixup 0.4 --augment.cutmix 1.0 --augment.erase 0.3 --optim.ema 0.95 --data.batch_size 50 "
    "--trainer.save_every 0.5 --trainer.overlays 2"
)
STRETCH = 1.1  # of the moments of a kill, where one came before the first checkpoint or after the end


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    generator = random.Random(arguments.seed)
    trials = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train = [sys.executable, "-m", "vit.cli", "train", *RUN.split()]
        train += ["--trainer.max_epochs", str(arguments.epochs), *arguments.options]
        started = time.monotonic()
        finish([*train, "--name", "whole"], folder)
        whole = time.monotonic() - started
        expected = state(folder / "runs" / "whole")
        earliest, latest = _first_checkpoint(folder / "runs" / "whole", whole), whole
        while len(trials) < arguments.kills:
            moment = generator.uniform(earliest, latest)
            ended, trial = crash(train, folder, f"run{len(trials)}", moment)
            if trial is None:  # the speed of the machine has changed; it may change back
                factor = 1 / STRETCH if ended else STRETCH
                earliest, latest = factor * earliest, factor * latest
                continue
            resumed = state(folder / "runs" / f"run{len(trials)}")
            trials.append(trial | {"different": differences(expected, resumed)})
            print(line(len(trials), trials[-1]), flush=True)
    good = sum(not trial["different"] for trial in trials)
    print(f"{good} of {len(trials)} equal bit for bit; a whole run takes {whole:.1f} s")
    if arguments.output:
        figures = {"environment": environment(), "run": RUN, "seconds": whole, "trials": trials}
        Path(arguments.output).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if good == len(trials) else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    parser.add_argument("--output", metavar="JSON")
    parser.add_argument("options", nargs="*", help="further options of vit train, after --")
    return parser.parse_args(argv)


def finish(command: list[str], folder: Path) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr}")


def _first_checkpoint(run: Path, whole: float) -> float:
    """Seconds from the start of a run until its training starts."""
    with (run / "metrics.csv").open() as stream:
        training = float(list(csv.DictReader(stream))[-1]["seconds"])
    return max(whole - training, 0.0)


def crash(train: list[str], folder: Path, name: str, moment: float) -> tuple[bool, dict[str, Any] | None]:
    """Kill a run after `moment` seconds and resume it.

    Returns:
        Whether it had ended by itself, and the trial; None if it had ended, or had no checkpoint yet.
    """
    running = subprocess.Popen(
        [*train, "--name", name, "--overwrite"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(moment)
    os.kill(running.pid, signal.SIGKILL)
    ended = running.wait() != -signal.SIGKILL
    if ended or not list((folder / "runs" / name).glob("checkpoints/last.ckpt")):
        return ended, None
    steps = (folder / "runs" / name / "steps.csv").read_text().count("\n") - 1
    finish([*train, "--name", name, "--resume"], folder)
    return False, {"moment": moment, "steps": steps}


def state(run: Path) -> dict[str, Any]:
    """Everything that must be equal, as name -> tensor or text."""
    values: dict[str, Any] = {}
    flatten(load_file(run / "model" / "model.safetensors"), "bundle", values)
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    kept = (
        "state_dict",
        "current_model_state",
        "averaging_state",
        "optimizer_states",
        "lr_schedulers",
        "global_step",
    )
    for part in kept:
        flatten(checkpoint.get(part), f"checkpoint {part}", values)
    flatten(checkpoint["callbacks"]["RNGState"], "random state", values)
    values["steps.csv"] = (run / "steps.csv").read_text()
    return values


def flatten(value: Any, name: str, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            flatten(part, f"{name} {key}", into)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            flatten(part, f"{name} {index}", into)
    else:
        into[name] = value


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    names = sorted(one.keys() | other.keys())
    return [name for name in names if not _equal(one.get(name), other.get(name))]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and one == other


def line(number: int, trial: dict[str, Any]) -> str:
    different = trial["different"]
    result = "equal bit for bit" if not different else f"DIFFERENT: {', '.join(different[:5])}"
    return f"{number:3}  killed after {trial['moment']:6.2f} s, {trial['steps']:4} steps logged: {result}"


if __name__ == "__main__":
    raise SystemExit(main())
