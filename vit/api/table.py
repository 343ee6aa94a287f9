"""Rows as one table in memory."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow


def table(rows: Iterable[dict[str, Any]]) -> "pyarrow.Table":
    """The rows of `vit.predict` or `vit.embed` as a table of pyarrow: what the commands write as .parquet.

        vit.table(vit.predict("runs/digits", "photos")).to_pandas()

    Args:
        rows: All are read, and held in memory. Every row has the columns of the first.

    Returns:
        A `pyarrow.Table`. Lists of labels (`topk`, `labels`) are JSON, a `vector` is a list of float32.
        Without rows it has no columns. `pandas.DataFrame(rows)` makes a table of the rows as they are.
    """
    from vit.inference.embed import COLUMNS
    from vit.inference.predict import SEVERAL_COLUMNS
    from vit.jobs.table import arrow_table

    rows = list(rows)
    known = SEVERAL_COLUMNS | COLUMNS
    names = rows[0] if rows else ()
    return arrow_table({name: known.get(name, str) for name in names}, rows)  # others are kept columns: texts
