"""The bar of the verbs that write rows."""

from collections import Counter

import pytest

from vit.commands.common import ticker
from vit.jobs.job import Progress


def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], progress: Progress) -> str:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ticker("pictures") as tell:
        tell(progress)
    return capsys.readouterr().err


def test_how_many_how_fast_how_many_bad_how_long_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = drawn(monkeypatch, capsys, Progress(Counter(ok=1200, truncated=2, timeout=1), 400, 1203))
    for words in ("1,203 of 1,203 pictures", "pictures/s", "3 bad", "ETA 0:00:00"):
        assert words in told


def test_while_the_end_is_not_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = drawn(monkeypatch, capsys, Progress(Counter(ok=64), 64, None))
    assert "64 pictures" in told
    assert "64 of" not in told
    assert "ETA -" in told


def test_nothing_is_drawn_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with ticker("pictures") as tell:
        tell(Progress(Counter(ok=1), 1, 1))
    assert capsys.readouterr().err == ""
