"""What several verbs share."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from vit.errors import UsageError, VitError

if TYPE_CHECKING:
    from vit.jobs.job import Progress as JobProgress
    from vit.jobs.job import ProgressCallback


def require_positive(option: str, value: float) -> None:
    """Refuse zero and negative values of an option."""
    if value <= 0:
        least = "at least 1" if isinstance(value, int) else "more than 0"
        raise UsageError(f"{option} is {value}, expected {least}")


def require_labels(model: Any, name: str) -> Any:
    """Refuse a model that does not know the names of its classes."""
    from vit.text.matching import is_encoder_decoder, predicts_next

    if not model.labels:
        writes = predicts_next(model) or is_encoder_decoder(model)
        gives, verb = ("texts", "generate") if writes else ("features", "embed")
        raise VitError(f"{name} has no names of classes: it gives {gives}, not labels; see vit {verb}")
    return model


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


@contextmanager
def ticker(noun: str) -> Iterator["ProgressCallback"]:
    """A progress bar on stderr: done, rate, bad, time left; nothing if stderr is not a terminal.

    Args:
        noun: What is counted, in the plural.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda progress: None
        return
    columns = (
        TextColumn("{task.fields[done]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[bad]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task(noun, total=None, done=f"0 {noun}", rate="", bad="0 bad", left="ETA -")

        def on_progress(progress: "JobProgress") -> None:
            done, total = progress.counts.total(), progress.total
            # The rows of an earlier run do not count for the rate of this one.
            rate = progress.computed / max(bar.tasks[0].elapsed or 0.0, 1e-9)
            bar.update(
                task,
                total=total,
                completed=done,
                done=f"{done:,} {noun}" if total is None else f"{done:,} of {total:,} {noun}",
                rate=f"{rate:,.0f} {noun}/s",
                bad=f"{done - progress.counts['ok']:,} bad",
                left="ETA -" if total is None else f"ETA {timedelta(seconds=int((total - done) / rate))}",
            )

        yield on_progress
