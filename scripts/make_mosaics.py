"""Pictures with several labels: mosaics of four CIFAR-10 pictures each, and a table of their labels.

python scripts/make_mosaics.py OUT                        # 5,000 to learn from, 1,000 for test
python scripts/make_mosaics.py OUT --train 500 --test 100 --seed 1

Each mosaic is 64 x 64 and has one to four labels: their number is drawn first, then the classes, then four
pictures of them, at least one of each. Train is made of CIFAR-10's train alone, test of its test.

    vit train --config folder --data.root OUT --data.label_separator "|"
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vit.data.datasets import read
from vit.data.found import ReadOptions

TILES = 4
SEPARATOR = "|"


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    found = read("cifar10", arguments.root, ReadOptions())
    out = Path(arguments.output)
    rows = []
    for number, (part, count) in enumerate((("train", arguments.train), ("test", arguments.test))):
        (out / part).mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng([arguments.seed, number])
        for index in range(count):
            picture, classes = mosaic(found.parts[part], random)
            name = f"{part}/{index:04}.png"
            Image.fromarray(picture).save(out / name)
            rows.append((name, SEPARATOR.join(found.labels[label] for label in classes), part))
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("path", "label", "part"), *rows])
    print(f"{len(rows):,} mosaics in {out}")
    return 0


def mosaic(images: Any, random: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """One mosaic, uint8 (64, 64, 3), and the classes in it, ascending.

    Args:
        images: Of 32 x 32 pixels, in memory, with `targets`.
        random: Decides which.
    """
    targets = images.targets.numpy()
    classes = random.choice(np.unique(targets), size=random.integers(1, TILES + 1), replace=False)
    tiles = random.permutation([*classes, *random.choice(classes, TILES - len(classes))])
    chosen = [int(random.choice(np.flatnonzero(targets == label))) for label in tiles]
    pixels = images[chosen][0].permute(0, 2, 3, 1).numpy()  # (4, 32, 32, 3)
    rows = [np.concatenate(pixels[start : start + 2], axis=1) for start in (0, 2)]
    return np.concatenate(rows), sorted(int(label) for label in classes)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", metavar="OUT", help="folder for the pictures and manifest.csv")
    parser.add_argument("--root", help="of CIFAR-10 (default: $VIT_DATA/cifar10)")
    parser.add_argument("--train", type=int, default=5000, help="mosaics for train (default: 5000)")
    parser.add_argument("--test", type=int, default=1000, help="mosaics for test (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
