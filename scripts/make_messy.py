"""Copy class folders, and make them as people have them: links, copies, broken files, uneven classes.

    python scripts/make_messy.py $VIT_DATA/hands messy
    vit data messy

The classes get from `--most` to `--least` pictures, in equal steps.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # EXIF
TURNED = 6  # stored on its side


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--least", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if arguments.output.exists():
        sys.exit(f"{arguments.output} exists: choose another folder")
    random = np.random.default_rng(arguments.seed)
    classes = sorted(folder for folder in arguments.source.iterdir() if folder.is_dir())
    counts = np.linspace(arguments.most, arguments.least, len(classes)).round().astype(int)
    for folder, count in zip(classes, counts, strict=True):
        files = sorted(file for file in folder.iterdir() if file.is_file())
        chosen = random.permutation(len(files))[:count]
        target = arguments.output / folder.name
        target.mkdir(parents=True)
        for index in sorted(chosen.tolist()):
            shutil.copyfile(files[index], target / files[index].name)
        spoil(target, arguments.output.parent / f"{arguments.output.name}_elsewhere" / folder.name)
    (arguments.output / classes[0].name / "Thumbs.db").write_bytes(b"\0" * 100)
    (arguments.output / "__MACOSX" / classes[0].name).mkdir(parents=True)
    (arguments.output / "empty class").mkdir()
    print(f"{arguments.output}: classes of {', '.join(map(str, counts))} pictures, each with")
    print("a copy, a linked folder of two, a truncated and an empty file, notes, a turned and a long picture")
    return 0


def spoil(folder: Path, elsewhere: Path) -> None:
    """Add to a class folder what people have there; `elsewhere` gets two pictures, to which a link leads."""
    first, second, third, fourth, fifth, *_ = sorted(folder.iterdir())
    shutil.copyfile(first, folder / f"copy of {first.name}")
    elsewhere.mkdir(parents=True)
    for file in (second, third):
        shutil.move(file, elsewhere / file.name)
    (folder / "more").symlink_to(elsewhere.resolve(), target_is_directory=True)
    whole = fourth.read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("taken on Monday\n")
    with Image.open(fourth) as picture:
        exif = Image.Exif()
        exif[ORIENTATION] = TURNED
        picture.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif)
    with Image.open(fifth) as picture:
        width, height = picture.size
        long = Image.new("RGB", (4 * width, height), (90, 90, 90))
        long.paste(picture, (3 * width // 2, 0))
        long.save(folder / "long.jpg")


if __name__ == "__main__":
    sys.exit(main())
