"""What several verbs share."""

from collections import Counter
from typing import Any


def summary(counts: Counter[str], noun: str = "file") -> str:
    """Counts by status, as in `360 files: 358 ok, 2 truncated`."""
    total = counts.total()
    parts = ", ".join(f"{n} {status}" for status, n in sorted(counts.items(), key=lambda item: -item[1]))
    return f"{total} {noun}{'' if total == 1 else 's'}: {parts or 'nothing to do'}"


def faithfulness_table(rows: list[dict[str, Any]]) -> str:
    """The figures of `vit.evaluation.faithfulness.Faithfulness.rows` as aligned text."""
    lines: list[tuple[str, ...]] = [
        ("method", "baseline", "MoRF", "LeRF", "LeRF - MoRF", "95 % interval", "shuffled")
    ]
    for row in rows:
        bounds = "-" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
        shuffled = "-" if row["shuffled"] is None else f"{row['shuffled']:.2f}"
        figures = (f"{row['morf']:.3f}", f"{row['lerf']:.3f}", f"{row['difference']:+.3f}")
        lines.append((row["method"], row["baseline"], *figures, bounds, shuffled))
    if all(row["shuffled"] is None for row in rows):
        lines = [line[:-1] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
