"""Shards are kept, continued, shared between processes, and never lost."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from vit.errors import UsageError, VitError
from vit.jobs.folder import job_folder
from vit.jobs.job import Job, Progress
from vit.jobs.ranks import SINGLE_PROCESS, Ranks

COLUMNS: dict[str, type] = {"path": str, "status": str, "score": float}
COMMAND = {"model": "m"}
NAMES = [f"{n:02}\n=ü\udcff.png" for n in range(11)]


def entries() -> Iterator[tuple[str, Path]]:
    return ((name, Path(name)) for name in NAMES)


def compute(inputs: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
    for name, path in inputs:
        assert name == path
        yield [{"path": name, "status": "bad" if name[1] == "3" else "ok", "score": int(name[:2]) / 4}]


def write(output: Path, **arguments: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    with Job(output, COLUMNS, COMMAND, **{"shard_size": 3, **arguments}) as job:
        job.run(entries, compute, counts, lambda progress: None)
        assert job.finish() == counts
    return counts


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("size", [1, 3, 11, 12])
def test_the_size_of_shards_changes_nothing(tmp_path: Path, ending: str, size: int) -> None:
    assert write(tmp_path / f"a.{ending}", shard_size=size) == {"ok": 10, "bad": 1}
    write(tmp_path / f"b.{ending}", shard_size=5)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    assert sorted(os.listdir(tmp_path)) == [f"a.{ending}", f"b.{ending}"]


def test_nothing_to_do_is_a_table_without_rows(tmp_path: Path) -> None:
    with Job(tmp_path / "o.csv", COLUMNS, COMMAND) as job:
        job.run(list, compute, Counter(), lambda progress: None)
        job.finish()
    assert (tmp_path / "o.csv").read_text() == "path,status,score\n"


@pytest.mark.parametrize("stop", range(12))
def test_an_interrupted_run_is_continued(tmp_path: Path, stop: int) -> None:
    write(tmp_path / "whole.csv")
    output, done = tmp_path / "o.csv", []

    def interrupted(inputs: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
        for rows in compute(inputs):
            if len(done) == stop:
                raise KeyboardInterrupt
            done.append(rows)
            yield rows

    if stop < 11:
        with pytest.raises(KeyboardInterrupt), Job(output, COLUMNS, COMMAND, shard_size=3) as job:
            job.run(entries, interrupted, Counter(), lambda progress: None)
        assert not output.exists()
    again: list[Any] = []

    def counted(inputs: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
        again.extend(inputs)
        return compute(inputs)

    counts: Counter[str] = Counter()
    with Job(output, COLUMNS, COMMAND, shard_size=3) as job:
        job.run(entries, counted, counts, lambda progress: None)
        job.finish()
    assert counts == {"ok": 10, "bad": 1}
    assert len(again) == 11 - (stop // 3 * 3 if stop < 11 else 0), "whole shards are kept"
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not job_folder(output).exists()


def _slow(output: str) -> None:
    def slowly(inputs: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
        for rows in compute(inputs):
            time.sleep(0.01)
            yield rows

    with Job(Path(output), COLUMNS, COMMAND, shard_size=2) as job:
        job.run(entries, slowly, Counter(), lambda progress: None)
        job.finish()


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
    jobs = [Job(output, COLUMNS, COMMAND, shard_size=2, ranks=Ranks(rank, world)) for rank in ranks]
    for job in jobs:
        job.__enter__()
    merged = []
    for job in jobs:
        job.run(entries, compute, counts, lambda progress: None)
        merged.append(job.finish())
        job.__exit__(None, None, None)
    assert merged == [None] * (world - 1) + [counts], "the last one writes the output"
    assert counts == {"ok": 10, "bad": 1}
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_the_output_waits_for_a_process_that_is_late(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with Job(output, COLUMNS, COMMAND, shard_size=50, ranks=Ranks(0, 2)) as job:
        job.run(entries, compute, Counter(), lambda progress: None)
        assert not job.finish(), "rank 1 has nothing to do, but it would find its folder gone"
    with Job(output, COLUMNS, COMMAND, shard_size=50, ranks=Ranks(1, 2)) as job:
        job.run(entries, compute, Counter(), lambda progress: None)
        assert job.finish()


def begin(output: Path, shards: int) -> None:
    """Leave what another command, ended at once, would leave."""
    with Job(output, COLUMNS, {"model": "other"}, shard_size=3) as job:
        for _, shard in zip(range(shards), job.unfinished(entries, Counter()), strict=False):
            with job.writer(shard) as keep:
                for rows in compute(shard.inputs):
                    keep(rows)


def test_another_commands_work_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    begin(output, 1)
    with pytest.raises(VitError, match="--overwrite starts over"):
        write(output)
    assert write(output, overwrite=True).total() == 11


def test_a_folder_without_rows_does_not_block_another_command(tmp_path: Path) -> None:
    begin(tmp_path / "o.csv", 0)
    assert job_folder(tmp_path / "o.csv").is_dir()
    assert write(tmp_path / "o.csv").total() == 11


@pytest.mark.parametrize(
    ("world", "totals"), [(1, [11]), (2, [6, 5]), (4, [3, 3, 3, 2]), (5, [3, 3, 3, 2, 0])]
)
def test_the_total_is_known(tmp_path: Path, world: int, totals: list[int]) -> None:
    for rank, total in enumerate(totals):
        reports: list[Progress] = []
        counts: Counter[str] = Counter()
        with Job(tmp_path / "o.csv", COLUMNS, COMMAND, shard_size=3, ranks=Ranks(rank, world)) as job:
            job.run(entries, compute, counts, reports.append)
            assert job.total == total
        assert [progress.computed for progress in reports] == list(range(1, total + 1))
        assert all(progress.total in (None, total) for progress in reports)


def test_rows_of_an_earlier_run_are_not_counted_as_computed(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with Job(output, COLUMNS, COMMAND, shard_size=3) as job:
        shard = next(iter(job.unfinished(entries, Counter())))
        with job.writer(shard) as keep:
            for rows in compute(shard.inputs):
                keep(rows)
    reports: list[Progress] = []
    with Job(output, COLUMNS, COMMAND, shard_size=3) as job:
        job.run(entries, compute, Counter(), reports.append)
    assert (reports[-1].computed, reports[-1].counts.total()) == (8, 11)


def test_the_first_shard_does_not_wait_for_the_last_name(tmp_path: Path) -> None:
    first = Event()

    def slowly() -> Iterator[tuple[str, Path]]:
        yield from list(entries())[:3]
        assert first.wait(20), "names after the first shard are listed while it is computed"
        yield from list(entries())[3:]

    counts: Counter[str] = Counter()
    with Job(tmp_path / "o.csv", COLUMNS, COMMAND, shard_size=3) as job:
        job.run(slowly, compute, counts, lambda progress: first.set())
    assert counts.total() == 11


def test_a_name_that_cannot_be_listed_ends_the_run(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, Path]]:
        yield from list(entries())[:4]
        raise VitError("the disk is gone")

    with (
        pytest.raises(VitError, match="disk is gone"),
        Job(tmp_path / "o.csv", COLUMNS, COMMAND, shard_size=3) as job,
    ):
        job.run(broken, compute, Counter(), lambda progress: None)
    assert write(tmp_path / "o.csv").total() == 11


def test_a_changed_input_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with Job(output, COLUMNS, COMMAND, shard_size=3) as job:
        for _ in zip(range(2), job.unfinished(lambda: [("a", "a")] * 9, Counter()), strict=False):
            pass
    with pytest.raises(VitError, match="inputs 0 to 2"):
        write(output)


def changed(*numbers: int) -> list[tuple[str, Path]]:
    """The inputs of `entries` with these numbers."""
    return [(NAMES[number], Path(NAMES[number])) for number in numbers]


CHANGED_INPUTS = pytest.mark.parametrize(
    ("inputs", "difference"),
    [
        (changed(*range(7), 8, 7, 9, 10), "inputs 6 to 8"),
        (changed(*range(10)), "inputs 9 to 10"),
        (changed(*range(9)), "inputs 9 to 10"),
        (changed(*range(11), 3), "inputs 9 to 11"),
        (changed(), "inputs 0 to 2"),
    ],
)


def begin_listed(output: Path, inputs: list[tuple[str, Path]], ranks: Ranks = SINGLE_PROCESS) -> None:
    """Leave the job of `write` when all inputs are listed and the first shard is done."""
    with Job(output, COLUMNS, COMMAND, shard_size=3, ranks=ranks) as job:
        shards = list(job.unfinished(lambda: inputs, Counter()))
        assert job.total is not None
        with job.writer(shards[0]) as keep:
            for rows in compute(shards[0].inputs):
                keep(rows)


@CHANGED_INPUTS
def test_changed_inputs_of_a_listed_job_are_refused(
    tmp_path: Path, inputs: list[tuple[str, Path]], difference: str
) -> None:
    output = tmp_path / "o.csv"
    begin_listed(output, list(entries()))
    with (
        pytest.raises(VitError, match=f"{difference}.*--overwrite starts over"),
        Job(output, COLUMNS, COMMAND, shard_size=3) as job,
    ):
        job.run(lambda: inputs, compute, Counter(), lambda progress: None)
    assert (job_folder(output) / "000000.rows").exists()
    assert write(output).total() == 11


@CHANGED_INPUTS
def test_overwriting_computes_changed_inputs(
    tmp_path: Path, inputs: list[tuple[str, Path]], difference: str
) -> None:
    output = tmp_path / "o.csv"
    begin_listed(output, list(entries()))
    discarded: list[Any] = []
    with Job(output, COLUMNS, COMMAND, shard_size=3, overwrite=True, on_discard=discarded.append) as job:
        job.run(lambda: inputs, compute, Counter(), lambda progress: None)
        assert [row["path"] for row in job.rows()] == [name for name, _ in inputs]
        job.finish()
    assert len(discarded) == (0 if inputs else 3)


def test_an_unfinished_list_with_more_inputs_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    begin_listed(output, list(entries()))
    (job_folder(output) / "listed").unlink()
    with (
        pytest.raises(VitError, match="inputs 3 to 5"),
        Job(output, COLUMNS, COMMAND, shard_size=3) as job,
    ):
        job.run(lambda: changed(0, 1, 2), compute, Counter(), lambda progress: None)


def test_the_first_of_several_processes_compares(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    begin_listed(output, list(entries()), Ranks(0, 2))
    for rank in (1, 0):
        with Job(output, COLUMNS, COMMAND, shard_size=3, overwrite=True, ranks=Ranks(rank, 2)) as job:
            if rank == 1:
                job.run(changed, compute, Counter(), lambda progress: None)
                assert job.finish() is None
            else:
                with pytest.raises(VitError, match=r"inputs 0 to 2.*delete .*o\.csv\.parts to"):
                    job.run(changed, compute, Counter(), lambda progress: None)
    assert not output.exists()
    with Job(output, COLUMNS, COMMAND, shard_size=3, ranks=Ranks(0, 2)) as job:
        job.run(entries, compute, Counter(), lambda progress: None)
        assert job.finish() == {"ok": 10, "bad": 1}


def test_inputs_that_cannot_be_listed_again_are_those_of_before(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    begin_listed(output, list(entries()))
    with Job(output, COLUMNS, COMMAND, shard_size=3, compare_inputs=False) as job:
        job.run(changed, compute, Counter(), lambda progress: None)
        assert job.finish() == {"ok": 10, "bad": 1}


def test_own_shards_are_discarded_under_the_lock(tmp_path: Path) -> None:
    output, discarded = tmp_path / "o.csv", []
    begin_listed(output, list(entries()))
    (job_folder(output) / "000001.partial").write_text('["x", "ok", 0.5]\n["torn')
    before = sorted(job_folder(output).iterdir())

    def anew(command: dict[str, Any]) -> Job:
        return Job(output, COLUMNS, command, shard_size=3, resume=False, on_discard=discarded.append)

    with Job(output, COLUMNS, COMMAND, shard_size=3), pytest.raises(VitError, match="in use"), anew(COMMAND):
        pass
    with pytest.raises(VitError, match="another command"), anew({"model": "other"}):
        pass
    assert sorted(job_folder(output).iterdir()) == before
    assert not discarded
    counted: list[Progress] = []
    with anew(COMMAND) as job:
        job.run(entries, compute, Counter(), counted.append)
        job.finish()
    assert counted[-1].computed == 11
    assert [row["path"] for row in discarded] == [*NAMES[:3], "x"]


def test_rows_without_their_command_are_not_trusted(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    begin_listed(output, list(entries()))
    (job_folder(output) / "command.json").unlink()
    reports: list[Progress] = []
    with Job(output, COLUMNS, COMMAND, shard_size=3) as job:
        job.run(entries, compute, Counter(), reports.append)
    assert reports[-1].computed == 11


def test_what_failed_at_once_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> list[tuple[str, str]]:
        raise VitError("no such input")

    with pytest.raises(VitError, match="no such input"), Job(tmp_path / "o.csv", COLUMNS, {"a": 1}) as job:
        job.run(broken, compute, Counter(), lambda progress: None)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "o.csv")


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with Job(output, COLUMNS, COMMAND), pytest.raises(VitError, match="in use by another process"):
        write(output)
    write(output, shard_size=512)


@contextmanager
def locked_elsewhere(output: Path, seconds: float) -> Iterator[None]:
    """Another process has the lock of the job's folder for some time."""
    job_folder(output).mkdir()
    program = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print(flush=True); time.sleep(float(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(job_folder(output) / "lock"), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
        holder.kill()


def test_a_single_process_does_not_wait_for_the_lock(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with locked_elsewhere(output, 60), pytest.raises(VitError, match=r"o\.csv\.parts is in use.* --output"):
        write(output)
    assert write(output).total() == 11, "a killed process holds no lock"


def test_several_processes_wait_for_the_lock(tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with locked_elsewhere(output, 1):
        started = time.monotonic()
        with Job(output, COLUMNS, COMMAND, ranks=Ranks(0, 2)):
            assert time.monotonic() - started > 0.5


def test_rows_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    """Version 0.1 kept the list of the best classes as its JSON text."""
    columns = {"path": str, "status": str, "topk": list[dict]}
    best = [{"label": "ü", "score": 0.25}]

    def compute_best(inputs: list[list[Any]]) -> Iterator[list[dict[str, Any]]]:
        yield [{"path": name, "status": "ok", "topk": best} for name, _ in inputs]

    for ending in ("csv", "jsonl", "parquet"):
        written = []
        for text in (best, json.dumps(best, ensure_ascii=False)):
            output = tmp_path / f"o.{ending}"
            with Job(output, columns, COMMAND, shard_size=3) as job:
                shard = next(iter(job.unfinished(entries, Counter())))
                with job.writer(shard) as write:
                    write([{"path": name, "status": "ok", "topk": text} for name, _ in shard.inputs])
            with Job(output, columns, COMMAND, shard_size=3) as job:
                job.run(entries, compute_best, Counter(), lambda progress: None)
                job.finish()
            written.append(output.read_bytes())
            output.unlink()
        assert written[0] == written[1]


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
