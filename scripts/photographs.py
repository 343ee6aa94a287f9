"""Write photographs that come with scikit-image as PNG files, to try a model on.

python scripts/photographs.py photographs
vit attend cifar10 photographs --output overlays
"""

import sys
from pathlib import Path

from PIL import Image
from skimage import data

NAMES = ("chelsea", "astronaut", "coffee", "rocket")


def main(folder: Path) -> None:
    """Write the photographs into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "photographs"))
