"""The names of a table's columns, and which of them hold what. Imports no torch."""

from collections.abc import Iterable, Sequence

from vit.errors import VitError

# In order of preference; a table may have them in any case.
TEXT_COLUMNS = (
    "text", "sentence", "question", "review", "content", "tweet", "comment", "comment_text", "message",
    "body",
)  # fmt: skip
PATH_COLUMNS = (
    "path", "file", "filename", "image", "img", "file_name", "filepath", "file_path", "image_path",
    "img_path", "image_name", "image_file",
)  # fmt: skip
ID_COLUMNS = ("id", "image_id", "img_id", "name")  # of pictures: a file's name, mostly without suffix
LABEL_COLUMNS = (
    "label", "labels", "class", "target", "category", "sentiment", "coarse_label", "label_coarse",
    "fine_label",
)  # fmt: skip
PART_COLUMNS = ("part", "split", "set")
GROUP_COLUMNS = ("group",)

PATH_OPTION = "--data.input_column"
TEXT_OPTION = "--data.input_column (of vit predict, embed and attend: --column)"

ALL_COLUMNS = (*TEXT_COLUMNS, *PATH_COLUMNS, *ID_COLUMNS, *LABEL_COLUMNS, *PART_COLUMNS, *GROUP_COLUMNS)


def plain(name: str) -> str:
    """A column's name as it is compared: without white space at its ends, in lower case."""
    return name.strip().lower()


def find_column(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """The column, as the table spells it, with the first of the names that the table has; None: none."""
    spelled: dict[str, str] = {}
    for column in columns:
        spelled.setdefault(plain(column), column)
    return next((spelled[plain(name)] for name in names if plain(name) in spelled), None)


def require_column(columns: Sequence[str], name: str, option: str) -> str:
    """The column of a name that was asked for.

    Args:
        columns: Of the table.
        name: In any case.
        option: That asked for it.

    Raises:
        VitError: The table has no such column.
    """
    found = find_column(columns, [name])
    if found is None:
        raise VitError(f"has no column {name!r}, which {option} names; its columns are {listed(columns)}")
    return found


def listed(columns: Sequence[str]) -> str:
    """The names of columns, for a message."""
    more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
    names = ", ".join(map(str.strip, columns[:20]))
    return names.encode("utf-8", "backslashreplace").decode() + more


def text_column(columns: Sequence[str], name: str | None = None, labels: Sequence[str] = ()) -> str:
    """The column with the texts: the one asked for, one with a usual name, or the only one that is left.

    Args:
        columns: Of the table.
        name: That was asked for; None: a usual one.
        labels: Columns with labels.

    Raises:
        VitError: There is none.
    """
    if name is not None:
        return require_column(columns, name, TEXT_OPTION)
    if (usual := find_column(columns, TEXT_COLUMNS)) is not None:
        return usual
    others = [column for column in columns if column not in labels]
    rest = [column for column in others if find_column([column], (*PART_COLUMNS, *GROUP_COLUMNS)) is None]
    if len(rest or others) != 1:
        wanted = f"expected one of {', '.join(TEXT_COLUMNS)}"
        raise VitError(f"has the columns {listed(columns)}, {wanted}: {TEXT_OPTION} names another")
    return (rest or others)[0]
