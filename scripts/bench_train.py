"""Training steps of this ViT and of timm's, interleaved: images per second, and how cost grows.

python scripts/bench_train.py                          # the ViT of docs/performance.md, 1 to 2 minutes
python scripts/bench_train.py --compile                # and the same under torch.compile
python scripts/bench_train.py --attention              # plain products against the fused kernel, by length
python scripts/bench_train.py --growth growth.png      # cost against width, depth, tokens and batch

A step is forward, loss, backward and clearing the gradients, on random images, without optimiser or data
loading. The candidates take turns in one process, so that other load on the machine slows all of them. The
bound is the time of the matrix products alone, at the rate this machine reaches on the fastest of them. On a
GPU there is no bound.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from vit.core import attention_weights
from vit.device import best_device
from vit.training.environment import environment
from vit.weights.models import make_tower

CLASSES = 10
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
REFERENCE = "timm as it comes"
LENGTHS = (64, 197, 257, 577, 1025)  # tokens
TOKENS_AT_ONCE = 8192  # per batch, at every length
GROWTH = {  # one axis at a time, from the model of the defaults
    "width": (64, 128, 192, 384, 768),
    "depth": (3, 6, 9, 12),
    "image_size": (16, 32, 48, 64, 96),
    "batch_size": (8, 32, 128, 256),
}


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    figures: dict[str, Any] = {"environment": environment(), "shape": _shape(vars(arguments))}
    if arguments.growth:
        figures["growth"] = growth(figures["shape"], arguments.rounds)
        draw(figures["growth"], Path(arguments.growth))
    elif arguments.attention:
        figures["attention"] = attention(arguments.rounds)
        print(attention_table(figures["attention"]))
    else:
        figures |= compare(figures["shape"], arguments.rounds, arguments.compile, arguments.precision)
        print(table(figures["rows"]))
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {arguments.output}", file=sys.stderr)
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=9)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--mlp-ratio", type=float, default=2.0)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--patch-size", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9, help="measured steps of each candidate")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--compile", action="store_true", help="add torch.compile of both (needs a compiler)")
    parser.add_argument("--attention", action="store_true", help="measure plain and fused attention instead")
    parser.add_argument("--growth", metavar="PNG", help="measure growth instead, and draw it")
    parser.add_argument("--output", metavar="JSON", help="write all figures")
    return parser.parse_args(argv)


def _shape(values: dict[str, Any]) -> dict[str, Any]:
    names = ("depth", "width", "heads", "mlp_ratio", "image_size", "patch_size", "batch_size")
    return {name: values[name] for name in names}


# --- the candidates ---


def ours(shape: dict[str, Any]) -> nn.Module:
    sizes = {name: (shape[name],) * 2 for name in ("image_size", "patch_size")}
    block = {name: shape[name] for name in ("width", "heads", "mlp_ratio", "depth")}
    model = make_tower({"classes": CLASSES, "class_token": False, "pool": "mean"} | sizes | block)
    nn.init.normal_(model.head.weight, std=0.02)  # else zero, and so would be most gradients
    return model


def theirs(shape: dict[str, Any], fused: bool) -> nn.Module:
    model = timm.models.VisionTransformer(
        img_size=shape["image_size"],
        patch_size=shape["patch_size"],
        embed_dim=shape["width"],
        depth=shape["depth"],
        num_heads=shape["heads"],
        mlp_ratio=shape["mlp_ratio"],
        num_classes=CLASSES,
        class_token=False,
        global_pool="avg",
        fc_norm=False,
    )
    for block in model.blocks:
        block.attn.fused_attn = fused
    return model


def compare(shape: dict[str, Any], rounds: int, compiled: bool, precisions: list[str]) -> dict[str, Any]:
    """Rows of the table: images/s of each candidate in each precision, and its ratio to the reference."""
    dtypes = {name: PRECISIONS[name] for name in precisions}
    device = best_device()
    models: dict[str, Callable[[], nn.Module]] = {
        REFERENCE: lambda: theirs(shape, True),
        "timm, fused attention off": lambda: theirs(shape, False),
        "vit": lambda: ours(shape),
    }
    if compiled:
        models["timm, fused attention off, compiled"] = lambda: torch.compile(theirs(shape, False))  # type: ignore
        models["vit, compiled"] = lambda: torch.compile(ours(shape))  # type: ignore[return-value]
    steps = {
        (name, precision): stepper(make().to(device), shape, device, dtype)
        for name, make in models.items()
        for precision, dtype in dtypes.items()
    }
    seconds = interleaved(steps, rounds)
    rows = []
    for (name, precision), taken in seconds.items():
        against = seconds[REFERENCE, precision]
        rows.append(
            {
                "candidate": name,
                "precision": precision,
                "n": rounds,
                **images_per_second(taken, shape["batch_size"]),
                # The two steps of a round run one after the other, under the same load.
                "ratio": statistics.median(b / a for a, b in zip(taken, against, strict=True)),
            }
        )
    for precision, dtype in dtypes.items():
        if device.type == "cpu":
            bound = shape["batch_size"] / seconds_of_products(shape, dtype or torch.float32)
            rows.append({"candidate": "bound", "precision": precision, "n": 0, "median": bound})
    return {"device": str(device), "rows": rows}


def stepper(
    model: nn.Module, shape: dict[str, Any], device: torch.device, dtype: torch.dtype | None
) -> Callable[[], None]:
    """A training step without optimiser, as a call."""
    torch.manual_seed(0)
    side = shape["image_size"]
    images = torch.randn(shape["batch_size"], 3, side, side, device=device)
    targets = torch.randint(CLASSES, (shape["batch_size"],), device=device)

    def step() -> None:
        with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            loss = cross_entropy(model(images).float(), targets)
        loss.backward()
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def interleaved(steps: dict[Any, Callable[[], None]], rounds: int) -> dict[Any, list[float]]:
    """Seconds of each candidate's steps; the candidates take turns, and the first round is not counted."""
    seconds: dict[Any, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if round_:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def images_per_second(seconds: list[float], batch_size: int) -> dict[str, float]:
    """Median and quartiles."""
    rates = sorted(batch_size / taken for taken in seconds)
    low, middle, high = statistics.quantiles(rates, n=4) if len(rates) > 1 else rates * 3
    return {"median": middle, "low": low, "high": high}


def seconds_of_products(shape: dict[str, Any], dtype: torch.dtype) -> float:
    """Seconds of a step's matrix products, at the rate of the fastest of them.

    Forward, gradient of the input and gradient of the weights each cost the same; the first layer has no
    gradient of its input.
    """
    width, tokens = shape["width"], (shape["image_size"] // shape["patch_size"]) ** 2
    rows = shape["batch_size"] * tokens
    hidden = int(width * shape["mlp_ratio"])
    pixels = 3 * shape["patch_size"] ** 2
    block = 2 * rows * width * (4 * width + 2 * hidden) + 4 * rows * tokens * width
    operations = 3 * shape["depth"] * block + 2 * 2 * rows * pixels * width
    return operations / max(
        rate(rows, a, b, dtype) for a, b in ((width, 3 * width), (width, hidden), (hidden, width))
    )


def rate(rows: int, inner: int, cols: int, dtype: torch.dtype) -> float:
    """Operations per second of (rows, inner) @ (inner, cols), the best of 12 tries."""
    left, right = torch.randn(rows, inner).to(dtype), torch.randn(inner, cols).to(dtype)
    best = float("inf")
    for _ in range(12):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * cols / best


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'':38}{'precision':>10}{'images/s':>10}{'quartiles':>14}{'ratio':>8}"]
    for row in rows:
        spread = f"{row['low']:.0f} to {row['high']:.0f}" if "low" in row else ""
        times = f"{row['ratio']:.2f}" if "ratio" in row else ""
        lines.append(
            f"{row['candidate']:38}{row['precision']:>10}{row['median']:>10.0f}{spread:>14}{times:>8}"
        )
    return "\n".join(lines)


# --- plain and fused attention ---


def attention(rounds: int) -> list[dict[str, Any]]:
    """Milliseconds of `softmax(Q K^T) V` by plain products and by the fused kernel, for heads of width 64."""
    device = best_device()
    rows = []
    for precision, dtype in PRECISIONS.items():
        for tokens in LENGTHS:
            batch = max(1, TOKENS_AT_ONCE // tokens)
            shape = (batch, 3, tokens, 64)
            inputs = [torch.randn(shape, device=device, dtype=dtype).requires_grad_() for _ in range(3)]
            out = torch.randn(shape, device=device, dtype=dtype)
            steps = {
                (path, train): _attending(path, inputs, out, train)
                for train in (False, True)
                for path in ("plain", "fused")
            }
            for (path, train), seconds in interleaved(steps, rounds).items():
                rows.append(
                    {
                        "precision": precision,
                        "tokens": tokens,
                        "batch": batch,
                        "path": path,
                        "training": train,
                        "n": rounds,
                        "milliseconds": 1000 * statistics.median(seconds),
                        "lowest": 1000 * min(seconds),
                        "highest": 1000 * max(seconds),
                    }
                )
    return rows


def _attending(path: str, inputs: list[Tensor], out: Tensor, train: bool) -> Callable[[], None]:
    scale = inputs[0].shape[-1] ** -0.5

    def work() -> None:
        with torch.set_grad_enabled(train):
            query, key, value = inputs
            if path == "plain":
                mixed = attention_weights(query, key, None, scale) @ value
            else:
                mixed = scaled_dot_product_attention(query, key, value, scale=scale)
            if train:
                mixed.backward(out)
            if out.is_cuda:
                torch.cuda.synchronize()

    return work


def attention_table(rows: list[dict[str, Any]]) -> str:
    times = {
        (row["precision"], row["tokens"], row["path"], row["training"]): row["milliseconds"] for row in rows
    }
    lines = [f"{'':20}{'inference: plain':>18}{'fused, ms':>11}{'training: plain':>18}{'fused, ms':>11}"]
    for precision, tokens in dict.fromkeys((row["precision"], row["tokens"]) for row in rows):
        four = [
            times[precision, tokens, path, train] for train in (False, True) for path in ("plain", "fused")
        ]
        cells = "".join(f"{ms:>{width}.1f}" for ms, width in zip(four, (18, 11, 18, 11), strict=True))
        lines.append(f"{precision:12}{tokens:>8}{cells}")
    return "\n".join(lines)


# --- how cost grows ---


def growth(shape: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
    """One point per value of each axis, each in its own process, to measure its peak memory."""
    spawn = multiprocessing.get_context("spawn")
    points = []
    for axis, values in GROWTH.items():
        for value in values:
            point_shape = shape | {axis: value}
            if axis == "width":
                point_shape["heads"] = value // (shape["width"] // shape["heads"])
            with spawn.Pool(1) as pool:
                points.append({"axis": axis, "value": value} | pool.apply(_point, (point_shape, rounds)))
            print(json.dumps(points[-1]), file=sys.stderr)
    return points


def _point(shape: dict[str, Any], rounds: int) -> dict[str, float]:
    device = best_device()
    dtype = PRECISIONS["bfloat16"]
    model = ours(shape).to(device)
    before = _peak_memory(device)
    seconds = interleaved({"": stepper(model, shape, device, dtype)}, rounds)[""]
    figures = images_per_second(seconds, shape["batch_size"])
    figures["memory_mb"] = (_peak_memory(device) - before) / 1e6
    if device.type == "cpu":
        figures["bound"] = shape["batch_size"] / seconds_of_products(shape, torch.bfloat16)
    return figures


def _peak_memory(device: torch.device) -> int:
    """Bytes, of the device or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def draw(points: list[dict[str, Any]], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {
        "width": "width D",
        "depth": "depth L",
        "image_size": "pixels per side",
        "batch_size": "images per batch",
    }
    figure, axes = pyplot.subplots(2, len(GROWTH), figsize=(13, 5.2), sharex="col", layout="constrained")
    for column, axis in enumerate(GROWTH):
        chosen = [point for point in points if point["axis"] == axis]
        values = [point["value"] for point in chosen]
        speed, memory = axes[0, column], axes[1, column]
        speed.plot(values, [point["median"] for point in chosen], "o-", color="#2f6db3", label="measured")
        if all("bound" in point for point in chosen):
            bounds = [point["bound"] for point in chosen]
            speed.plot(values, bounds, "--", color="#888888", label="products alone")
        memory.plot(values, [point["memory_mb"] for point in chosen], "o-", color="#b35a2f")
        for panel in (speed, memory):
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
            panel.set_xticks(values, [str(value) for value in values])
            panel.minorticks_off()
            panel.grid(alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
        memory.set_xlabel(titles[axis])
    axes[0, 0].set_ylabel("images/s, training step, bf16")
    axes[1, 0].set_ylabel("peak memory of a step, MB")
    axes[0, 0].legend(frameon=False)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
