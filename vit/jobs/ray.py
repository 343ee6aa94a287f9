"""The same shards on a Ray cluster: actors with models of their own make rows, this process keeps them."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vit.errors import VitError
from vit.jobs.job import Entries, Job, Make, Progress, ProgressCallback, Shard
from vit.jobs.table import Row

Build = Callable[[], Any]  # makes a maker, where it is called


class Actor:
    """A process of Ray's with a maker.

    Args:
        build: Makes the maker; it travels to the process, the model does not.
    """

    def __init__(self, build: Build):
        self.maker = build()
        self.maker.reader.__enter__()  # for as long as the process lives

    def rows(self, shard: Shard) -> list[Row]:
        """All rows of a shard."""
        return [row for rows in self.maker(shard.entries) for row in rows]


def on_ray(build: Build, actors: int | None) -> Callable[..., None]:
    """What runs shards on the cluster that RAY_ADDRESS names, or else on one that it starts here.

    Args:
        build: Makes a maker in each actor.
        actors: Their number; None: one for each GPU of the cluster, or for each two of its cores.

    Raises:
        VitError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise VitError("--engine ray needs the library ray: pip install 'vit[ray]'") from None

    def run(work: Job, entries: Entries, make: Make, counts: Counter[str], tell: ProgressCallback) -> None:
        # The workers find vit where this process does, installed or not.
        paths = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, _paths()))}}
        ray.init(ignore_reinit_error=True, log_to_driver=False, include_dashboard=False, runtime_env=paths)
        try:
            _run(work, entries, counts, tell)
        finally:
            ray.shutdown()

    def _run(work: Job, entries: Entries, counts: Counter[str], tell: ProgressCallback) -> None:
        have = ray.cluster_resources()
        cores, gpus = have.get("CPU", 1.0), int(have.get("GPU", 0))
        number = actors or gpus or max(int(cores) // 2, 1)
        share = {"num_cpus": cores / number, "num_gpus": gpus / number}
        idle: list[Any] = [ray.remote(**share)(Actor).remote(build) for _ in range(number)]
        busy: dict[Any, tuple[Any, Shard]] = {}  # by what the actor promised

        made = 0

        def collect() -> None:
            nonlocal made
            (ready,), _ = ray.wait(list(busy), num_returns=1)
            actor, shard = busy.pop(ready)
            idle.append(actor)
            rows = ray.get(ready)
            with work.writer(shard) as write:
                write(rows)
            counts.update(row["status"] for row in rows)
            made += len(rows)
            tell(Progress(counts, made, work.total))

        for shard in work.missing(entries, counts):
            if not idle:
                collect()
            actor = idle.pop()
            busy[actor.rows.remote(shard)] = (actor, shard)
        while busy:
            collect()

    return run


def _paths() -> list[str]:
    return [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
