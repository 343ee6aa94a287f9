"""From nothing to overlays on real handwritten digits, with the commands a user would type.

    make quickstart

It trains on scikit-learn's digits, writes the test images as PNG files in class folders, predicts these,
draws overlays for some of them, and prints the paths of the results.
"""

import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

from torchvision.transforms.v2.functional import to_pil_image

from vit.data.datasets import load

FOLDER = Path("quickstart")
RUN = Path("runs/quickstart")


def main() -> int:
    """Run the commands one after the other; exit with the status of the first that fails."""
    started = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    vit("train", "--config", "digits", "--name", RUN.name, "--overwrite")
    pictures = write_test_images(FOLDER / "pictures")
    vit("predict", str(RUN), str(pictures), "--output", str(FOLDER / "labels.csv"))
    vit("attend", str(RUN), *map(str, two_per_class(pictures)), "--output", str(FOLDER / "overlays"))
    with (FOLDER / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    right = sum(row["label"] == Path(row["path"]).parent.name for row in rows)
    print(f"""
held-out digits labelled right: {right} of {len(rows)}, {100 * right / len(rows):.1f} %
all of it took {time.monotonic() - started:.0f} s. Look at
  {RUN / "report.html"}              how the training went
  {FOLDER / "labels.csv"}             the label of every picture
  {FOLDER / "overlays" / "sheet.png"}     what the model attended to""")
    return 0


def vit(*argv: str) -> None:
    """Print a command and run it."""
    print("$ vit", *(argv if len(argv) < 9 else (*argv[:3], "...", *argv[-2:])), flush=True)
    done = subprocess.run([sys.executable, "-m", "vit.cli", *argv], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def write_test_images(folder: Path) -> Path:
    """Write the test split of the digits as `LABEL/INDEX.png`; return `folder`."""
    test = load("digits").test
    assert test is not None
    for index in range(len(test)):
        pixels, target, _ = test[[index]]
        class_folder = folder / str(int(target))
        class_folder.mkdir(parents=True, exist_ok=True)
        to_pil_image(pixels[0]).save(class_folder / f"{index:03}.png")
    return folder


def two_per_class(folder: Path) -> list[Path]:
    """The first two images of each class folder."""
    return [file for label in sorted(folder.iterdir()) for file in sorted(label.iterdir())[:2]]


if __name__ == "__main__":
    sys.exit(main())
