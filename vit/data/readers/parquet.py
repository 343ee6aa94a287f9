"""Images in parquet files, as Hugging Face writes them: image bytes, a label, class names in the schema."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.data.cache.pictures import Decoded, cache_key
from vit.data.decode import DecodeError, open_image
from vit.data.found import Found, ReadOptions
from vit.data.images import Images, TensorImages, check_memory
from vit.data.listing.parquet_files import find_parquet
from vit.data.readers.decoding import decode
from vit.data.tables.columns import find_column, require_column
from vit.data.tables.labels import (
    UNLABELLED,
    Label,
    LabelColumns,
    all_labels,
    find_labels,
    label_targets,
    labels_wanted,
    names_of_classes,
    read_label,
)
from vit.data.tables.parquet_rows import class_names
from vit.errors import VitError, one_line_message

if TYPE_CHECKING:
    from pyarrow import Schema

IMAGE_COLUMNS = ("img", "image", "picture", "pixels")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target", "category")


def parquet_files(root: Path) -> dict[str, list[Path]]:
    """The files of each part, as `find_parquet` finds them; empty: there are none."""
    return find_parquet(root).parts


def read_parquet(root: Path, options: ReadOptions) -> Found[Images]:
    """Decode all parts into memory, in RGB.

    Args:
        root: As `find_parquet` takes it.
        options: `size` None: that of the first image. `input_column` names the column with the images.

    Returns:
        Labels have the names of the schema's Hugging Face metadata, in their order, else their own values,
        sorted. Rows that cannot be decoded, and rows without a label, are in `skipped`.

    Raises:
        VitError: No parquet files, no image or label column, a label that has no name, or too many pixels.
    """
    from pyarrow import ArrowException

    files, notes = find_parquet(root)
    if not files:
        raise VitError(f"no parquet files in {root}, expected train*.parquet (and val*, test*) there")
    try:
        return _read(root, files, list(notes), options)
    except (ArrowException, OSError) as error:
        message = one_line_message(error)
        raise VitError(f"cannot read the parquet files in {root}: {message}; fetch them again") from None


def _read(root: Path, files: dict[str, list[Path]], notes: list[str], options: ReadOptions) -> Found[Images]:
    from pyarrow import parquet

    schema = parquet.read_schema(next(iter(files.values()))[0])
    image = _image_column(schema, root, options.input_column)
    columns = _label_columns(schema, root, options)
    labels = {part: list(_labels(group, columns)) for part, group in files.items()}
    labels = _without_unlabelled(labels, root, columns, notes)
    size = options.size
    if size is None and options.preprocess is None:
        size = _first_size(files[next(iter(labels))][0], image)
    preprocess = options.geometry(size or (1, 1))  # a model's preprocessing has a size of its own
    rows = sum(map(len, labels.values()))
    check_memory(root, rows, (preprocess.height, preprocess.width), options.memory_gb)
    found: Found[Images] = Found({}, [], notes=notes)
    decoded: dict[str, Decoded] = {}
    for part, values in labels.items():
        key = cache_key(files[part], image, preprocess) if options.cache else None
        encoded = _encoded_images(files[part], image)
        decoded[part] = _with_labels(decode(encoded, len(values), preprocess, key=key), values)
        found.skipped += [(_name(part, row), reason) for row, reason in decoded[part].failures]
    used = {part: [labels[part][row] for row in decoded[part].positions] for part in labels}
    found.labels = _classes([label for part in used.values() for label in part], columns, options, notes)
    for part, images in decoded.items():
        targets = label_targets(used[part], found.labels, several=options.several_labels)
        names = [_name(part, row) for row in images.positions]
        found.parts[part] = TensorImages(images.pixels, targets, names, images.digests)
    return found


def _name(part: str, row: int) -> str:
    return f"{part}/{row:05d}"


def _labels(files: list[Path], columns: LabelColumns) -> Iterator[Label]:
    """The label of each row; None: it has none."""
    from pyarrow.parquet import read_table

    pairs: list[tuple[Label, str | None]] = []
    for file in files:
        table = read_table(file, columns=columns.read)
        if listed := class_names(table.schema).get(columns.column or "", []):
            _require_same_names(file, listed, columns)
        for row, values in enumerate(table.to_pylist()):
            try:
                pairs.append(read_label(values, columns))
            except VitError as error:
                raise VitError(f"{file}: row {row} {error}") from None
    names = names_of_classes(pairs)
    return (names.get(label, label) if isinstance(label, str) else label for label, _ in pairs)


def _require_same_names(file: Path, names: list[str], columns: LabelColumns) -> None:
    """Files in which one number stands for different classes are no one dataset."""
    if columns.class_names and names != columns.class_names:
        raise VitError(
            f"{file} has the classes {', '.join(names[:5])}, expected those of the other files, "
            f"{', '.join(columns.class_names[:5])}: give one file as data.root"
        )


def _without_unlabelled(
    labels: dict[str, list[Label]], root: Path, columns: LabelColumns, notes: list[str]
) -> dict[str, list[Label]]:
    """The parts that have labels; a note names the others."""
    labelled = {
        part: values for part, values in labels.items() if set(map(str, values)) - {"None", UNLABELLED}
    }
    if not labelled:
        raise VitError(
            f"{root} has no label in its column {', '.join(columns.read)}, expected one in each row"
        )
    for part in labels.keys() - labelled.keys():
        notes.append(f"{part} has no labels and is left aside ({len(labels[part]):,} rows)")
    return labelled


def _with_labels(decoded: Decoded, labels: Sequence[Label]) -> Decoded:
    """The same pictures, those without a label among the failures."""
    rows = decoded.positions
    kept = [index for index, row in enumerate(rows) if labels[row] is not None]
    if len(kept) == len(rows):
        return decoded
    failures = [(row, "it has no label") for row in rows if labels[row] is None]
    return Decoded(
        decoded.pixels[kept],
        [rows[index] for index in kept],
        [decoded.digests[index] for index in kept],
        sorted([*decoded.failures, *failures]),
    )


def _classes(labels: list[Label], columns: LabelColumns, options: ReadOptions, notes: list[str]) -> list[str]:
    """The classes that occur: in the order of the schema, whole numbers by size, others sorted."""
    if not labels:
        raise VitError("none of the pictures in the parquet files can be read: fetch them again")
    if options.several_labels:
        return all_labels(labels, options)
    used = {str(label) for label in labels}
    if columns.class_names:
        notes += [f"{name!r} has no picture: left out" for name in columns.class_names if name not in used]
        return [name for name in columns.class_names if name in used]
    whole = all(label.removeprefix("-").isdecimal() for label in used)
    return sorted(used, key=int) if whole else sorted(used)


def _image_column(schema: "Schema", root: Path, wanted: str | None) -> str:
    """A column of bytes, or of structs with bytes; columns with a usual name come first."""
    from pyarrow import types

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == "bytes" for field in kind)
        return types.is_binary(kind) or types.is_large_binary(kind)

    fitting = [field.name for field in schema if holds_bytes(field.type)]
    if wanted is not None:
        column = require_column(schema.names, wanted, "data.input_column")
        if column not in fitting:
            raise VitError(
                f"{root} has {schema.field(column).type} in its column {column}, expected image bytes"
            )
        return column
    if not fitting:
        raise VitError(f"{root} has the columns {schema.names}, expected one of image bytes")
    return find_column(fitting, IMAGE_COLUMNS) or fitting[0]


def _label_columns(schema: "Schema", root: Path, options: ReadOptions) -> LabelColumns:
    """The columns asked for, or one with a usual name, or the only one of integers or strings."""
    from pyarrow import types

    if options.label_column is None and not options.label_columns:
        checks = (types.is_integer, types.is_string, types.is_large_string)
        fitting = [field.name for field in schema if any(check(field.type) for check in checks)]
        column = find_column(schema.names, LABEL_COLUMNS) or (fitting[0] if len(fitting) == 1 else None)
        if column is None:
            raise VitError(
                f"{root} has the columns {schema.names}, expected a label in one of {LABEL_COLUMNS}"
            )
        options = replace(options, label_column=column)
    try:
        found = find_labels(schema.names, options, class_names(schema))
    except VitError as error:
        raise VitError(f"{root} {error}") from None
    if found is None:
        raise VitError(f"{root} has the columns {', '.join(schema.names)}, {labels_wanted(options)}")
    return found


def _encoded_images(files: list[Path], image: str) -> Iterator[bytes]:
    """The bytes of each picture; a null becomes an empty file, which is reported as one."""
    from pyarrow.parquet import ParquetFile

    for file in files:
        for batch in ParquetFile(file).iter_batches(1024, columns=[image]):
            for row in batch.column(image).to_pylist():
                yield (row["bytes"] if isinstance(row, dict) else row) or b""


def _first_size(file: Path, image: str) -> tuple[int, int]:
    for encoded in islice(_encoded_images([file], image), 64):
        try:
            width, height = open_image(encoded).size
        except DecodeError:
            continue
        return height, width
    raise VitError(f"{file} has no readable picture in its column {image} to take the size from")
