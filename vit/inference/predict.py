"""Label every file of an input, one row each, in sorted order."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.errors import VitError
from vit.inference.files import list_files
from vit.inference.pictures import Picture, read_batches
from vit.inference.table import Row, Table, partial_files
from vit.vision import VisionTransformer

COLUMNS: dict[str, type] = {
    "path": str,
    "status": str,
    "error": str,
    "label": str,
    "index": int,
    "score": float,
    "topk": str,
}


@torch.inference_mode()
def predict(
    model: VisionTransformer,
    inputs: list[str],
    output: Path,
    *,
    topk: int = 5,
    batch_size: int = 64,
    overwrite: bool = False,
    fingerprint: str = "",
    tell: Callable[[int], None] = lambda rows: None,
) -> Counter[str]:
    """Write one row per input file, good or bad, and return the number of rows by status.

    Rows are streamed: an interrupted run keeps those it wrote, and the same call goes on behind them.

    Args:
        model: In eval mode, with `labels` and `preprocess`.
        inputs: Files, folders, glob patterns.
        output: .csv, .jsonl or .parquet.
        topk: Number of classes in the `topk` column; fewer where the model has fewer.
        batch_size: Pictures per forward pass.
        overwrite: Replace a finished output.
        fingerprint: What the model is; a run that another model began is not continued.
        tell: Called with the number of rows after each batch.

    Raises:
        VitError: An input does not exist, OUTPUT exists, or an interrupted run was another command's or
            had another input.
    """
    command = {
        "command": "predict",
        "model": fingerprint,
        "inputs": [os.path.abspath(word) for word in inputs],
        "topk": topk,
    }
    counts: Counter[str] = Counter()
    entries = list_files(inputs, without=(output, *partial_files(output)))
    with Table(output, COLUMNS, command, overwrite=overwrite) as table:
        for row in table.rows():
            entry = next(entries, None)
            if entry is None or entry.name != row["path"]:
                raise VitError(
                    f"{table.partial} has a row for {row['path']} where the input now has "
                    f"{entry.name if entry else 'nothing'}: the input changed; --overwrite starts over"
                )
            counts[row["status"]] += 1
        device = next(model.parameters()).device
        for pictures in read_batches(entries, model.preprocess, batch_size, device=device):
            rows = list(_rows(model, pictures, device, topk))
            table.write(rows)
            counts.update(row["status"] for row in rows)
            tell(counts.total())
        table.finish()
    return counts


def _rows(
    model: VisionTransformer, pictures: list[Picture], device: torch.device, topk: int
) -> Iterator[Row]:
    pixels = torch.stack([picture.pixels for picture in pictures])
    images = model.preprocess.normalise(pixels.to(device))
    scores, classes = top_classes(model(images).cpu(), topk)
    for picture, its_scores, its_classes in zip(pictures, scores, classes, strict=True):
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {"path": picture.entry.name, "status": picture.status, "error": picture.error}
        if picture.status == "ok":
            best = [
                # Beyond six digits lies the noise of adding up in another order, in float32.
                {"label": model.labels[index], "score": round(score, 6)}
                for score, index in zip(its_scores.tolist(), its_classes.tolist(), strict=True)
            ]
            row |= {
                "label": best[0]["label"],
                "index": int(its_classes[0]),
                "score": best[0]["score"],
                "topk": json.dumps(best, ensure_ascii=False),
            }
        yield row


def top_classes(logits: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Logits (B, classes) -> probabilities and classes of the best, (B, k) each, best first."""
    probabilities = logits.float().softmax(-1)
    return probabilities.topk(min(topk, probabilities.shape[1]))
