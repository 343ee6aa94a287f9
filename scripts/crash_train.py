"""Kill `vit train` at random moments, go on with --resume, and compare what it becomes, bit for bit.

python scripts/crash_train.py                     # digits, 20 kills
python scripts/crash_train.py --kills 3 --epochs 2

The run has dropout, stochastic depth, mixup, cutmix, erasing and averaged weights. Each trial starts it anew,
and kills it with SIGKILL at a moment drawn from the time of a whole run: in a step, in a save, in a
validation, at an epoch's edge. Compared are the weights in the bundle; of the last checkpoint the weights,
the averaged ones, the optimiser, the schedule and the state of chance; and the log of steps. Checkpoints are
written every half second.
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


def main(words: list[str] | None = None) -> int:
    arguments = _parse(words)
    chance = random.Random(arguments.seed)
    trials = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        train = [sys.executable, "-m", "vit.cli", "train", *RUN.split()]
        train += ["--trainer.max_epochs", str(arguments.epochs), *arguments.options]
        started = time.monotonic()
        finish([*train, "--name", "whole"], place)
        whole = time.monotonic() - started
        expected = state(place / "runs" / "whole")
        first = _first_checkpoint(place / "runs" / "whole", whole)
        while len(trials) < arguments.kills:
            moment = chance.uniform(first, whole)
            trial = crash(train, place, f"run{len(trials)}", moment)
            if trial is None:
                continue
            found = state(place / "runs" / f"run{len(trials)}")
            trials.append(trial | {"different": differences(expected, found)})
            print(line(len(trials), trials[-1]), flush=True)
    good = sum(not trial["different"] for trial in trials)
    print(f"{good} of {len(trials)} equal bit for bit; a whole run takes {whole:.1f} s")
    if arguments.output:
        found = {"environment": environment(), "run": RUN, "seconds": whole, "trials": trials}
        Path(arguments.output).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if good == len(trials) else 1


def _parse(words: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    parser.add_argument("--output", metavar="JSON")
    parser.add_argument("options", nargs="*", help="further options of vit train, behind --")
    return parser.parse_args(words)


def finish(command: list[str], place: Path) -> None:
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr}")


def _first_checkpoint(run: Path, whole: float) -> float:
    """Seconds into a run of which only the training was logged."""
    with (run / "metrics.csv").open() as stream:
        training = float(list(csv.DictReader(stream))[-1]["seconds"])
    return max(whole - training, 0.0)


def crash(train: list[str], place: Path, name: str, moment: float) -> dict[str, Any] | None:
    """Kill a run after `moment` seconds and resume it; None if it had no checkpoint yet, or was through."""
    running = subprocess.Popen(
        [*train, "--name", name, "--overwrite"],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(moment)
    os.kill(running.pid, signal.SIGKILL)
    if running.wait() != -signal.SIGKILL or not list((place / "runs" / name).glob("checkpoints/*.ckpt")):
        return None
    steps = (place / "runs" / name / "steps.csv").read_text().count("\n") - 1
    finish([*train, "--name", name, "--resume"], place)
    return {"moment": moment, "steps": steps}


def state(run: Path) -> dict[str, Any]:
    """All that must be equal, as name -> tensor or text."""
    found: dict[str, Any] = {}
    flatten(load_file(run / "model" / "model.safetensors"), "bundle", found)
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
        flatten(checkpoint.get(part), f"checkpoint {part}", found)
    flatten(checkpoint["callbacks"]["RNGState"], "chance", found)
    found["steps.csv"] = (run / "steps.csv").read_text()
    return found


def flatten(value: Any, name: str, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            flatten(part, f"{name} {key}", into)
    elif isinstance(value, (list, tuple)):
        for place, part in enumerate(value):
            flatten(part, f"{name} {place}", into)
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
    told = "equal bit for bit" if not different else f"DIFFERENT: {', '.join(different[:5])}"
    return f"{number:3}  killed after {trial['moment']:6.2f} s, {trial['steps']:4} steps logged: {told}"


if __name__ == "__main__":
    raise SystemExit(main())
