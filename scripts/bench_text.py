"""Speed of the text tower against transformers, on the same weights and batches: texts/s, interleaved.

    VIT_DATA=... python scripts/bench_text.py [--texts 512] [--rounds 7] [--output text.json]

The texts are sentences of SST-2. `as they come`: batches in the order of the file; `sorted`: all texts
sorted by length first, so that batches have little padding. Both libraries get the same batches of ids,
padded to the longest text, and return the same pooled vectors; tokenizing is not timed.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import vit
from vit.data.datasets import load
from vit.training.environment import environment
from vit.weights.huggingface.folder import packaged_folder

PRECISIONS = {"float32": None, "bf16": torch.bfloat16}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, help="also write the results as JSON")
    arguments = parser.parse_args(argv)

    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    ours = vit.load_model("minilm")
    theirs = AutoModel.from_pretrained(packaged_folder("minilm")).eval()
    texts = load("sst2").train.texts[: arguments.texts]
    rows = []
    for order, ordered in (
        ("as they come", texts),
        ("sorted", sorted(texts, key=lambda text: len(ours.preprocess(text)))),
    ):
        batches = [
            ours.preprocess.batch(ordered[start : start + arguments.batch_size])
            for start in range(0, len(ordered), arguments.batch_size)
        ]
        not_padding = sum(int((ids != 0).sum()) for ids in batches) / sum(ids.numel() for ids in batches)
        for precision, dtype in PRECISIONS.items():
            models = {"vit": lambda ids: ours(ids), "transformers": lambda ids: pooled(theirs, ids)}
            seconds = interleaved(models, batches, dtype, arguments.rounds)
            row: dict[str, Any] = {"order": order, "tokens": not_padding, "precision": precision}
            for name, times in seconds.items():
                rates = sorted(len(ordered) / second for second in times)
                row[name] = {"median": statistics.median(rates), "low": rates[0], "high": rates[-1]}
            row["ratio"] = statistics.median(
                b / a for a, b in zip(seconds["vit"], seconds["transformers"], strict=True)
            )
            rows.append(row)
    report(rows, arguments)
    return 0


def pooled(model: nn.Module, ids: Tensor) -> Tensor:
    """Sentence vectors as in sentence-transformers: the mean of the tokens, scaled to length 1."""
    mask = ids != 0
    states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return nn.functional.normalize(mean, dim=-1)


@torch.inference_mode()
def interleaved(
    models: dict[str, Callable[[Tensor], Tensor]],
    batches: list[Tensor],
    dtype: torch.dtype | None,
    rounds: int,
) -> dict[str, list[float]]:
    """Seconds for all batches, one model after the other in each round; the first round is only a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, model in models.items():
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                start = time.perf_counter()
                for ids in batches:
                    model(ids)
                seconds[name].append(time.perf_counter() - start)
    return {name: times[1:] for name, times in seconds.items()}


def report(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    table = Table(box=None, pad_edge=False)
    for column in (
        "batches",
        "not padding",
        "precision",
        "vit texts/s",
        "transformers texts/s",
        "ratio",
    ):
        table.add_column(column, justify="left" if column in ("batches", "precision") else "right")
    for row in rows:
        rates = (
            f"{row[name]['median']:.0f} ({row[name]['low']:.0f} to {row[name]['high']:.0f})"
            for name in ("vit", "transformers")
        )
        table.add_row(
            row["order"], f"{100 * row['tokens']:.0f} %", row["precision"], *rates, f"{row['ratio']:.2f}"
        )
    Console(highlight=False).print(table)
    machine = environment()
    print(f"n = {arguments.texts} texts, {arguments.rounds} rounds, batch {arguments.batch_size}; {machine}")
    if arguments.output:
        settings = {name: str(value) for name, value in vars(arguments).items()}
        arguments.output.write_text(
            json.dumps({"rows": rows, "settings": settings, "machine": machine}, indent=2)
        )


if __name__ == "__main__":
    sys.exit(main())
