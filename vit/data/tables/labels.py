"""The labels of an example, from the columns of a table: one per example, or several."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vit.data.found import ReadOptions
from vit.data.tables.columns import (
    GROUP_COLUMNS,
    ID_COLUMNS,
    LABEL_COLUMNS,
    PART_COLUMNS,
    PATH_COLUMNS,
    TEXT_COLUMNS,
    find_column,
    plain,
    require_column,
)
from vit.data.tables.rows import require_unicode
from vit.errors import VitError

# One label; several: label -> 1 (has it), 0 (has it not), NaN (unknown), those not named being 0; None: the
# label is not known.
Label = str | dict[str, float] | None

UNLABELLED = "-1"  # in place of an integer label that is not known, as in the test sets of Hugging Face
NAME_ENDINGS = ("_text", "_name", "_names")  # of a column with the names of the integers in another
NO_LABELS = (*TEXT_COLUMNS, *PATH_COLUMNS, *ID_COLUMNS, *PART_COLUMNS, *GROUP_COLUMNS, "", "index")
KNOWN = {"0": 0.0, "false": 0.0, "no": 0.0, "1": 1.0, "true": 1.0, "yes": 1.0}
UNKNOWN = {"", UNLABELLED, "nan", "none", "null", "na"}


@dataclass(frozen=True)
class LabelColumns:
    """The columns of a table that hold labels.

    Args:
        column: With the label or labels; None: `columns` have them.
        names: With the name of the class where `column` has a number; None: there is none.
        columns: Label -> the column with its 0 or 1.
        separator: Divides several labels in one field; None: one label per example.
        class_names: Names of the classes that the integers of `column` stand for; empty: unknown.
    """

    column: str | None = None
    names: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    separator: str | None = None
    class_names: list[str] = field(default_factory=list)

    @property
    def read(self) -> list[str]:
        """Every column that is read."""
        return [*self.columns.values(), *(name for name in (self.column, self.names) if name is not None)]


def find_labels(
    columns: Sequence[str],
    options: ReadOptions,
    class_names: Mapping[str, list[str]] | None = None,
    path: str | None = None,
) -> LabelColumns | None:
    """The columns with labels; None: the table has no labels.

    Args:
        columns: Of the table.
        options: Which to read: `label_columns`, or `label_column`, or else one with a usual name.
        class_names: Column -> names of its integers, where the table has them.
        path: In a table of files, the column of paths: the only other one holds the labels.

    Raises:
        VitError: Some of `label_columns` are there, and some are not.
    """
    if options.label_columns:
        if not any(find_column(columns, [name]) for name in options.label_columns):
            return None
        return LabelColumns(
            columns={
                name: require_column(columns, name, "--data.label_columns") for name in options.label_columns
            }
        )
    wanted = LABEL_COLUMNS if options.label_column is None else (options.label_column,)
    column = find_column(columns, wanted)
    if column is None and options.label_column is None and path is not None:
        others = [name for name in columns if name != path and find_column([name], NO_LABELS) is None]
        column = others[0] if len(others) == 1 else None
    if column is None:
        return None
    names = (class_names or {}).get(column, [])
    beside = None if names else find_column(columns, _name_columns(column))
    return LabelColumns(column, beside, separator=options.label_separator, class_names=names)


def labels_wanted(options: ReadOptions) -> str:
    """What a table without labels should have: the end of a message."""
    if options.label_columns:
        return f"expected {', '.join(options.label_columns)}, which --data.label_columns names"
    if options.label_column is not None:
        return f"expected {options.label_column}, which --data.label_column names"
    return f"expected labels in one of {', '.join(LABEL_COLUMNS)}: --data.label_column names another"


def _name_columns(column: str) -> list[str]:
    """What the column with the names of `column` may be called."""
    return [plain(column) + ending for ending in NAME_ENDINGS]


def read_label(values: Mapping[str, Any], columns: LabelColumns) -> tuple[Label, str | None]:
    """The label of a row, and the name beside it.

    Raises:
        VitError: It cannot be read.
    """
    if columns.columns:
        known = {label: _flag(label, values.get(column)) for label, column in columns.columns.items()}
        return (None if all(map(math.isnan, known.values())) else known), None
    assert columns.column is not None
    value = values.get(columns.column)
    if columns.separator is not None:
        if columns.column not in values:
            return None, None
        return dict.fromkeys(_several(value, columns), 1.0), None
    if isinstance(value, list):
        if len(value) > 1:
            raise VitError(f"has {len(value)} labels, expected one: data.label_separator reads several")
        value = value[0] if value else None
    name = None if columns.names is None else _as_text(values.get(columns.names))
    return _class(value, columns.class_names), name


def _several(value: Any, columns: LabelColumns) -> list[str]:
    """The labels of a field or a list; an empty one has none."""
    parts = value if isinstance(value, list) else (_as_text(value) or "").split(columns.separator or None)
    return [label for part in parts if (label := _class(part, columns.class_names)) is not None]


def _class(value: Any, class_names: list[str]) -> str | None:
    """A label as text; None: there is none."""
    text = _as_text(value)
    if text is None or not class_names or not isinstance(value, int):
        return text
    if text == UNLABELLED:
        return None
    if not 0 <= value < len(class_names):
        raise VitError(f"has the label {value}, expected 0 to {len(class_names) - 1}")
    return class_names[value]


def _as_text(value: Any) -> str | None:
    """A value without white space at its ends; 3.0 as 3; None for an empty one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise VitError(f"its label is of type {type(value).__name__}, expected a string or a number")
    return require_unicode(str(value).strip()) or None


def _flag(label: str, value: Any) -> float:
    """0, 1, or NaN."""
    text = (_as_text(value) or "").lower()
    if text in UNKNOWN:
        return math.nan
    if text.removesuffix(".0") not in KNOWN:
        raise VitError(f"its {label} is {text!r}, expected 0, 1, or nothing where it is unknown")
    return KNOWN[text.removesuffix(".0")]


def names_of_classes(pairs: Collection[tuple[Label, str | None]]) -> dict[str, str]:
    """Integer label -> the name beside it, if names and integers are one to one; else empty.

    Args:
        pairs: Label and name of every row.
    """
    names: dict[str, str] = {}
    for label, name in pairs:
        if not isinstance(label, str) or name is None or label == UNLABELLED:
            continue
        if not label.lstrip("-").isdigit() or names.setdefault(label, name) != name:
            return {}
    used = {label for label, _ in pairs if isinstance(label, str) and label != UNLABELLED}
    return names if len(set(names.values())) == len(names) and used == names.keys() else {}


def all_labels(labels: Collection[Label], options: ReadOptions) -> list[str]:
    """Every label that occurs, sorted; with `label_columns`, these."""
    if options.label_columns:
        return list(options.label_columns)
    return sorted({name for label in labels for name in ([label] if isinstance(label, str) else label or ())})


def label_targets(labels: Sequence[Label], classes: Sequence[str], *, several: bool) -> Tensor:
    """The targets of n examples.

    Args:
        labels: One for each, none of them None.
        classes: Name of each class.
        several: Whether examples have several labels.

    Returns:
        int64 (n,), the class of each; with several labels float32 (n, classes): 1 has the label, 0 has it
        not, NaN is unknown.
    """
    if not several:
        number = {label: index for index, label in enumerate(classes)}
        return torch.tensor([number[str(label)] for label in labels], dtype=torch.int64)
    rows = [[label.get(name, 0.0) for name in classes] for label in labels if isinstance(label, dict)]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(labels), len(classes))
