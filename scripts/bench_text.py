"""The text tower beside transformers on the same weights and batches: texts/s, interleaved.

    VIT_DATA=... python scripts/bench_text.py [--texts 512] [--rounds 7] [--output text.json]

The texts are sentences of SST-2. `as they come`: batches in the order of the file; `sorted`: all texts
sorted by length first, so that batches have little padding. Both libraries get the same batches of ids,
padded to their longest, and give the same pooled vectors; tokenizing is not timed.
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
from vit.data.datasets import load_texts
from vit.training.environment import environment
from vit.weights.sources import packaged_folder

PRECISIONS = {"float32": None, "bf16": torch.bfloat16}


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, help="write the figures as JSON, too")
    arguments = parser.parse_args(words)

    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    ours = vit.load_model("minilm")
    theirs = AutoModel.from_pretrained(packaged_folder("minilm")).eval()
    texts = load_texts("sst2").train.texts[: arguments.texts]
    rows = []
    for order, some in (
        ("as they come", texts),
        ("sorted", sorted(texts, key=lambda text: len(ours.preprocess(text)))),
    ):
        ids = [
            ours.preprocess.batch(some[start : start + arguments.batch_size])
            for start in range(0, len(some), arguments.batch_size)
        ]
        filled = sum(int((each != 0).sum()) for each in ids) / sum(each.numel() for each in ids)
        for precision, dtype in PRECISIONS.items():
            ways = {"vit": lambda batch: ours(batch), "transformers": lambda batch: pooled(theirs, batch)}
            seconds = interleaved(ways, ids, dtype, arguments.rounds)
            rates = {name: sorted(len(some) / second for second in found) for name, found in seconds.items()}
            row: dict[str, Any] = {"order": order, "tokens": filled, "precision": precision}
            for name, found in rates.items():
                row[name] = {"median": statistics.median(found), "low": found[0], "high": found[-1]}
            row["ratio"] = statistics.median(
                b / a for a, b in zip(seconds["vit"], seconds["transformers"], strict=True)
            )
            rows.append(row)
    report(rows, arguments)
    return 0


def pooled(model: nn.Module, ids: Tensor) -> Tensor:
    """The sentence vectors as sentence-transformers makes them: the mean of the tokens, of length 1."""
    there = ids != 0
    states = model(input_ids=ids, attention_mask=there.long()).last_hidden_state
    mean = (states * there[..., None]).sum(1) / there.sum(1, keepdim=True)
    return nn.functional.normalize(mean, dim=-1)


@torch.inference_mode()
def interleaved(
    ways: dict[str, Callable[[Tensor], Tensor]], ids: list[Tensor], dtype: torch.dtype | None, rounds: int
) -> dict[str, list[float]]:
    """Seconds for all batches, each way in turn; the first round warms up and is not kept."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                start = time.perf_counter()
                for batch in ids:
                    way(batch)
                seconds[name].append(time.perf_counter() - start)
    return {name: found[1:] for name, found in seconds.items()}


def report(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    table = Table(box=None, pad_edge=False)
    for column in (
        "batches",
        "tokens that are there",
        "precision",
        "vit texts/s",
        "transformers texts/s",
        "ratio",
    ):
        table.add_column(column, justify="left" if column in ("batches", "precision") else "right")
    for row in rows:
        rates = (
            f"{row[who]['median']:.0f} ({row[who]['low']:.0f} to {row[who]['high']:.0f})"
            for who in ("vit", "transformers")
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
