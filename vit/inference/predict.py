"""Label or embed every entry of an input, one row each, in sorted order."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vit.inputs.decoding import USUAL, Limits
from vit.inputs.readers import reader_for, same_inputs
from vit.jobs.job import SHARD, Job, ProgressCallback, job_folder
from vit.jobs.ranks import SINGLE_PROCESS, Ranks
from vit.jobs.table import Row
from vit.towers import Tower

FIRST: dict[str, type] = {"path": str, "status": str, "error": str}
COLUMNS: dict[str, type] = FIRST | {"label": str, "index": int, "score": float, "topk": str}
EMBEDDING: dict[str, type] = FIRST | {"vector": list}

Run = Callable[..., None]  # `Job.run`, or one like it
Fill = Callable[[Tensor], Iterator[Row]]  # what a model made of a batch -> the rest of each row
Uncertain = Callable[[Tensor], Tensor]  # what it made in half precision, (B, ...) -> bool (B,): make it again

# Of the best two logits: the second class is at least e^-0.1 = 0.9 times as probable as the first. Half
# precision seldom moves them by more against each other (docs/performance.md has the measurement).
NEAR = 0.1


class RowMaker:
    """From the inputs of a shard to their rows, while its reader is open.

    Args:
        model: In eval mode, with `preprocess`. One of pictures reads files, one of texts the lines of files.
        columns: Of the rows.
        fill: What each row says besides its path and status.
        batch_size: As in the reader.
        limits: Of each picture's decoding.
        doubt: Which results of half precision are made again in the dtype of the weights; None: none.
    """

    def __init__(
        self,
        model: Tower,
        columns: dict[str, type],
        fill: Fill,
        batch_size: int,
        limits: Limits,
        doubt: Uncertain | None = None,
    ):
        self.model, self.columns, self.fill, self.batch_size = model, columns, fill, batch_size
        self.doubt = doubt
        self.reader: Any = reader_for(model, batch_size, limits)

    def __call__(self, entries: list[list[Any]]) -> Iterator[list[Row]]:
        """The rows, a batch at a time, in order."""
        for batch in self.reader.batches(self.reader.restored(entries)):
            made: list[Row] = [{}] * len(batch)
            if any(item.status == "ok" for item in batch):
                with torch.inference_mode():
                    made = list(self.fill(self._outputs(batch)))
            rows = []
            for item, found in zip(batch, made, strict=True):
                row = dict.fromkeys(self.columns)
                row |= {"path": item.name, "status": item.status, "error": item.error}
                rows.append(row | found if item.status == "ok" else row)
            yield rows

    def _outputs(self, batch: list[Any]) -> Tensor:
        """What the model makes of a batch, float32 (B, ...)."""
        outputs = self.reader.run(batch).float()
        if self.model.autocast is None or self.doubt is None:
            return outputs
        doubtful = [
            place for place in self.doubt(outputs).nonzero()[:, 0].tolist() if batch[place].status == "ok"
        ]
        if doubtful:
            with _exact(self.model):
                outputs[doubtful] = self.reader.run([batch[place] for place in doubtful]).float()
        return outputs


@contextmanager
def _exact(model: Tower) -> Iterator[None]:
    """Compute in the dtype of the weights meanwhile."""
    half, model.autocast = model.autocast, None
    try:
        yield
    finally:
        model.autocast = half


def labeller(model: Tower, *, topk: int = 5, batch_size: int = 64, limits: Limits = USUAL) -> RowMaker:
    """Makes the rows of `vit predict`.

    Where half precision leaves the best two classes within 10 % of each other, the row is made again without
    it: what it would have swapped is nearly always among these.

    Args:
        model: As in `RowMaker`, with `labels`.
        topk: Number of classes in the `topk` column; fewer where the model has fewer.
        batch_size: As in `RowMaker`.
        limits: As in `RowMaker`.
    """

    def fill(logits: Tensor) -> Iterator[Row]:
        scores, classes = top_classes(logits, topk)
        for its_scores, its_classes in zip(scores.tolist(), classes.tolist(), strict=True):
            best = [
                # Beyond six digits lies the noise of adding up in another order, in float32.
                {"label": model.labels[index], "score": round(score, 6)}
                for score, index in zip(its_scores, its_classes, strict=True)
            ]
            yield {
                "label": best[0]["label"],
                "index": its_classes[0],
                "score": best[0]["score"],
                "topk": json.dumps(best, ensure_ascii=False),
            }

    return RowMaker(model, COLUMNS, fill, batch_size, limits, doubt=near)


def embedder(model: Tower, *, batch_size: int = 64, limits: Limits = USUAL) -> RowMaker:
    """Makes the rows of `vit embed`: the vector that a model makes of its input when its head is left out.

    The column `vector` is a list of float32 in parquet and JSONL, and JSON in CSV; empty where the status is
    not `ok`. The model's head is taken away.
    """
    model.head = nn.Identity()  # of a classifier, what its head reads

    def fill(vectors: Tensor) -> Iterator[Row]:
        # Nine digits tell every float32 from its neighbours.
        return ({"vector": [float(f"{x:.9g}") for x in vector]} for vector in vectors.tolist())

    return RowMaker(model, EMBEDDING, fill, batch_size, limits)


def write_rows(
    maker: RowMaker,
    inputs: list[str],
    output: Path,
    command: dict[str, Any],
    *,
    overwrite: bool = False,
    world: Ranks = SINGLE_PROCESS,
    run: Run = Job.run,
    tell: ProgressCallback = lambda progress: None,
) -> Counter[str] | None:
    """Write one row per entry, good or bad, and return the number of rows by status.

    An interrupted run keeps the shards that it finished (`vit.jobs.job`), and the same call does the
    others. Several processes share them; all but the one that puts the output together return None.

    Args:
        maker: What makes the rows.
        inputs: As `list_files` takes them.
        output: .csv, .jsonl or .parquet.
        command: What the rows follow from besides inputs and batches: the verb, the model, options.
        overwrite: Replace a finished output, and what another command has begun.
        world: The processes that share the work, and which of them this is.
        run: How the shards are worked through.
        tell: Called with how far the work is after each batch.

    Raises:
        VitError: An input does not exist, OUTPUT exists, or an interrupted run was another command's or
            had another input.
    """
    command = command | {"inputs": same_inputs(inputs), "batch_size": maker.batch_size}
    sharing = {"size": SHARD, "rank": world.rank, "world": world.size}
    with maker.reader, Job(output, maker.columns, command, overwrite=overwrite, **sharing) as work:
        own = (output, job_folder(output))
        run(work, lambda: maker.reader.entries(inputs, without=own), maker, Counter(), tell)
        return work.finish()


def near(logits: Tensor) -> Tensor:
    """Logits (B, classes) -> bool (B,): the best two classes are nearly as probable as each other."""
    if logits.shape[1] < 2:
        return torch.zeros(len(logits), dtype=torch.bool)
    best, second = logits.topk(2).values.unbind(1)
    return best - second < NEAR


def top_classes(logits: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Logits (B, classes) -> probabilities and classes of the best, (B, k) each, best first."""
    probabilities = logits.float().softmax(-1)
    return probabilities.topk(min(topk, probabilities.shape[1]))
