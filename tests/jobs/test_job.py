"""Shards are kept, continued, shared between processes, and never lost."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from vit.errors import UsageError, VitError
from vit.jobs.job import Job, Progress, job_folder

COLUMNS: dict[str, type] = {"path": str, "status": str, "score": float}
COMMAND = {"model": "m"}
NAMES = [f"{n:02}\n=ü\udcff.png" for n in range(11)]


def entries() -> Iterator[tuple[str, Path]]:
    return ((name, Path(name)) for name in NAMES)


def make(some: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
    for name, path in some:
        assert name == path
        yield [{"path": name, "status": "bad" if name[1] == "3" else "ok", "score": int(name[:2]) / 4}]


def write(output: Path, **arguments: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    with Job(output, COLUMNS, COMMAND, **{"size": 3, **arguments}) as work:
        work.run(entries, make, counts, lambda progress: None)
        assert work.finish() == counts
    return counts


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("size", [1, 3, 11, 12])
def test_the_size_of_shards_changes_nothing(tmp_path: Path, ending: str, size: int) -> None:
    assert write(tmp_path / f"a.{ending}", size=size) == {"ok": 10, "bad": 1}
    write(tmp_path / f"b.{ending}", size=5)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    assert sorted(os.listdir(tmp_path)) == [f"a.{ending}", f"b.{ending}"]


def test_nothing_to_do_is_a_table_without_rows(tmp_path: Path) -> None:
    with Job(tmp_path / "o.csv", COLUMNS, COMMAND) as work:
        work.run(list, make, Counter(), lambda progress: None)
        work.finish()
    assert (tmp_path / "o.csv").read_text() == "path,status,score\n"


@pytest.mark.parametrize("stop", range(12))
def test_an_interrupted_run_is_continued(tmp_path: Path, stop: int) -> None:
    write(tmp_path / "whole.csv")
    output, done = tmp_path / "o.csv", []

    def interrupted(some: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
        for rows in make(some):
            if len(done) == stop:
                raise KeyboardInterrupt
            done.append(rows)
            yield rows

    if stop < 11:
        with pytest.raises(KeyboardInterrupt), Job(output, COLUMNS, COMMAND, size=3) as work:
            work.run(entries, interrupted, Counter(), lambda progress: None)
        assert not output.exists()
    again: list[Any] = []

    def counted(some: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
        again.extend(some)
        return make(some)

    counts: Counter[str] = Counter()
    with Job(output, COLUMNS, COMMAND, size=3) as work:
        work.run(entries, counted, counts, lambda progress: None)
        work.finish()
    assert counts == {"ok": 10, "bad": 1}
    assert len(again) == 11 - (stop // 3 * 3 if stop < 11 else 0), "whole shards are kept"
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not job_folder(output).exists()


def _slow(output: str) -> None:
    def slowly(some: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
        for rows in make(some):
            time.sleep(0.01)
            yield rows

    with Job(Path(output), COLUMNS, COMMAND, size=2) as work:
        work.run(entries, slowly, Counter(), lambda progress: None)
        work.finish()


def test_a_killed_run_is_continued(tmp_path: Path) -> None:
    write(tmp_path / "whole.csv")
    output = tmp_path / "o.csv"
    context = multiprocessing.get_context("fork")
    kills = 0
    for moment in (0.01, 0.03, 0.05, 0.07, 0.09):
        process = context.Process(target=_slow, args=(str(output),))
        process.start()
        time.sleep(moment)
        if not output.exists():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join()
    assert kills
    if not output.exists():
        _slow(str(output))
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("world", [2, 4, 7])
@pytest.mark.parametrize("backwards", [False, True])
def test_several_processes_share_the_work(tmp_path: Path, world: int, backwards: bool) -> None:
    write(tmp_path / "whole.csv")
    output = tmp_path / "o.csv"
    ranks = list(range(world))[:: -1 if backwards else 1]
    counts: Counter[str] = Counter()
    works = [Job(output, COLUMNS, COMMAND, size=2, rank=rank, world=world) for rank in ranks]
    for work in works:
        work.__enter__()
    merged = []
    for work in works:
        work.run(entries, make, counts, lambda progress: None)
        merged.append(work.finish())
        work.__exit__(None, None, None)
    assert merged == [None] * (world - 1) + [counts], "the last one puts the output together"
    assert counts == {"ok": 10, "bad": 1}
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_the_output_waits_for_a_process_that_is_late(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with Job(output, COLUMNS, COMMAND, size=50, rank=0, world=2) as work:
        work.run(entries, make, Counter(), lambda progress: None)
        assert not work.finish(), "rank 1 has nothing to do, but it would find its folder gone"
    with Job(output, COLUMNS, COMMAND, size=50, rank=1, world=2) as work:
        work.run(entries, make, Counter(), lambda progress: None)
        assert work.finish()


def begin(output: Path, shards: int) -> None:
    """Leave what another command, ended at once, would leave."""
    with Job(output, COLUMNS, {"model": "other"}, size=3) as work:
        for _, shard in zip(range(shards), work.shards(entries), strict=False):
            with work.writer(shard) as keep:
                for rows in make(shard.entries):
                    keep(rows)


def test_another_commands_work_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    begin(output, 1)
    with pytest.raises(VitError, match="--overwrite starts over"):
        write(output)
    assert write(output, overwrite=True).total() == 11


def test_a_beginning_without_rows_is_in_nobodys_way(tmp_path: Path) -> None:
    begin(tmp_path / "o.csv", 0)
    assert job_folder(tmp_path / "o.csv").is_dir()
    assert write(tmp_path / "o.csv").total() == 11


@pytest.mark.parametrize(
    ("world", "totals"), [(1, [11]), (2, [6, 5]), (4, [3, 3, 3, 2]), (5, [3, 3, 3, 2, 0])]
)
def test_the_end_can_be_told(tmp_path: Path, world: int, totals: list[int]) -> None:
    for rank, total in enumerate(totals):
        told: list[Progress] = []
        counts: Counter[str] = Counter()
        with Job(tmp_path / "o.csv", COLUMNS, COMMAND, size=3, rank=rank, world=world) as work:
            work.run(entries, make, counts, told.append)
            assert work.total == total
        assert [progress.made for progress in told] == list(range(1, total + 1))
        assert all(progress.total in (None, total) for progress in told)


def test_what_is_continued_is_not_counted_as_made(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with Job(output, COLUMNS, COMMAND, size=3) as work:
        shard = next(iter(work.shards(entries)))
        with work.writer(shard) as keep:
            for rows in make(shard.entries):
                keep(rows)
    told: list[Progress] = []
    with Job(output, COLUMNS, COMMAND, size=3) as work:
        work.run(entries, make, Counter(), told.append)
    assert (told[-1].made, told[-1].counts.total()) == (8, 11)


def test_the_first_shard_does_not_wait_for_the_last_name(tmp_path: Path) -> None:
    first = Event()

    def slowly() -> Iterator[tuple[str, Path]]:
        yield from list(entries())[:3]
        assert first.wait(20), "names behind the first shard are read beside the work"
        yield from list(entries())[3:]

    counts: Counter[str] = Counter()
    with Job(tmp_path / "o.csv", COLUMNS, COMMAND, size=3) as work:
        work.run(slowly, make, counts, lambda progress: first.set())
    assert counts.total() == 11


def test_a_name_that_cannot_be_listed_ends_the_run(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, Path]]:
        yield from list(entries())[:4]
        raise VitError("the disk is gone")

    with (
        pytest.raises(VitError, match="disk is gone"),
        Job(tmp_path / "o.csv", COLUMNS, COMMAND, size=3) as work,
    ):
        work.run(broken, make, Counter(), lambda progress: None)
    assert write(tmp_path / "o.csv").total() == 11


def test_a_changed_input_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with Job(output, COLUMNS, COMMAND, size=3) as work:
        for _ in zip(range(2), work.shards(lambda: [("a", "a")] * 9), strict=False):
            pass
    with pytest.raises(VitError, match="inputs 0 to 2"):
        write(output)


def test_what_failed_at_once_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> list[tuple[str, str]]:
        raise VitError("no such input")

    with pytest.raises(VitError, match="no such input"), Job(tmp_path / "o.csv", COLUMNS, {"a": 1}) as work:
        work.run(broken, make, Counter(), lambda progress: None)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "o.csv")


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with Job(output, COLUMNS, COMMAND), pytest.raises(VitError, match="another process's hands"):
        write(output)
    write(output, size=512)


def test_a_finished_output_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "o.csv")
    with pytest.raises(VitError, match="--overwrite replaces it"):
        write(tmp_path / "o.csv")
    write(tmp_path / "o.csv", overwrite=True)


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in \.csv, \.jsonl, \.parquet"):
        write(tmp_path / "out.txt")
    with pytest.raises(VitError, match="does not exist"):
        write(tmp_path / "no" / "out.csv")
