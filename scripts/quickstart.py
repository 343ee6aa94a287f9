"""From nothing to overlays on real handwritten digits, with the commands a user would type.

    make quickstart

Trains on scikit-learn's digits, writes the held-out ones as PNG files in class folders, predicts that
folder, draws overlays, and says where to look.
"""

import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

from torchvision.transforms.v2.functional import to_pil_image

from vit.data.datasets import load

PLACE = Path("quickstart")
RUN = Path("runs/quickstart")


def main() -> int:
    """Run the four commands; 1 if one of them fails."""
    started = time.monotonic()
    shutil.rmtree(PLACE, ignore_errors=True)
    vit("train", "--config", "digits", "--name", RUN.name, "--overwrite")
    pictures = write_held_out(PLACE / "pictures")
    vit("predict", str(RUN), str(pictures), "--output", str(PLACE / "labels.csv"))
    vit("attend", str(RUN), *map(str, some(pictures)), "--output", str(PLACE / "overlays"))
    with (PLACE / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    right = sum(row["label"] == Path(row["path"]).parent.name for row in rows)
    print(f"""
held-out digits labelled right: {right} of {len(rows)}, {100 * right / len(rows):.1f} %
all of it took {time.monotonic() - started:.0f} s. Look at
  {RUN / "report.html"}              how the training went
  {PLACE / "labels.csv"}             the label of every picture
  {PLACE / "overlays" / "sheet.png"}     what the model attended to""")
    return 0


def vit(*words: str) -> None:
    """Show a command and run it."""
    print("$ vit", *(words if len(words) < 9 else (*words[:3], "...", *words[-2:])), flush=True)
    done = subprocess.run([sys.executable, "-m", "vit.cli", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def write_held_out(folder: Path) -> Path:
    """The test digits as `LABEL/INDEX.png`."""
    test = load("digits").test
    assert test is not None
    for index in range(len(test)):
        pixels, target, _ = test[[index]]
        place = folder / str(int(target))
        place.mkdir(parents=True, exist_ok=True)
        to_pil_image(pixels[0]).save(place / f"{index:03}.png")
    return folder


def some(folder: Path) -> list[Path]:
    """Two pictures of each class."""
    return [file for label in sorted(folder.iterdir()) for file in sorted(label.iterdir())[:2]]


if __name__ == "__main__":
    sys.exit(main())
