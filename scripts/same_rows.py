"""Test that `vit predict` writes the same file if it is killed, run by several processes, or run on Ray.

python scripts/same_rows.py                                  # 5,000 pictures; 20 kills of one process
python scripts/same_rows.py --processes 2                    # the same under torchrun
python scripts/same_rows.py --kills 0 --worlds 2 4 --actors 1 2 4

Each trial starts the command, kills it with SIGKILL at a random moment within the time of a whole run (its
decoding processes have to notice by themselves), waits until all its processes have ended, and runs the
command again. It reports how many shards were done at that moment, how many rows of unfinished ones were
computed again, whether a finished one was, and whether the output is that of an undisturbed run, byte for
byte. One picture in a hundred is truncated.
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

from vit.jobs.folder import job_folder
from vit.jobs.job import SHARD_SIZE
from vit.training.environment import environment


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    if not Path("/proc/self/stat").exists():
        sys.exit("this script looks for processes in /proc, which only Linux has")
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = Path(temporary) / "pictures", Path(temporary) / f"labels.{arguments.format}"
        make_pictures(folder, arguments.pictures)
        command = command_for(arguments.model, folder, output, arguments.processes)
        started = time.monotonic()
        finish(command)
        whole = time.monotonic() - started
        expected = output.read_bytes()
        trials = []
        generator = random.Random(arguments.seed)
        while len(trials) < arguments.kills:
            output.unlink(missing_ok=True)
            trial = crash(command, output, generator.uniform(0, whole))
            if trial is None:  # it had ended before
                continue
            trials.append(trial | {"same": output.read_bytes() == expected})
            print(line(len(trials), trials[-1]), flush=True)
        engines = []
        for name, engine_command in engines_for(arguments, folder, output):
            output.unlink(missing_ok=True)
            started = time.monotonic()
            finish(engine_command)
            engines.append({"engine": name, "seconds": time.monotonic() - started})
            engines[-1]["same"] = output.read_bytes() == expected
            same = "same bytes" if engines[-1]["same"] else "OTHER BYTES"
            print(f"{name}: {same}, {engines[-1]['seconds']:.1f} s", flush=True)
    print(f"a whole run takes {whole:.1f} s")
    if arguments.output:
        results = {"environment": environment(), "seconds": whole, "trials": trials, "engines": engines}
        Path(arguments.output).write_text(
            json.dumps(results | vars(arguments), indent=1) + "\n", encoding="utf-8"
        )
    return 0 if survived(trials, arguments.processes) and all(engine["same"] for engine in engines) else 1


def survived(trials: list[dict[str, Any]], processes: int) -> bool:
    """Whether no kill changed the output, and each cost at most one shard per process."""
    if not trials:
        return True
    good = [trial for trial in trials if trial["same"] and not trial["redone"] and not trial["left"]]
    lost, allowed = max(trial["rows"] for trial in trials), SHARD_SIZE * processes
    print(
        f"{len(good)} of {len(trials)}: same bytes, no finished shard computed again, no process left; "
        f"at most {lost} rows computed again ({allowed} allowed)"
    )
    return len(good) == len(trials) and lost <= allowed


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="cifar10", help="a MODEL of vit predict")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1, help="of the run that is killed")
    parser.add_argument(
        "--worlds", type=int, nargs="*", default=[], help="also run with so many under torchrun"
    )
    parser.add_argument("--actors", type=int, nargs="*", default=[], help="also run with so many on Ray")
    parser.add_argument("--format", default="csv", choices=("csv", "jsonl", "parquet"))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--output", metavar="JSON")
    return parser.parse_args(argv)


def make_pictures(folder: Path, count: int) -> None:
    """JPEGs of handwritten digits, 64 to 127 pixels; one in a hundred is truncated."""
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
    """Names and commands of the other engines."""
    for world in arguments.worlds:
        yield f"torchrun, {world} processes", command_for(arguments.model, folder, output, world)
    for actors in arguments.actors:
        command = command_for(arguments.model, folder, output, 1)
        yield f"Ray, {actors} actors", [*command, "--engine", "ray", "--actors", str(actors)]


def finish(command: list[str]) -> None:
    """Run a command to its end. Exit code 3 says that some pictures are unreadable; torchrun makes it 1."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 3 and "torch.distributed.run" not in command:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr}")


def crash(command: list[str], output: Path, moment: float) -> dict[str, Any] | None:
    """Kill a run after `moment` seconds and continue it; None if it had ended by then."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    mark = f"VIT_CRASH={os.getpid()}.{time.monotonic_ns()}"  # inherited by every process that it starts
    running = subprocess.Popen(["env", mark, *command], **quiet)
    time.sleep(moment)
    single = "torch.distributed.run" not in command
    for process in [running.pid] if single else _marked(mark):
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
    """Inodes of the finished shards' files; one that is written again has another inode."""
    try:
        return {item.name: item.inode() for item in os.scandir(parts) if item.name.endswith(".rows")}
    except FileNotFoundError:
        return {}


def _marked(mark: str) -> list[int]:
    """The processes that have a mark in their environment, from /proc."""
    processes = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has just ended
            if mark.encode() in environ.read_bytes().split(b"\0"):
                processes.append(int(environ.parent.name))
    return processes


def _left(mark: str, seconds: float = 10.0) -> int:
    """Number of processes of a killed command that are still running after some seconds."""
    until = time.monotonic() + seconds
    while (left := len(_marked(mark))) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def line(number: int, trial: dict[str, Any]) -> str:
    return (
        f"{number:3}  killed after {trial['moment']:6.2f} s, {trial['shards']:3} shards done, "
        f"{trial['rows']:4} rows computed again, {len(trial['redone'])} shards computed again, "
        f"{trial['left']} processes left, {'same bytes' if trial['same'] else 'OTHER BYTES'}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
