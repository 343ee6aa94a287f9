"""Rows of parquet files, with the names of classes that Hugging Face keeps in their schema."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vit.data.tables.rows import Row, Table, decoded
from vit.errors import VitError

if TYPE_CHECKING:
    from pyarrow import Schema

ROWS_AT_ONCE = 1024


def parquet_table(stream: BinaryIO) -> Table:
    """An open parquet file as a table."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    source = ParquetFile(stream)
    schema = source.schema_arrow
    if not any(name.strip() for name in schema.names):
        raise VitError("has an empty header, expected the names of its columns")

    def values(column: Any) -> list[Any]:
        """Strings as bytes: where one is not UTF-8, its row alone is broken."""
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = column.cast(pa.large_string()).cast(pa.large_binary())
        elif pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column.to_pylist()

    def rows(columns: Sequence[str]) -> Iterator[Row]:
        texts = {name: is_text(schema.field(name).type) for name in columns}
        number = 0
        for batch in source.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
            for fields in zip(*(values(batch.column(name)) for name in columns), strict=True):
                number += 1
                try:
                    row = {
                        name: decoded(value) if texts[name] and isinstance(value, bytes) else value
                        for name, value in zip(columns, fields, strict=True)
                    }
                except VitError as error:
                    yield Row(number, {}, str(error))
                else:
                    yield Row(number, row, "")

    def is_text(kind: Any) -> bool:
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)

    others = {field.name: str(field.type) for field in schema if not is_text(field.type)}
    return Table(rows, list(schema.names), class_names(schema), others)


def holds_bytes(file: Path) -> bool:
    """Whether a column of a parquet file holds bytes, as those of images do; False: it is no parquet."""
    from pyarrow import ArrowException, types
    from pyarrow.parquet import read_schema

    def is_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(is_bytes(field.type) for field in kind)
        return types.is_binary(kind) or types.is_large_binary(kind)

    try:
        return any(is_bytes(field.type) for field in read_schema(file))
    except (ArrowException, OSError):
        return False


def class_names(schema: "Schema") -> dict[str, list[str]]:
    """Column -> class names, from the schema's `huggingface` metadata; also of lists of classes."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):  # ValueError: not JSON
        return {}
    names: dict[str, list[str]] = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
            feature = feature["feature"]
        if isinstance(feature, dict) and isinstance(feature.get("names"), list):
            names[column] = list(map(str, feature["names"]))
    return names
