"""How many inputs per second a model computes here, and its exported files in their runtimes, beside it.

python scripts/bench_export.py cifar10_plain --batch-size 64 --rounds 9

The candidates take turns: each round measures all of them, on the same random inputs. Printed are the median
over the rounds, and the slowest and fastest round.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

import vit
from vit.device import best_device
from vit.export import onnx, pt2
from vit.export.export import export_model
from vit.export.prepare import prepare
from vit.export.quantize import quantize

Run = Callable[..., Tensor]


def main(argv: list[str] | None = None) -> int:
    """Print a line for each candidate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a candidate in a round, at least")
    parser.add_argument("--output", type=Path, help="a JSON file of all rounds")
    arguments = parser.parse_args(argv)
    best_device()  # sets the number of threads
    model = vit.load_model(arguments.model)
    prepared = prepare(model)
    inputs = prepared.make(arguments.batch_size, prepared.sizes[-1])
    with TemporaryDirectory() as place:
        candidates = {"vit": prepared.reference} | runners(model, Path(place))
        rounds = measure(candidates, inputs, arguments.rounds, arguments.seconds)
    print(
        f"{arguments.model}, batches of {arguments.batch_size}, {arguments.rounds} rounds, inputs per second"
    )
    for name, speeds in rounds.items():
        print(f"{name:10} {median(speeds):8.0f}  ({min(speeds):.0f} to {max(speeds):.0f})")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(rounds, indent=2) + "\n")
    return 0


def runners(model: object, folder: Path) -> dict[str, Run]:
    """The exported files, opened."""
    export_model(model, folder / "model.onnx", "onnx")
    export_model(model, folder / "model.pt2", "pt2")
    quantize(folder / "model.onnx", folder / "int8.onnx")
    return {
        "pt2": pt2.runner(folder / "model.pt2"),
        "onnx": onnx.runner(folder / "model.onnx"),
        "onnx int8": onnx.runner(folder / "int8.onnx"),
    }


def measure(
    candidates: dict[str, Run], inputs: tuple[Tensor, ...], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Inputs per second of each candidate in each round."""
    speeds: dict[str, list[float]] = {name: [] for name in candidates}
    with torch.no_grad():
        for run in candidates.values():
            run(*inputs)
        for _ in range(rounds):
            for name, run in candidates.items():
                speeds[name].append(_speed(run, inputs, seconds))
    return speeds


def _speed(run: Run, inputs: tuple[Tensor, ...], seconds: float) -> float:
    passes, begun = 0, time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        run(*inputs)
        passes += 1
    return passes * inputs[0].shape[0] / taken


if __name__ == "__main__":
    raise SystemExit(main())
