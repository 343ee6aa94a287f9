"""How far work is: a bar where stderr is a terminal, a line of text in a notebook, nothing elsewhere."""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, Self

NOTEBOOK_SECONDS = 0.5  # between two states of a line in a notebook


class Counted(Protocol):
    """How far rows are (`vit.jobs.job.Progress`).

    Attributes:
        counts: Rows by status.
        computed: Rows that this run has computed.
        total: Rows that there will be; None: not known.
    """

    @property
    def counts(self) -> Counter[str]: ...  # noqa: D102
    @property
    def computed(self) -> int: ...  # noqa: D102
    @property
    def total(self) -> int | None: ...  # noqa: D102


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def is_shown() -> bool:
    """Whether there is a place for progress: stderr is a terminal, or this is a notebook.

    Bars of several threads would overwrite each other: only that of the main thread is drawn.
    """
    if threading.current_thread() is not threading.main_thread() or os.environ.get("LOCAL_RANK", "0") != "0":
        return False
    from rich.console import Console

    return in_notebook() or Console(stderr=True).is_terminal


class NotebookLine:
    """A line of text below a cell, which is replaced as work goes on."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._written = 0.0

    def write(self, text: str, *, last: bool = False) -> None:
        """Show a text in place of the one before, at most every `NOTEBOOK_SECONDS` unless it is the last."""
        now = time.monotonic()
        if self._handle is not None and now - self._written < NOTEBOOK_SECONDS and not last:
            return
        from IPython.display import display

        content = {"text/plain": text}
        self._written = now
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


@contextmanager
def progress_bar(what: str, count: int) -> Iterator[Callable[[int], None]]:
    """A function to call with how much is done since the last call.

    Args:
        what: Shown before the bar, for example `reading pictures`.
        count: All that is to be done.
    """
    if not is_shown():
        yield lambda done: None
        return
    if in_notebook():
        line, finished = NotebookLine(), 0

        def advance(done: int) -> None:
            nonlocal finished
            finished += done
            line.write(f"{what} {finished:,} of {count:,}", last=finished >= count)

        yield advance
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=count)
        yield lambda done: bar.advance(task, done)


class RowsBar:
    """How far the rows of many inputs are: done, rate, bad, time left. A context manager, and a callback.

    Args:
        noun: What is counted, in the plural.
        shown: False: nothing is shown, wherever this runs.
    """

    def __init__(self, noun: str, *, shown: bool = True):
        self.noun = noun
        self._line = NotebookLine() if shown and is_shown() and in_notebook() else None
        self._draws = shown and self._line is None and is_shown()
        self._bar: Any = None
        self._started = time.monotonic()
        self._last: tuple[str, int, int | None] = ("", 0, None)

    def __enter__(self) -> Self:
        self.show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hide()
        if self._line is not None and self._last[0]:
            self._line.write(self._last[0], last=True)

    def __call__(self, progress: Counted) -> None:
        """Show how far the rows are."""
        done = progress.counts.total()
        self._last = (self._text(progress, done), done, progress.total)
        if self._line is not None:
            self._line.write(self._last[0])
        elif self._bar is not None:
            self._update()

    def show(self) -> None:
        """Draw the bar."""
        if not self._draws or self._bar is not None:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None))
        # What other code prints goes where it would go without the bar.
        self._bar = Progress(
            *columns,
            console=Console(stderr=True),
            transient=True,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bar.add_task(self._last[0] or f"0 {self.noun}", total=None)
        self._bar.start()

    def hide(self) -> None:
        """Remove the bar, so that the caller may print; `show` draws it again."""
        if self._bar is not None:
            self._update()
            self._bar.stop()
            self._bar = None

    def _update(self) -> None:
        text, done, total = self._last
        if text:
            self._bar.update(self._bar.task_ids[0], description=text, completed=done, total=total)

    def _text(self, progress: Counted, done: int) -> str:
        """As in `1,203 of 2,000 pictures, 83 pictures/s, 3 bad, 0:00:14, ETA 0:00:09`."""
        total, noun = progress.total, self.noun
        elapsed = max(time.monotonic() - self._started, 1e-9)
        # The rows of an earlier run do not count for the rate of this one.
        rate = progress.computed / elapsed
        left = "-" if total is None or not rate else str(timedelta(seconds=int((total - done) / rate)))
        counted = f"{done:,} {noun}" if total is None else f"{done:,} of {total:,} {noun}"
        bad = done - progress.counts["ok"]
        return f"{counted}, {rate:,.0f} {noun}/s, {bad:,} bad, {timedelta(seconds=int(elapsed))}, ETA {left}"
