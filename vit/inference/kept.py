"""Columns of input tables that are copied to the rows of `vit predict` and `vit embed`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from vit.errors import UsageError
from vit.inference.rows import Pipeline
from vit.jobs.job import Job, ProgressCallback
from vit.jobs.shards import ListInputs
from vit.jobs.table import Columns, Row


def with_kept(columns: Columns, keep: Sequence[str]) -> Columns:
    """The columns of rows, followed by those that are kept.

    Raises:
        UsageError: Rows have a column of that name already.
    """
    if both := [name for name in keep if name in columns]:
        raise UsageError(
            f"--keep {both[0]}: the rows have a column {both[0]} of their own; rename that of the input"
        )
    return columns | dict.fromkeys(keep, str)


class KeptColumns:
    """A pipeline of texts whose rows have columns of the input, after its own; an `Engine`.

    Args:
        pipeline: Makes the rows.
        keep: The columns, whose values the inputs have (`vit.inputs.texts.list_texts`).

    Raises:
        UsageError: Rows have a column of that name already.
    """

    def __init__(self, pipeline: Pipeline, keep: Sequence[str]):
        self.pipeline, self.keep = pipeline, tuple(keep)
        self.columns = with_kept(pipeline.columns, keep)
        self.reads, self.batch_size, self.reader = pipeline.reads, pipeline.batch_size, pipeline.reader

    def fingerprint(self) -> str:
        """Fingerprint of the model."""
        return self.pipeline.fingerprint()

    def run(
        self, job: Job, list_inputs: ListInputs, counts: Counter[str], on_progress: ProgressCallback
    ) -> None:
        """As `Pipeline.run`."""
        with self.reader:
            job.run(list_inputs, self.rows, counts, on_progress)

    def rows(self, inputs: list[list[Any]]) -> Iterator[list[Row]]:
        """As `Pipeline.rows`."""
        return map(self.compute, self.reader.batches(inputs))

    def compute(self, batch: Sequence[Any]) -> list[Row]:
        """As `Pipeline.compute`."""
        nothing = dict.fromkeys(self.keep)
        return [
            row | (nothing if text.kept is None else dict(zip(self.keep, text.kept, strict=True)))
            for row, text in zip(self.pipeline.compute(batch), batch, strict=True)
        ]
