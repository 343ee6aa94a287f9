"""Measure the time to the first row and the memory of `vit predict` on folders of many files.

python scripts/bench_names.py                              # 10,000 and 1,000,000 names
python scripts/bench_names.py --names 1000000 --first      # stop at the first row

The files are empty, so that only names and rows are measured: the status of each is `truncated`. Memory is
the peak of the command's main process, model included, decoding processes not included.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vit.jobs.folder import job_folder
from vit.training.environment import environment


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.place) as temporary:
        for count in arguments.names:
            folder = Path(temporary) / str(count)
            make_names(folder, count)
            rows.append(measure(arguments.model, folder, Path(temporary) / f"{count}.csv", arguments.first))
            print(line(rows[-1]), flush=True)
    if arguments.output:
        results = {"environment": environment(), "rows": rows}
        Path(arguments.output).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--model", default="cifar10", help="a MODEL of vit predict")
    parser.add_argument("--first", action="store_true", help="stop at the first row")
    parser.add_argument(
        "--place", help="where the folders are created (default: the system's temporary folder)"
    )
    parser.add_argument("--output", metavar="JSON")
    return parser.parse_args(argv)


def make_names(folder: Path, count: int) -> None:
    folder.mkdir()
    for index in range(count):
        # Not in sorted order.
        os.close(os.open(folder / f"{index * 7919 % count:07}.jpg", os.O_CREAT | os.O_WRONLY))


def measure(model: str, folder: Path, output: Path, first: bool) -> dict[str, Any]:
    """Seconds to the first row and to the end, and the peak of memory in MB."""
    command = [sys.executable, "-m", "vit.cli", "predict", model, str(folder), "--output", str(output)]
    started = time.monotonic()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not _has_row(output):
        time.sleep(0.005)
    first_row = time.monotonic() - started
    if first:
        running.send_signal(signal.SIGTERM)
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    return {
        "names": sum(1 for _ in os.scandir(folder)),
        "first": first_row,
        "seconds": None if first else time.monotonic() - started,
        "memory": usage.ru_maxrss / 1000,
        "exit": running.returncode,
    }


def _has_row(output: Path) -> bool:
    partial = job_folder(output) / "000000.partial"
    try:
        return partial.stat().st_size > 0
    except FileNotFoundError:
        return output.exists() or (job_folder(output) / "000000.rows").exists()


def line(row: dict[str, Any]) -> str:
    rest = "" if row["seconds"] is None else f"all after {row['seconds']:.1f} s, "
    return f"{row['names']:9,} names: first row after {row['first']:.2f} s, {rest}peak {row['memory']:.0f} MB"


if __name__ == "__main__":
    raise SystemExit(main())
