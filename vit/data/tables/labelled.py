"""Rows of tables that have a text, or the path of a picture, and labels: read, and put in order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from vit.data.found import ReadOptions, Skipped
from vit.data.listing.parts import part_name
from vit.data.roster import SPLITS
from vit.data.tables.columns import ALL_COLUMNS, GROUP_COLUMNS, PART_COLUMNS, find_column, listed
from vit.data.tables.labels import (
    UNLABELLED,
    Label,
    LabelColumns,
    all_labels,
    find_labels,
    labels_wanted,
    names_of_classes,
    read_label,
)
from vit.data.tables.rows import Table, require_unicode
from vit.data.tables.table_file import open_table
from vit.errors import VitError, one_line_message

# Columns, and the names of the classes in them -> the column of the input, and those of the labels.
ChooseColumns = Callable[[Sequence[str], Mapping[str, list[str]]], tuple[str, LabelColumns | None]]
NO_LABEL = "has no label"


@dataclass(frozen=True)
class LabelledRow:
    """One row.

    Args:
        name: FILE:LINE, or FILE:ROW of parquet and lists in JSON.
        value: The text, or the path of a picture.
        label: Its labels; None: unknown.
        class_name: What a column beside the label calls its class.
        part: What a column `part` says.
        group: What a column `group` says.
    """

    name: str
    value: str
    label: Label
    class_name: str | None = None
    part: str | None = None
    group: str | None = None


class _Columns(NamedTuple):
    """The columns that are read."""

    value: str
    labels: LabelColumns | None
    part: str | None
    group: str | None

    @property
    def used(self) -> list[str]:
        """All of them, each once."""
        labels = [] if self.labels is None else self.labels.read
        columns = (self.value, *labels, self.part, self.group)
        return list(dict.fromkeys(name for name in columns if name is not None))


class LabelledRows:
    """Collects the rows of a dataset's tables, part by part.

    Args:
        options: Which columns to read.
        noun: What a row's input is called: `text`, `path`.
        choose_columns: Finds the columns of input and labels.

    Attributes:
        parts: Part -> its rows.
        skipped: Rows that cannot be read, each with the reason; complete after `arrange`.
        notes: What is left aside; complete after `arrange`.
    """

    def __init__(self, options: ReadOptions, noun: str, choose_columns: ChooseColumns):
        self.options, self.noun, self.choose_columns = options, noun, choose_columns
        self.parts: dict[str, list[LabelledRow]] = {}
        self.skipped: Skipped = []
        self.notes: list[str] = []
        self._files: dict[str, list[str]] = {}
        self._broken: dict[str, Skipped] = {}
        self._columns: list[str] = []  # of the last table, for messages

    def read(self, part: str, file: Path, name: str) -> None:
        """Add the rows of a table to a part.

        Args:
            part: `train`, `val`, `test` or `all`.
            file: The table.
            name: Its name in those of its rows.

        Raises:
            VitError: The file cannot be read, or has no column with the input.
        """
        options = self.options
        asked = filter(None, (options.input_column, options.label_column, *options.label_columns))
        rows, broken = self.parts.setdefault(part, []), self._broken.setdefault(part, [])
        self._files.setdefault(part, []).append(name)
        with open_table(file, (*ALL_COLUMNS, *asked)) as table:
            columns_of = lru_cache(64)(partial(self._find, table))
            fixed = None if table.columns is None else columns_of(tuple(table.columns))
            for row in table.rows([] if fixed is None else fixed.used):
                row_name = f"{name}:{row.number}"
                if row.error:
                    broken.append((row_name, row.error))
                    continue
                try:
                    columns = fixed or columns_of(tuple(row.values))
                    rows.append(_labelled(row_name, row.values, columns, self.noun))
                except VitError as error:
                    broken.append((row_name, one_line_message(error)))

    def _find(self, table: Table, columns: tuple[str, ...]) -> _Columns:
        self._columns = list(columns)
        if table.is_lines:
            if (
                labels := find_labels(columns, ReadOptions(label_separator=self.options.label_separator))
            ) is None:
                raise VitError("has no labels, expected lines of fastText's format: __label__LABEL TEXT")
            return _Columns("text", labels, None, None)
        value, labels = self.choose_columns(columns, table.class_names)
        part, group = (
            None if (name := find_column(columns, names)) == value else name
            for names in (PART_COLUMNS, GROUP_COLUMNS)
        )
        return _Columns(value, labels, part, group)

    def arrange(self, where: Path) -> list[str]:
        """Bring `parts` to their final form, and return the labels of all of them.

        A table with a column of parts is divided by it. Classes get the names that stand beside their
        numbers. Parts without labels are left aside, and rows without labels are skipped.

        Args:
            where: The dataset, for messages.

        Raises:
            VitError: No row can be read, or none has a label.
        """
        broken = [row for rows in self._broken.values() for row in rows]
        if broken and not any(self.parts.values()):
            raise VitError(f"{where} has no row that can be read: {' '.join(broken[0])}")
        if self.parts.keys() == {"all"}:
            self._divide_by_column()
        self._forget_unknown()
        self._name_classes()
        unlabelled = [part for part, rows in self.parts.items() if all(row.label is None for row in rows)]
        if len(unlabelled) == len(self.parts):
            if not any(self.parts.values()):
                raise VitError(f"{where} has no rows, expected labelled ones")
            wanted = labels_wanted(self.options)
            raise VitError(f"{where} has no labels: its columns are {listed(self._columns)}, {wanted}")
        for part in unlabelled:
            rows = self.parts.pop(part)
            files = ", ".join(self._files.get(part, [part]))
            self.notes.append(f"{files} is left aside: it has no labels ({len(rows)} rows)")
        for part, rows in self.parts.items():
            self.skipped += self._broken.get(part, [])
            self.skipped += [(row.name, NO_LABEL) for row in rows if row.label is None]
            self.parts[part] = [row for row in rows if row.label is not None]
        self.skipped += self._broken["all"] if "all" in self._broken and "all" not in self.parts else []
        return all_labels([row.label for row in self._rows()], self.options)

    def groups(self) -> dict[str, list[str]]:
        """Part -> the group of each row; without parts that have none. A row without one is a group."""
        return {
            part: [f"group {row.group}" if row.group else row.name for row in rows]
            for part, rows in self.parts.items()
            if any(row.group for row in rows)
        }

    def _rows(self) -> Iterator[LabelledRow]:
        return (row for rows in self.parts.values() for row in rows)

    def _divide_by_column(self) -> None:
        """By the column of parts, if each of its values names one."""
        rows = self.parts["all"]
        names = {row.part: part_name(Path(row.part)) for row in rows if row.part}
        if strange := [value for value, name in names.items() if name is None]:
            said = f"it has {strange[0]!r}, expected train, val and test alone"
            self.notes.append(f"the column of parts is not used: {said}")
        if strange or not names:
            return
        divided: dict[str, list[LabelledRow]] = {}
        for row in rows:
            if name := names.get(row.part or ""):
                divided.setdefault(name.part, []).append(row)
            else:
                self.skipped.append((row.name, "has no part"))
        self.parts = {part: divided[part] for part in SPLITS if part in divided}

    def _forget_unknown(self) -> None:
        """-1 stands for an unknown label, unless train, or all of the data, has it beside others."""
        own = next((part for part in ("train", "all") if part in self.parts), None)
        for part, rows in self.parts.items():
            labels = {row.label for row in self.parts[own or part] if isinstance(row.label, str)}
            if UNLABELLED in labels and len(labels) > 1:
                if labels > {"0", "1"}:
                    self.notes.append(f"the label -1 of {part} is read as a class")
                continue
            self.parts[part] = [replace(row, label=None) if row.label == UNLABELLED else row for row in rows]

    def _name_classes(self) -> None:
        """Put the names that stand beside numbers of classes in their place."""
        pairs = [(row.label, row.class_name) for row in self._rows()]
        if all(name is None for _, name in pairs):
            return
        names = names_of_classes(pairs)
        if not names:
            self.notes.append("the names beside the labels are not used: they do not match one to one")
            return
        for part, rows in self.parts.items():
            self.parts[part] = [
                replace(row, label=names[row.label])
                if isinstance(row.label, str) and row.label in names
                else row
                for row in rows
            ]


def _labelled(name: str, values: Mapping[str, Any], columns: _Columns, noun: str) -> LabelledRow:
    value = values[columns.value]
    if isinstance(value, int) and noun == "path":
        value = str(value)  # the number of a picture
    if value is not None and not isinstance(value, str):
        raise VitError(f"{columns.value} is of type {type(value).__name__}, expected a string")
    if value is None or not value.strip():
        raise VitError(f"has no {noun}")
    label, class_name = (None, None) if columns.labels is None else read_label(values, columns.labels)
    part, group = (_field(values, column) for column in (columns.part, columns.group))
    return LabelledRow(name, require_unicode(value), label, class_name, part, group)


def _field(values: Mapping[str, Any], column: str | None) -> str | None:
    value = None if column is None else values.get(column)
    return None if value is None or not str(value).strip() else str(value).strip()
