"""The same file from `vit predict` whatever happens: killed at random moments, by several processes, on Ray.

python scripts/same_rows.py                                  # 5,000 pictures; 20 kills of one process
python scripts/same_rows.py --processes 2                    # the same under torchrun
python scripts/same_rows.py --kills 0 --worlds 2 4 --actors 1 2 4

Each trial of a kill starts anew, kills the command with SIGKILL at a moment drawn from the time that a whole
run takes (its decoding processes are left to notice by themselves), waits until nothing of it is left, and
runs the command again. It says how many shards stood at that moment, how many rows of unfinished ones were
made again, whether a finished one was, and whether the output is that of a run that nobody disturbed, byte
for byte. One picture in a hundred is cut short.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from vit.jobs.job import SHARD, job_folder
from vit.training.environment import environment


def main(words: list[str] | None = None) -> int:
    arguments = _parse(words)
    if not Path("/proc/self/stat").exists():
        sys.exit("this script looks for processes in /proc, which only Linux has")
    with tempfile.TemporaryDirectory() as place:
        folder, output = Path(place) / "pictures", Path(place) / f"labels.{arguments.format}"
        make_pictures(folder, arguments.pictures)
        command = command_for(arguments.model, folder, output, arguments.processes)
        started = time.monotonic()
        finish(command)
        whole = time.monotonic() - started
        expected = output.read_bytes()
        trials = []
        chance = random.Random(arguments.seed)
        while len(trials) < arguments.kills:
            output.unlink(missing_ok=True)
            trial = crash(command, output, chance.uniform(0, whole))
            if trial is None:  # it was through before its moment
                continue
            trials.append(trial | {"same": output.read_bytes() == expected})
            print(line(len(trials), trials[-1]), flush=True)
        engines = []
        for name, other in engines_for(arguments, folder, output):
            output.unlink(missing_ok=True)
            started = time.monotonic()
            finish(other)
            engines.append({"engine": name, "seconds": time.monotonic() - started})
            engines[-1]["same"] = output.read_bytes() == expected
            same = "same bytes" if engines[-1]["same"] else "OTHER BYTES"
            print(f"{name}: {same}, {engines[-1]['seconds']:.1f} s", flush=True)
    print(f"a whole run takes {whole:.1f} s")
    if arguments.output:
        found = {"environment": environment(), "seconds": whole, "trials": trials, "engines": engines}
        Path(arguments.output).write_text(
            json.dumps(found | vars(arguments), indent=1) + "\n", encoding="utf-8"
        )
    return 0 if survived(trials, arguments.processes) and all(one["same"] for one in engines) else 1


def survived(trials: list[dict[str, Any]], processes: int) -> bool:
    """Whether all kills changed nothing and cost no more than a shard of each process."""
    if not trials:
        return True
    good = [trial for trial in trials if trial["same"] and not trial["redone"] and not trial["left"]]
    lost, allowed = max(trial["rows"] for trial in trials), SHARD * processes
    print(
        f"{len(good)} of {len(trials)}: same bytes, no finished shard made again, no process left; "
        f"at most {lost} rows made again ({allowed} allowed)"
    )
    return len(good) == len(trials) and lost <= allowed


def _parse(words: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="cifar10", help="a MODEL of vit predict")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1, help="of a run that is killed")
    parser.add_argument("--worlds", type=int, nargs="*", default=[], help="also run so many under torchrun")
    parser.add_argument("--actors", type=int, nargs="*", default=[], help="also run so many of Ray's")
    parser.add_argument("--format", default="csv", choices=("csv", "jsonl", "parquet"))
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    parser.add_argument("--output", metavar="JSON")
    return parser.parse_args(words)


def make_pictures(folder: Path, count: int) -> None:
    """JPEGs of 64 to 127 pixels of handwritten digits; one in a hundred ends too early."""
    folder.mkdir()
    digits = (load_digits().images / 16 * 255).astype(np.uint8)
    for index in range(count):
        file = folder / f"{index:06}.jpg"
        side = 64 + index % 64
        Image.fromarray(digits[index % len(digits)]).resize((side, side)).save(file)
        if index % 100 == 42:
            file.write_bytes(file.read_bytes()[:-200])


def command_for(model: str, folder: Path, output: Path, processes: int) -> list[str]:
    run = ["-m", "vit.cli", "predict", model, str(folder), "--output", str(output)]
    if processes == 1:
        return [sys.executable, *run]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *torchrun, *run]


def engines_for(arguments: argparse.Namespace, folder: Path, output: Path) -> Iterator[tuple[str, list[str]]]:
    """Names and commands of the other ways to the same file."""
    for world in arguments.worlds:
        yield f"torchrun, {world} processes", command_for(arguments.model, folder, output, world)
    for actors in arguments.actors:
        command = command_for(arguments.model, folder, output, 1)
        yield f"Ray, {actors} actors", [*command, "--engine", "ray", "--actors", str(actors)]


def finish(command: list[str]) -> None:
    """Run a command to its end; torchrun makes 1 of the 3 that says that some pictures were bad."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 3 and "torch.distributed.run" not in command:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr}")


def crash(command: list[str], output: Path, moment: float) -> dict[str, Any] | None:
    """Kill a run after `moment` seconds and go on; None if it was through by then."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    mark = f"VIT_CRASH={os.getpid()}.{time.monotonic_ns()}"  # in the environment of all that it starts
    running = subprocess.Popen(["env", mark, *command], **quiet)
    time.sleep(moment)
    alone = "torch.distributed.run" not in command
    for process in [running.pid] if alone else _marked(mark):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    if running.wait() != -signal.SIGKILL:
        return None
    left = _left(mark)
    parts = job_folder(output)
    done = _inodes(parts)
    rows = sum(len(file.read_bytes().splitlines()) for file in parts.glob("*.partial"))
    again = subprocess.Popen(command, **quiet)
    latest: dict[str, int] = {}
    while again.poll() is None:
        latest |= _inodes(parts)
        time.sleep(0.02)
    redone = [name for name, inode in done.items() if latest.get(name, inode) != inode]
    return {
        "moment": moment,
        "shards": len(done),
        "rows": rows,
        "redone": redone,
        "left": left,
        "exit": again.returncode,
    }


def _inodes(parts: Path) -> dict[str, int]:
    """The rows of finished shards; a file that is written again has another number."""
    try:
        return {item.name: item.inode() for item in os.scandir(parts) if item.name.endswith(".rows")}
    except FileNotFoundError:
        return {}


def _marked(mark: str) -> list[int]:
    """The processes that have a mark in their environment, by /proc."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has just ended
            if mark.encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def _left(mark: str, patience: float = 10.0) -> int:
    """Processes of a killed command that are there even after some seconds."""
    until = time.monotonic() + patience
    while (left := len(_marked(mark))) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def line(number: int, trial: dict[str, Any]) -> str:
    return (
        f"{number:3}  killed after {trial['moment']:6.2f} s, {trial['shards']:3} shards stood, "
        f"{trial['rows']:4} rows made again, {len(trial['redone'])} shards made again, "
        f"{trial['left']} processes left, {'same bytes' if trial['same'] else 'OTHER BYTES'}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
