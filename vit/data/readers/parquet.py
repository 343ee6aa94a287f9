"""Images in parquet files, as Hugging Face writes them: image bytes, a label, class names in the schema."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vit.data.decode import DecodeError, open_image
from vit.data.images import Images, Skipped, TensorImages, check_memory, decode_images
from vit.data.preprocess import Preprocess
from vit.data.roster import SPLITS
from vit.errors import VitError, one_line_message

if TYPE_CHECKING:
    from pyarrow import Schema

IMAGE_COLUMNS = ("img", "image", "picture", "pixels")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")


def parquet_files(root: Path) -> dict[str, list[Path]]:
    """The files of each split, `train`, `val` and `test`; a split without files is left out.

    Args:
        root: One parquet file, or a folder with `train*.parquet`, `val*.parquet` (or `dev*.parquet`),
            `test*.parquet` in it or in its `data` folder. A single file of any name is all of train.
    """
    if root.is_file():
        return {"train": [root]}
    for folder in (root, root / "data"):
        files = sorted(folder.glob("*.parquet"))
        splits = {
            split: matching
            for split, prefixes in SPLITS.items()
            for prefix in reversed(prefixes)  # the last one assigned stays
            if (matching := [file for file in files if file.name.startswith(prefix)])
        }
        if "train" in splits:
            return splits
        if len(files) == 1:
            return {"train": files}
    return {}


def read_parquet(
    root: Path, *, size: tuple[int, int] | None, memory_gb: float
) -> tuple[dict[str, Images], list[str], Skipped]:
    """Decode all splits into memory, in RGB.

    Args:
        root: As `parquet_files` takes it.
        size: Height and width; None: those of the first image.
        memory_gb: Largest size of the decoded pixels.

    Returns:
        The splits, the label names (of the schema's Hugging Face metadata, else the sorted distinct values of
        train), and the rows that could not be decoded, each with a reason.

    Raises:
        VitError: No parquet files, no image or label column, a label that train lacks, or too many pixels.
    """
    from pyarrow import ArrowException, parquet

    files = parquet_files(root)
    if not files:
        raise VitError(f"no parquet files in {root}, expected train*.parquet (and val*, test*) there")
    try:
        schema = parquet.read_schema(files["train"][0])
        image, label = _image_column(schema, root), _label_column(schema, root)
        rows = sum(parquet.read_metadata(file).num_rows for group in files.values() for file in group)
        size = size or _first_size(files["train"][0], image)
        check_memory(root, rows, size, memory_gb)
        labels, classes = _labels(schema, files["train"], label)
        splits: dict[str, Images] = {}
        skipped: Skipped = []
        for split, group in files.items():
            splits[split] = _read_split(split, group, image, label, classes, Preprocess(*size), skipped)
    except (ArrowException, OSError) as error:
        message = one_line_message(error)
        raise VitError(f"cannot read the parquet files in {root}: {message}; fetch them again") from None
    return splits, labels, skipped


def _read_split(
    split: str,
    files: list[Path],
    image: str,
    label: str,
    classes: dict[Any, int],
    preprocess: Preprocess,
    skipped: Skipped,
) -> TensorImages:
    from pyarrow.parquet import ParquetFile

    rows = sum(ParquetFile(file).metadata.num_rows for file in files)
    pixels = torch.empty(rows, 3, preprocess.height, preprocess.width, dtype=torch.uint8)
    targets: list[int] = []
    names: list[str] = []
    row = 0
    for file in files:
        for batch in ParquetFile(file).iter_batches(1024, columns=[image, label]):
            values = batch.column(label).to_pylist()
            images = decode_images(_encoded(batch.column(image)), preprocess)
            for value, decoded in zip(values, images, strict=True):
                name = f"{split}/{row:05d}"
                row += 1
                if isinstance(decoded, DecodeError):
                    skipped.append((name, decoded.reason))
                    continue
                if value not in classes:
                    known = ", ".join(map(str, classes))
                    raise VitError(f"{file}: {label} of {name} is {value!r}, expected one of {known}")
                pixels[len(names)] = decoded
                targets.append(classes[value])
                names.append(name)
    return TensorImages(pixels[: len(names)], torch.tensor(targets, dtype=torch.int64), names)


def _labels(schema: "Schema", files: list[Path], column: str) -> tuple[list[str], dict[Any, int]]:
    """The names of the classes, and the class of each value of the column."""
    if names := label_names(schema, column):
        return names, {index: index for index in range(len(names))}
    from pyarrow.parquet import read_table

    values = {value for file in files for value in read_table(file, columns=[column])[column].to_pylist()}
    ordered = sorted(value for value in values if value is not None)
    return [str(value) for value in ordered], {value: index for index, value in enumerate(ordered)}


def label_names(schema: "Schema", column: str) -> list[str]:
    """The class names in the schema's `huggingface` metadata; empty if it has none."""
    try:
        text = (schema.metadata or {})[b"huggingface"]
        return list(json.loads(text)["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError):  # ValueError: not JSON
        return []


def _image_column(schema: "Schema", root: Path) -> str:
    """A column of bytes, or of structs with bytes; columns with a usual name come first."""
    from pyarrow import types

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == "bytes" for field in kind)
        return types.is_binary(kind) or types.is_large_binary(kind)

    fitting = [field.name for field in schema if holds_bytes(field.type)]
    if not fitting:
        raise VitError(f"{root} has the columns {schema.names}, expected one of image bytes")
    return next((name for name in IMAGE_COLUMNS if name in fitting), fitting[0])


def _label_column(schema: "Schema", root: Path) -> str:
    """A column of integers or strings with a usual name, or the only one of the kind."""
    from pyarrow import types

    checks = (types.is_integer, types.is_string, types.is_large_string)
    fitting = [field.name for field in schema if any(check(field.type) for check in checks)]
    usual = [name for name in LABEL_COLUMNS if name in fitting]
    if not usual and len(fitting) != 1:
        raise VitError(f"{root} has the columns {schema.names}, expected a label in one of {LABEL_COLUMNS}")
    return (usual or fitting)[0]


def _encoded(column: Any) -> list[bytes]:
    """The files' bytes; a null becomes an empty file, which is reported as one."""
    rows = (row["bytes"] if isinstance(row, dict) else row for row in column.to_pylist())
    return [row or b"" for row in rows]


def _first_size(file: Path, image: str) -> tuple[int, int]:
    from pyarrow.parquet import ParquetFile

    for batch in ParquetFile(file).iter_batches(64, columns=[image]):
        for encoded in _encoded(batch.column(image)):
            try:
                width, height = open_image(encoded).size
            except DecodeError:
                continue
            return height, width
    raise VitError(f"{file} has no readable picture in its column {image} to take the size from")
