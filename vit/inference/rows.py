"""One row for each input, in sorted order: what `vit predict` and `vit embed` share."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vit.atomic import temporary_path
from vit.core import Tower
from vit.device import memory_advice
from vit.inference.forward import Forward, reader_for, run_batch
from vit.inputs.decoding import Limits
from vit.inputs.files import absolute_inputs, can_list_again, list_files
from vit.inputs.texts import list_texts
from vit.jobs.folder import job_folder
from vit.jobs.job import Job, ProgressCallback
from vit.jobs.ranks import SINGLE_PROCESS, Ranks
from vit.jobs.shards import ListInputs
from vit.jobs.table import Columns, Row
from vit.weights.models import fingerprint

BASE_COLUMNS: Columns = {"path": str, "status": str, "error": str}
LISTINGS: dict[str, Callable[..., Iterable[tuple[Any, ...]]]] = {"image": list_files, "text": list_texts}


class Engine(Protocol):
    """Computes the shards of a job: a `Pipeline` in this process, or actors on a cluster (`vit.jobs.ray`)."""

    reads: str  # `image` or `text`
    columns: Columns
    batch_size: int

    def fingerprint(self) -> str:
        """Fingerprint of the model: models that share it give the same rows."""
        ...

    def run(
        self, job: Job, list_inputs: ListInputs, counts: Counter[str], on_progress: ProgressCallback
    ) -> None:
        """Compute and write every shard that is not done; the arguments are those of `Job.run`."""
        ...


class Pipeline:
    """Reads inputs, runs a model on them and turns its outputs into rows.

    Args:
        model: In eval mode, with `preprocess`.
        forward: The model, or its method `features`.
        columns: Columns of the rows; those after `BASE_COLUMNS` are filled by `postprocess`.
        postprocess: Maps outputs, float32 (B, ...), to the further columns of each row.
        batch_size: Most inputs in a forward pass.
        limits: Limits for the decoding of each image.
        uncertain: Maps outputs to bool (B,): which of those in half precision are computed again in the
            weights' dtype, besides those that are not finite. None: none.
    """

    def __init__(
        self,
        model: Tower,
        forward: Forward,
        columns: Columns,
        postprocess: Callable[[Tensor], Iterator[Row]],
        *,
        batch_size: int,
        limits: Limits,
        uncertain: Callable[[Tensor], Tensor] | None = None,
    ):
        self.model, self.forward, self.columns, self.postprocess = model, forward, columns, postprocess
        self.batch_size, self.uncertain = batch_size, uncertain
        self.reads: str = model.reads
        self.reader: Any = reader_for(model, batch_size, limits)

    def fingerprint(self) -> str:
        """Fingerprint of the model: models that share it give the same rows."""
        return fingerprint(self.model)

    def run(
        self, job: Job, list_inputs: ListInputs, counts: Counter[str], on_progress: ProgressCallback
    ) -> None:
        """Compute and write every shard that is not done; the arguments are those of `Job.run`."""
        with self.reader:
            job.run(list_inputs, self.rows, counts, on_progress)

    def rows(self, inputs: list[list[Any]]) -> Iterator[list[Row]]:
        """The rows of inputs, a batch at a time, in order, while the reader is open.

        Args:
            inputs: The fields of each, as a job has them.
        """
        return map(self.compute, self.reader.batches(inputs))

    def compute(self, batch: Sequence[Any]) -> list[Row]:
        """The rows of a batch, as the reader yields it; no reader needs to be open."""
        results: list[Row] = [{}] * len(batch)
        if any(item.status == "ok" for item in batch):
            with torch.inference_mode(), memory_advice(self.batch_size):
                results = list(self.postprocess(self._outputs(batch)))
        rows = []
        for item, result in zip(batch, results, strict=True):
            row = dict.fromkeys(self.columns)
            row |= {"path": item.name, "status": item.status, "error": item.error}
            rows.append(row | result if item.status == "ok" else row)
        return rows

    def _outputs(self, batch: Sequence[Any]) -> Tensor:
        """Float32 (B, ...); those that half precision leaves uncertain, or that exceed it, computed again."""
        outputs = run_batch(self.model, self.forward, batch, self.batch_size).float()
        if self.model.autocast is None:
            return outputs
        doubtful = ~outputs.isfinite().flatten(1).all(1)  # float16 ends at 65,504
        if self.uncertain is not None:
            doubtful |= self.uncertain(outputs)
        indices = doubtful.nonzero()[:, 0].tolist()
        indices = [index for index in indices if batch[index].status == "ok"]
        if indices:
            again = [batch[index] for index in indices]
            outputs[indices] = run_batch(self.model, self.forward, again, self.batch_size, exact=True).float()
        return outputs


def write_rows(
    engine: Engine,
    inputs: list[str],
    output: Path,
    command: dict[str, Any],
    *,
    overwrite: bool = False,
    ranks: Ranks = SINGLE_PROCESS,
    listing: dict[str, Any] | None = None,
    on_progress: ProgressCallback = lambda progress: None,
) -> Counter[str] | None:
    """Write one row per input, readable or not, and return the number of rows by status.

    If it is interrupted, the shards that are done are kept (`vit.jobs.job`), and the same call computes the
    others. Several processes share the shards; the last one to finish writes OUTPUT, the others return None.

    Args:
        engine: Computes the rows.
        inputs: As in `list_files`.
        output: .csv, .jsonl or .parquet.
        command: What the rows depend on besides inputs and batch size: the verb, the model, options.
        overwrite: As in `Job`.
        ranks: The processes that share the job, and which of them this is.
        listing: Further arguments of `list_texts`: the columns of tables.
        on_progress: Called after each batch.

    Raises:
        VitError: An input does not exist, OUTPUT exists, or an interrupted job belongs to another command or
            had other inputs.
    """
    command = command | {"inputs": absolute_inputs(inputs), "batch_size": engine.batch_size}
    own_files = (output, temporary_path(output), job_folder(output))

    def list_inputs() -> Iterable[tuple[Any, ...]]:
        return LISTINGS[engine.reads](inputs, exclude=own_files, **(listing or {}))

    # Several processes share one standard input: the one that lists first has read it.
    compare = can_list_again(inputs) if ranks.world_size == 1 else "-" not in inputs
    with Job(
        output, engine.columns, command, overwrite=overwrite, ranks=ranks, compare_inputs=compare
    ) as job:
        engine.run(job, list_inputs, Counter(), on_progress)
        return job.finish()
