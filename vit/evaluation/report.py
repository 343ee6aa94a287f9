"""The HTML report of a training run or of an evaluation: one self-contained file.

It has no script, needs no network, and embeds its images. Text from outside (labels, file names) is escaped,
and the Content-Security-Policy keeps the browser from loading or running anything if an escape is missing.
"""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from vit.atomic import replacing
from vit.errors import VitError

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LISTED = 100  # mistakes in a report; the file has all

STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f8; --card: #fff; --ink: #22262c; --faint: #6b737d;
        --line: #e3e6e9; --accent: #2f6fb5 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --card: #1e2227; --ink: #e6e8eb; --faint: #98a1ab;
          --line: #31363d; --accent: #7fb2ea }
  figure { filter: brightness(.9) }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 64rem;
       background: var(--paper); color: var(--ink);
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; overflow-wrap: anywhere }
.subtitle { margin: .35rem 0 0; color: var(--faint); overflow-wrap: anywhere }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.1rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem;
         margin: 1.5rem 0 0 }
.cards div, figure, details { background: var(--card); border: 1px solid var(--line); border-radius: .6rem }
.cards div { display: flex; flex-direction: column-reverse; justify-content: flex-end; padding: .8rem 1rem }
.cards dt { color: var(--faint); font-size: .85rem }
.cards dd { margin: 0; font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere }
.cards div:first-child dd { color: var(--accent) }
.small { margin-top: .75rem }
.small dd, .small div:first-child dd { font-size: 1.05rem; color: var(--ink) }
figure { margin: 0; padding: 1rem; background: #fff; text-align: center }
figure img { max-width: 100%; height: auto; vertical-align: middle }
@media (max-width: 40rem) { figure { overflow-x: auto; padding: .5rem } figure img { max-width: 40rem } }
details { margin-top: .75rem; padding: .75rem 1rem }
summary { cursor: pointer; font-weight: 600 }
.wide { overflow-x: auto; margin-top: .75rem }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line) }
th { color: var(--faint); font-weight: 500; border-top: 0 }
th.text, td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 8rem }
.pairs th, .pairs td { text-align: left; border-top: 1px solid var(--line) }
.pairs td { width: 100%; white-space: normal; overflow-wrap: anywhere }
pre { margin: 0; font: .85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace }
"""


class Contents(NamedTuple):
    """What a report and its folder hold of an evaluation.

    Args:
        facts: Name -> value, for the cards of the report.
        pictures: Name -> PNG file, each of `plots/NAME.png`.
        tables: Heading -> rows, for the report.
        files: Name of a CSV file -> its columns and its lines.
    """

    facts: dict[str, str]
    pictures: dict[str, bytes]
    tables: dict[str, list[dict[str, Any]]]
    files: dict[str, tuple[list[str], list[list[Any]]]]


def write_report(
    folder: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    figures: Mapping[str, bytes],
    subtitle: str = "",
    more_facts: Mapping[str, str] | None = None,
    tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    rows: Sequence[Mapping[str, Any]] = (),
    config_yaml: str = "",
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Write `folder/report.html` atomically.

    Args:
        folder: For a run, its folder; created if it is missing.
        title: The headline, for example the name of the run.
        facts: Name -> value of the most important results, shown as cards in this order, the first in color.
        figures: Heading -> PNG file, shown in this order at half their pixels, so sharp on fine screens.
        subtitle: A line below the headline, for example what was measured.
        more_facts: As `facts`, in smaller cards below.
        tables: Heading -> rows, each a mapping from the name of a column to a value: strings are shown as
            they are, whole numbers with separators, other numbers as shares in per cent, None as a dash.
        rows: One mapping per epoch, as in metrics.csv: numbers, strings of numbers, None or "".
            The columns are all keys, in order of first appearance; accuracies and mean average
            precisions are shown in per cent.
        config_yaml: The configuration of the run, verbatim.
        environment: Name -> value, for example versions and hardware.

    Returns:
        The path of the report.

    Raises:
        VitError: A figure is not a PNG file.
    """
    details = [
        _details(name, _table(content, _share_cell, _class_of_column))
        for name, content in (tables or {}).items()
    ]
    if rows:
        details.append(_details(f"Epochs ({len(rows)})", _table(rows, _cell)))
    if config_yaml:
        details.append(_details("Configuration", f"<pre>{escape(config_yaml)}</pre>"))
    if environment:
        details.append(_details("Environment", _pairs(environment)))
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="subtitle">{escape(subtitle)}</p>' if subtitle else "",
        _cards(facts),
        _cards(more_facts, "small") if more_facts else "",
        *(_figure(name, image) for name, image in figures.items()),
        "<h2>Details</h2>" if details else "",
        *details,
    ]
    body = "\n".join(parts)
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    with replacing(path) as temporary:
        # File names may contain undecodable bytes (lone surrogates); they are shown as question marks.
        temporary.write_bytes(page.encode("utf-8", errors="replace"))
    return path


def _cards(facts: Mapping[str, str], kind: str = "") -> str:
    cards = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="{f"cards {kind}".strip()}">{"".join(cards)}</dl>'


def _figure(name: str, image: bytes) -> str:
    """Return a heading and the image, with its size so that the page does not jump while it loads."""
    if not image.startswith(PNG_SIGNATURE):
        raise VitError(f"figure {name!r} begins with {image[:8]!r}, expected a PNG file: {PNG_SIGNATURE!r}")
    width, height = (int.from_bytes(image[start : start + 4], "big") // 2 for start in (16, 20))
    source = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    shown = f'<img src="{source}" width="{width}" height="{height}" alt="{escape(name)}">'
    return f"<h2>{escape(name)}</h2>\n<figure>{shown}</figure>"


def _details(summary: str, content: str) -> str:
    return f'<details><summary>{escape(summary)}</summary><div class="wide">{content}</div></details>'


def _class_of_column(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    """Return the attribute for the cells of a column of `tables`: strings are aligned at the left."""
    return ' class="text"' if any(isinstance(row.get(column), str) for row in rows) else ""


def _table(
    rows: Sequence[Mapping[str, Any]],
    cell: Callable[[str, Any], str],
    attribute: Callable[[Sequence[Mapping[str, Any]], str], str] = lambda rows, column: "",
) -> str:
    columns = {key: attribute(rows, key) for key in dict.fromkeys(key for row in rows for key in row)}
    head = "".join(f"<th{side}>{escape(key.replace('_', ' '))}</th>" for key, side in columns.items())
    lines = (
        "".join(f"<td{side}>{escape(cell(key, row.get(key)))}</td>" for key, side in columns.items())
        for row in rows
    )
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _pairs(values: Mapping[str, str]) -> str:
    lines = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in values.items())
    return f'<table class="pairs">{"".join(lines)}</table>'


def _share_cell(_: str, value: Any) -> str:
    """Format a value of one of `tables`."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{100 * value:.1f} %"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cell(key: str, value: Any) -> str:
    """Format a value for the table: accuracies in per cent, other numbers with four digits."""
    if value is None or value == "":
        return "–"
    try:
        number = float(value)
    except ValueError:
        return str(value)
    if not math.isfinite(number):
        return str(number)
    if key.endswith(("accuracy", "_map")):
        return f"{100 * number:.2f} %"
    if number == int(number) or abs(number) >= 1000:
        return f"{number:.0f}"
    return f"{number:.4g}"
