"""Label or embed every entry of an input, one row each, in sorted order."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vit.inference.readers import reader_for, same_inputs
from vit.inference.table import Row
from vit.inference.work import SHARD, Work, parts_of
from vit.inference.world import World
from vit.towers import Tower

FIRST: dict[str, type] = {"path": str, "status": str, "error": str}
COLUMNS: dict[str, type] = FIRST | {"label": str, "index": int, "score": float, "topk": str}
EMBEDDING: dict[str, type] = FIRST | {"vector": list}

Fill = Callable[[Tensor], Iterator[Row]]  # what a model made of a batch -> the rest of each row


class Settings(NamedTuple):
    """How rows are made, whatever is in them.

    Args:
        batch_size: Pictures or texts per forward pass.
        overwrite: Replace a finished output, and what another command has begun.
        world: The processes that share the work, and which of them this is.
        tell: Called with the number of rows after each batch.
    """

    batch_size: int = 64
    overwrite: bool = False
    world: World = World()
    tell: Callable[[int], None] = lambda rows: None


USUAL = Settings()


def predict(
    model: Tower,
    inputs: list[str],
    output: Path,
    *,
    topk: int = 5,
    fingerprint: str = "",
    settings: Settings = USUAL,
) -> Counter[str] | None:
    """Write one row per entry, good or bad, and return the number of rows by status.

    An interrupted run keeps the shards that it finished (`vit.inference.work`), and the same call does the
    others. Several processes share them; all but the one that puts the output together return None.

    Args:
        model: In eval mode, with `labels` and `preprocess`. One of pictures reads files, one of texts the
            lines and rows of files.
        inputs: Files, folders, glob patterns.
        output: .csv, .jsonl or .parquet.
        topk: Number of classes in the `topk` column; fewer where the model has fewer.
        fingerprint: What the model is; a run that another model began is not continued.
        settings: See there.

    Raises:
        VitError: An input does not exist, OUTPUT exists, or an interrupted run was another command's or
            had another input.
    """
    command = {"command": "predict", "model": fingerprint, "topk": topk}

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

    return _write(model, inputs, output, COLUMNS, command, fill, settings)


def embed(
    model: Tower,
    inputs: list[str],
    output: Path,
    *,
    fingerprint: str = "",
    settings: Settings = USUAL,
) -> Counter[str] | None:
    """Write one row per entry with the vector that a model without a head makes of it, as `predict` does.

    The column `vector` is a list of float32 in parquet and JSONL, and JSON in CSV; empty where the status is
    not `ok`.
    """
    command = {"command": "embed", "model": fingerprint}

    def fill(vectors: Tensor) -> Iterator[Row]:
        # Eight digits tell every float32 from its neighbours at this size.
        return ({"vector": [float(f"{x:.9g}") for x in vector]} for vector in vectors.tolist())

    return _write(model, inputs, output, EMBEDDING, command, fill, settings)


@torch.inference_mode()
def _write(
    model: Tower,
    inputs: list[str],
    output: Path,
    columns: dict[str, type],
    command: dict[str, Any],
    fill: Fill,
    settings: Settings,
) -> Counter[str] | None:
    counts: Counter[str] = Counter()
    command |= {"inputs": same_inputs(inputs), "batch_size": settings.batch_size}
    reader: Any = reader_for(model, settings.batch_size)

    def make(entries: list[list[Any]]) -> Iterator[list[Row]]:
        for batch in reader.batches(reader.restored(entries)):
            rows = []
            for item, found in zip(batch, fill(reader.run(batch).float()), strict=True):
                row = dict.fromkeys(columns)
                row |= {"path": item.name, "status": item.status, "error": item.error}
                rows.append(row | found if item.status == "ok" else row)
            yield rows

    rank, world = settings.world
    sharing = {"size": SHARD, "rank": rank, "world": world}
    with reader, Work(output, columns, command, overwrite=settings.overwrite, **sharing) as work:
        own = (output, parts_of(output))
        work.run(lambda: reader.entries(inputs, without=own), make, counts, settings.tell)
        return work.finish()


def top_classes(logits: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Logits (B, classes) -> probabilities and classes of the best, (B, k) each, best first."""
    probabilities = logits.float().softmax(-1)
    return probabilities.topk(min(topk, probabilities.shape[1]))
