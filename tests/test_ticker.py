"""The progress bar of the verbs that write rows."""

from collections import Counter

import pytest

from vit.jobs.job import Progress
from vit.progress import RowsBar


def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], progress: Progress) -> str:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with RowsBar("pictures") as on_progress:
        on_progress(progress)
    return capsys.readouterr().err


def test_done_rate_bad_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = drawn(monkeypatch, capsys, Progress(Counter(ok=1200, truncated=2, timeout=1), 400, 1203))
    for text in ("1,203 of 1,203 pictures", "pictures/s", "3 bad", "ETA 0:00:00"):
        assert text in bar


def test_while_the_total_is_not_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = drawn(monkeypatch, capsys, Progress(Counter(ok=64), 64, None))
    assert "64 pictures" in bar
    assert "64 of" not in bar
    assert "ETA -" in bar


def test_nothing_is_drawn_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with RowsBar("pictures") as on_progress:
        on_progress(Progress(Counter(ok=1), 1, 1))
    assert capsys.readouterr().err == ""
