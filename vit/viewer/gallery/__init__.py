"""One HTML file that shows the overlays of a whole folder: sort, filter, open.

      ┌ path ─ label ─ order ─ mistakes ─────────────┐
      │ ┌───────┐ ┌───────┐ ┌───────┐ ┌───────┐      │
      │ │overlay│ │overlay│ │overlay│ │overlay│  …   │
      └──────────────────────────────────────────────┘

The file holds the rows; overlays and pages stay files beside it. Only the cells in sight are in the document,
so that the number of rows hardly matters (`gallery.js`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from vit.viewer.document import asset, fill, json_for_html, policy, with_palette

HERE = Path(__file__).parent
COLUMNS = ("path", "status", "error", "label", "score", "explained", "overlay", "page", "faithfulness")
FIELDS = (*COLUMNS, "truth")
MOST = 20_000  # rows of one gallery: about 4 MB


def gallery(
    rows: Iterable[Mapping[str, Any]],
    *,
    caption: str = "",
    labels: Sequence[str] = (),
    count: int | None = None,
) -> str:
    """The gallery of a table of overlays as one HTML document, to be stored in the folder of the table.

    Args:
        rows: Those of `attend.csv`: `overlay` and `page` are paths relative to the folder. Optional is
            `faithfulness`, a number. Rows after the first 20,000 are left out, which the page says.
        caption: Below the title: the model and the map.
        labels: The model's. Where a folder of a path bears the name of one, it is taken for the true label,
            and mistakes can be shown alone.
        count: Number of all rows; None: that of `rows`.
    """
    known = set(labels)
    shown = [_row(row, known) for row in islice(rows, MOST)]
    # A column that no row has costs nothing.
    fields = [name for name in FIELDS if any(row[name] not in (None, "") for row in shown)]
    facts = {
        "caption": caption,
        "count": len(shown) if count is None else count,
        "fields": fields,
        "rows": [[row[name] for name in fields] for row in shown],
    }
    style, script = with_palette(HERE / "gallery.css"), asset(HERE / "gallery.js")
    parts = {
        "policy": policy(script, style, "'self' file: data:"),  # images are the files beside it
        "style": style,
        "script": script,
        "data": json_for_html(facts),
    }
    return fill(asset(HERE / "gallery.html"), parts)


def true_label(path: str, labels: set[str]) -> str | None:
    """The label that a folder of the path is named after, the innermost first; None: there is none."""
    folders = re.split(r"[/\\]", path)[:-1]
    return next((folder for folder in reversed(folders) if folder in labels), None)


def _row(row: Mapping[str, Any], labels: set[str]) -> dict[str, Any]:
    values: dict[str, Any] = {name: row.get(name) for name in FIELDS}
    values["truth"] = true_label(str(row["path"]), labels)
    return values
