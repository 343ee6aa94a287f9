"""The shards of a job on a Ray cluster: actors with a model each compute rows, this process writes them."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from vit.errors import VitError
from vit.jobs.job import Job, Progress, ProgressCallback
from vit.jobs.shards import ListInputs, Shard
from vit.jobs.table import Columns, Row

LoadPipeline = Callable[[], Any]  # loads a model, and returns a `vit.inference.rows.Pipeline`


class Description(NamedTuple):
    """What this process must know of a pipeline in an actor; the fields are those of `RayEngine`."""

    reads: str
    columns: Columns
    batch_size: int
    fingerprint: str


class Actor:
    """A process of the cluster, with a pipeline of its own.

    Args:
        load: Is sent to the process, and called there.
    """

    def __init__(self, load: LoadPipeline):
        self._load = load

    @cached_property
    def _pipeline(self) -> Any:
        pipeline = self._load()
        pipeline.reader.__enter__()  # until the process ends
        return pipeline

    def describe(self) -> Description:
        """Load the pipeline and describe it."""
        pipeline = self._pipeline
        return Description(pipeline.reads, pipeline.columns, pipeline.batch_size, pipeline.fingerprint())

    def rows(self, shard: Shard) -> list[Row]:
        """All rows of a shard."""
        return [row for rows in self._pipeline.rows(shard.inputs) for row in rows]


class RayEngine:
    """Hands out the shards of a job to actors. This process loads no model.

    Args:
        ray: The library.
        actors: Handles of `Actor`, which all begin to load.

    Attributes:
        reads: Kind of input, `image` or `text`.
        columns: Columns of the rows.
        batch_size: Most inputs in a forward pass.
    """

    def __init__(self, ray: Any, actors: list[Any]):
        self._ray, self._actors = ray, actors
        descriptions = [actor.describe.remote() for actor in actors]
        self.reads, self.columns, self.batch_size, self._fingerprint = self._get(descriptions[0])

    def fingerprint(self) -> str:
        """Fingerprint of the model in the first actor."""
        return self._fingerprint

    def run(
        self, job: Job, list_inputs: ListInputs, counts: Counter[str], on_progress: ProgressCallback
    ) -> None:
        """Compute and write every shard that is not done; the arguments are those of `Job.run`."""
        idle = list(self._actors)
        busy: dict[Any, tuple[Any, Shard]] = {}  # by the reference to the result
        computed = 0

        def collect() -> None:
            nonlocal computed
            (ready,), _ = self._ray.wait(list(busy), num_returns=1)
            actor, shard = busy.pop(ready)
            idle.append(actor)
            rows = self._get(ready)
            with job.writer(shard) as write:
                write(rows)
            counts.update(row["status"] for row in rows)
            computed += len(rows)
            on_progress(Progress(counts, computed, job.total))

        for shard in job.unfinished(list_inputs, counts):
            if not idle:
                collect()
            actor = idle.pop()
            busy[actor.rows.remote(shard)] = (actor, shard)
        while busy:
            collect()

    def _get(self, reference: Any) -> Any:
        """A result, or the error that the actor raised, without Ray's traceback around it."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None


@contextmanager
def ray_engine(load: LoadPipeline, actors: int | None) -> Iterator[RayEngine]:
    """Actors on the cluster that RAY_ADDRESS names, or else on one that is started here.

    Args:
        load: Loads a pipeline in each actor.
        actors: Their number; None: one for each GPU of the cluster, or for each two of its cores.

    Raises:
        VitError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise VitError("--engine ray needs the library ray: pip install 'vit[ray]'") from None
    # The workers import vit from where this process does, installed or not.
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, paths))}}
    ray.init(ignore_reinit_error=True, log_to_driver=False, include_dashboard=False, runtime_env=environment)
    try:
        resources = ray.cluster_resources()
        cores, gpus = resources.get("CPU", 1.0), int(resources.get("GPU", 0))
        number = actors or gpus or max(int(cores) // 2, 1)
        remote = ray.remote(num_cpus=cores / number, num_gpus=gpus / number)(Actor)
        yield RayEngine(ray, [remote.remote(load) for _ in range(number)])
    finally:
        ray.shutdown()
