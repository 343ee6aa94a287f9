"""Time to read a dataset of small pictures: parquet and class folders, without and with the cache.

python scripts/bench_reading.py                                  # $VIT_DATA/cifar10, three rounds
python scripts/bench_reading.py --parquet DIR --files /tmp/files --output reading.json

The pictures of the parquet files are also written to class folders. In each round, torchvision's ImageFolder
reads the folders once, with ToTensor, in batches of 512 with worker processes; then this library reads the
parquet files and the folders, with an empty cache, and again. The system has all files in its page cache.
Ratios are those within a round.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vit.data.datasets import read
from vit.data.found import ReadOptions
from vit.data.listing.parquet_files import find_parquet
from vit.training.environment import environment

REFERENCE = "torchvision, ImageFolder"


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    parquet = Path(arguments.parquet or Path(os.environ["VIT_DATA"]) / "cifar10")
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["VIT_CACHE"] = str(Path(temporary) / "cache")
        files = Path(arguments.files or Path(temporary) / "files")
        if not files.exists():
            write_files(parquet, files)
        pictures = sum(1 for _ in files.glob("*/*/*"))
        seconds = compare(parquet, files, Path(temporary) / "cache", arguments.rounds, arguments.workers)
    rows = summarise(seconds)
    print(table(rows))
    if arguments.output:
        results = {"environment": environment(), "pictures": pictures, "rows": rows, "seconds": seconds}
        Path(arguments.output).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parquet", help="as data.root of the format parquet (default: $VIT_DATA/cifar10)")
    parser.add_argument("--files", help="where the class folders are written (default: a temporary folder)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="torchvision's loader processes")
    parser.add_argument("--output", metavar="JSON")
    return parser.parse_args(argv)


def write_files(parquet: Path, folder: Path) -> None:
    """The pictures of parquet files with columns of structs and labels as files, `PART/LABEL/NUMBER`."""
    from pyarrow.parquet import read_table

    for part, files in find_parquet(parquet).parts.items():
        for file in files:
            rows = read_table(file)
            image, label = rows.column_names[:2]
            pairs = zip(rows[image].to_pylist(), rows[label].to_pylist(), strict=True)
            for number, (picture, name) in enumerate(pairs):
                target = folder / part / str(name) / f"{file.stem}-{number:05}"
                suffix = ".png" if picture["bytes"].startswith(b"\x89PNG") else ".jpg"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.with_suffix(suffix).write_bytes(picture["bytes"])


def compare(parquet: Path, files: Path, cache: Path, rounds: int, workers: int) -> dict[str, list[float]]:
    """Seconds of each candidate in each round."""

    def ours(name: str, root: Path) -> Callable[[], Any]:
        return lambda: read(name, root, ReadOptions(size=(32, 32)))

    candidates: dict[str, Callable[[], Any]] = {
        REFERENCE: lambda: theirs(files, workers),
        "vit, parquet, first": ours("parquet", parquet),
        "vit, parquet, second": ours("parquet", parquet),
        "vit, folders, first": ours("folder", files),
        "vit, folders, second": ours("folder", files),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        shutil.rmtree(cache, ignore_errors=True)
        for name, work in candidates.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def theirs(files: Path, workers: int) -> int:
    """Read every picture once, as a first epoch does; the number of pictures."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import ToTensor

    count = 0
    for part in sorted(files.iterdir()):
        for pixels, _ in DataLoader(ImageFolder(str(part), ToTensor()), batch_size=512, num_workers=workers):
            count += len(pixels)
    return count


def summarise(seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Median and range of each candidate, and of its ratio to the reference: how many times as fast."""
    rows = []
    for name, times in seconds.items():
        ratios = [b / a for a, b in zip(times, seconds[REFERENCE], strict=True)]
        row = {"candidate": name, "median": statistics.median(times), "low": min(times), "high": max(times)}
        speed = {"ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
        rows.append(row | speed)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for the terminal."""
    lines = [f"{'candidate':<26} {'seconds':>8}  {'range':>15}  {'times as fast':>13}  {'range':>15}"]
    for row in rows:
        spread, ratios = (f"{row[f'{key}low']:.2f} to {row[f'{key}high']:.2f}" for key in ("", "ratio_"))
        lines.append(
            f"{row['candidate']:<26} {row['median']:>8.2f}  {spread:>15}  {row['ratio']:>13.2f}  {ratios:>15}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
