"""Learn from a few pictures of each class: manifests that draw them, and leave all others for the test.

    python scripts/few_pictures.py $VIT_DATA/hands draws --per-class 20 --draws 5
    vit train --config finetune --model.init cifar10 --data.root draws/0.csv --data.image_size 64
    vit evaluate cifar10 --data draws/0.csv --probe linear --image-size 64

Exact copies of a picture are drawn once, and are not tested where one of them is drawn.
"""

import argparse
import csv
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path, help="class folders")
    parser.add_argument("output", type=Path)
    parser.add_argument("--per-class", type=int, default=20)
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args(argv)
    pictures = read(arguments.source)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for draw in range(arguments.draws):
        rows = list(divide(pictures, arguments.per_class, draw))
        with (arguments.output / f"{draw}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label", "part"))
            writer.writerows(rows)
        learnt = sum(part == "train" for _, _, part in rows)
        print(f"{arguments.output / f'{draw}.csv'}: {learnt:,} to learn from, {len(rows) - learnt:,} to test")
    return 0


def read(source: Path) -> dict[str, dict[str, list[Path]]]:
    """Class -> digest of the content -> the files that have it."""
    found: dict[str, dict[str, list[Path]]] = {}
    for folder in sorted(folder for folder in source.iterdir() if folder.is_dir()):
        for file in sorted(file for file in folder.iterdir() if file.is_file()):
            digest = sha256(file.read_bytes()).hexdigest()
            found.setdefault(folder.name, {}).setdefault(digest, []).append(file.resolve())
    return found


def divide(
    pictures: dict[str, dict[str, list[Path]]], per_class: int, draw: int
) -> list[tuple[Path, str, str]]:
    """Rows of a manifest: path, label, `train` or `test`."""
    random = np.random.default_rng(draw)
    rows = []
    for label, contents in pictures.items():
        if len(contents) <= per_class:
            sys.exit(f"class {label} has {len(contents)} different pictures: lower --per-class, {per_class}")
        drawn = set(random.permutation(sorted(contents))[:per_class].tolist())
        for digest, (first, *copies) in contents.items():
            rows.append((first, label, "train" if digest in drawn else "test"))
            if digest not in drawn:
                rows += [(copy, label, "test") for copy in copies]
    return rows


if __name__ == "__main__":
    sys.exit(main())
