"""Everything that is measured on a GPU, in under five minutes, with a table at its end.

python scripts/bench_gpu.py --output gpu.json          # on a GPU
python scripts/bench_gpu.py --quick                    # every section with tiny sizes, on any machine

Sections, each of which may fail without the others: `matrix`, the rate of large matrix products; `steps`,
training steps (forward, backward, fused AdamW, half precision by autocast) of timm's and this library's
towers, as they are and compiled, interleaved; `attribution`, maps against a forward pass; `predict`, `vit
predict` against timm's loop on photographs made here; `train`, a short `vit train` against its step in
`steps`, which has no augmentation. A section that would begin after `--minutes` is left out, and the table
says so. Graphs are compiled in parallel at first: torch keeps them in its cache on disk.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from bench_predict import divide, labels_of_theirs, with_preprocess, write_ours
from PIL import Image
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from vit import from_timm
from vit.attribution.explain import explain
from vit.cli import main as vit
from vit.cores import available_cores
from vit.device import best_device, half_dtype
from vit.training.environment import environment
from vit.weights.models import make_tower

CLASSES = 10
PEERS = ("timm", "vit", "timm compiled", "vit compiled")


@dataclass(frozen=True)
class Shape:
    """A tower with a class token (`mean` False) or mean pooling, and the size of its batches."""

    width: int
    depth: int
    heads: int
    mlp_ratio: float
    image_size: int
    patch_size: int
    batch_size: int
    mean: bool = False


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    shapes: dict[str, Shape]
    matrix: int  # side of the matrices
    turn: float  # seconds that a candidate computes before the next one
    rounds: int
    explained: tuple[str, int]  # a shape, and images per batch
    predicted: tuple[str, int, int]  # a model of timm, photographs, those of them that differ
    trained: tuple[str, int, int]  # a shape, pictures, epochs
    backend: str  # of torch.compile


FULL = Sizes(
    shapes={
        "small": Shape(192, 9, 3, 2.0, 32, 4, 1024, mean=True),
        "ViT-S/16": Shape(384, 12, 6, 4.0, 224, 16, 256),
        "ViT-B/16": Shape(768, 12, 12, 4.0, 224, 16, 128),
    },
    matrix=8192,
    turn=0.2,
    rounds=9,
    explained=("ViT-S/16", 64),
    predicted=("vit_small_patch16_224", 2000, 200),
    trained=("small", 50_000, 6),
    backend="inductor",
)
QUICK = Sizes(
    shapes={"small": Shape(24, 2, 2, 2.0, 8, 4, 4, mean=True), "ViT-S/16": Shape(24, 1, 2, 4.0, 16, 8, 2)},
    matrix=64,
    turn=0.0,
    rounds=2,
    explained=("ViT-S/16", 2),
    predicted=("test_vit", 4, 2),
    trained=("small", 40, 3),
    backend="eager",  # needs no compiler
)


class Report:
    """Rows as they are measured, and what failed.

    Args:
        file: Gets everything after each section; None: none.
        ends: `time.monotonic()` from which on no section begins.
    """

    def __init__(self, file: Path | None, ends: float):
        self.file, self.ends = file, ends
        self.rows: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def section(self, name: str, work: Callable[[], Iterator[dict[str, Any]]]) -> None:
        """Measure a section; an error ends it alone."""
        started = time.monotonic()
        if started > self.ends:
            self.failed[name] = "left out: no time"
            return
        try:
            for row in work():
                self.rows.append({"section": name, **row})
                print(line(self.rows[-1]), flush=True)
        except Exception as error:  # the other sections are measured nevertheless
            traceback.print_exc()
            self.failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        self.seconds[name] = time.monotonic() - started
        if self.file is not None:
            self.file.write_text(
                json.dumps(vars(self) | {"file": str(self.file), **facts()}, indent=1) + "\n"
            )

    def table(self) -> str:
        """All rows, what failed, and the time of each section."""
        lines = [f"{'section':12}{'what':34}{'median':>12}{'quartiles':>24}  {'ratio':>6}  remark"]
        lines += [line(row) for row in self.rows]
        lines += [f"{name:12}FAILED: {reason}" for name, reason in self.failed.items()]
        return "\n".join([*lines, "seconds: " + ", ".join(f"{n} {s:.0f}" for n, s in self.seconds.items())])


def line(row: dict[str, Any]) -> str:
    quartiles = f"{row['low']:,.4g} to {row['high']:,.4g}" if "low" in row else ""
    ratio = f"{row['ratio']:.2f}" if row.get("ratio") is not None else ""
    value = f"{row['median']:,.0f}" if row["median"] >= 1000 else f"{row['median']:.4g}"
    return (
        f"{row['section']:12}{row['what']:34}{value:>12}{quartiles:>24}  {ratio:>6}  {row.get('remark', '')}"
    )


def facts() -> dict[str, Any]:
    device = best_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"environment": environment(), "device": name, "half": str(half_dtype(device.type))}


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    sizes = QUICK if arguments.quick else FULL
    started = time.monotonic()
    report = Report(arguments.output, started + 60 * arguments.minutes)
    print(json.dumps(facts()), flush=True)
    chosen = arguments.sections.split(",")
    peers = [peer for peer in PEERS if not peer.endswith("compiled") or arguments.compile]
    if "steps" in chosen and arguments.compile and best_device().type == "cuda":
        report.section("compiling", partial(compile_all, sizes))
    rate = partial(rate_of, report)
    sections: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "matrix": partial(matrix, sizes),
        "steps": lambda: steps(sizes, peers, rate("matrix", "products, TFLOP/s")),
        "attribution": partial(attribution, sizes),
        "predict": partial(predict, sizes),
        "train": lambda: train(sizes, arguments.compile, rate),
    }
    for name in chosen:
        report.section(name, sections[name])
    print(f"\n{report.table()}")
    return 1 if report.failed else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="nothing is compiled")
    parser.add_argument("--minutes", type=float, default=4.0, help="after which no section begins")
    parser.add_argument("--sections", default="matrix,steps,attribution,predict,train")
    parser.add_argument("--output", metavar="JSON", type=Path, help="gets everything after each section")
    return parser.parse_args(argv)


# --- what is measured with ---


def synchronize() -> None:
    """Wait for the device, where it computes beside the host."""
    if best_device().type != "cpu":
        torch.accelerator.synchronize()


def interleaved(
    candidates: dict[str, Callable[[], None]], sizes: Sizes, warm: int = 3
) -> dict[str, list[float]]:
    """Seconds of a call of each candidate, one value per round. The candidates take turns.

    A turn is as many calls as take `sizes.turn`, and the device is waited for at its end alone.
    """
    calls: dict[str, int] = {}
    for name, call in candidates.items():
        for _ in range(warm):
            call()
        once = seconds_of(call, 1)
        calls[name] = max(1, round(sizes.turn / once))
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(sizes.rounds):
        for name, call in candidates.items():
            seconds[name].append(seconds_of(call, calls[name]) / calls[name])
    return seconds


def seconds_of(call: Callable[[], None], times: int) -> float:
    synchronize()
    started = time.perf_counter()
    for _ in range(times):
        call()
    synchronize()
    return time.perf_counter() - started


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median and quartiles."""
    found = sorted(values)
    low, middle, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    return {"median": middle, "low": low, "high": high, "n": len(found)}


def ratio(ones: list[float], others: list[float]) -> float:
    """How many times faster the first is; both of a round were measured one after the other."""
    return statistics.median(other / one for one, other in zip(ones, others, strict=True))


def rate_of(report: Report, section: str, what: str) -> float | None:
    """The median of an earlier row; None where there is none."""
    found = [row["median"] for row in report.rows if (row["section"], row["what"]) == (section, what)]
    return found[0] if found else None


# --- matrix products and training steps ---


def matrix(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """The rate of one large product, which towers are compared with."""
    device, side = best_device(), sizes.matrix
    dtype = half_dtype(device.type) or torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    taken = interleaved({"": lambda: torch.mm(left, right)}, sizes)[""]  # type: ignore[dict-item]
    rates = spread(2 * side**3 / seconds / 1e12 for seconds in taken)
    yield {"what": "products, TFLOP/s", **rates, "remark": f"{side} x {side}, {dtype}"}


def ours(shape: Shape) -> nn.Module:
    places = {name: (getattr(shape, name),) * 2 for name in ("image_size", "patch_size")}
    block = {name: getattr(shape, name) for name in ("width", "heads", "mlp_ratio", "depth")}
    pool = {"class_token": False, "pool": "mean"} if shape.mean else {"class_token": True}
    model = make_tower({"classes": CLASSES} | pool | places | block)
    nn.init.normal_(model.head.weight, std=0.02)  # else zero, and so would be most gradients
    return model


def theirs(shape: Shape) -> nn.Module:
    pool = {"class_token": False, "global_pool": "avg", "fc_norm": False} if shape.mean else {}
    return timm.models.VisionTransformer(
        img_size=shape.image_size,
        patch_size=shape.patch_size,
        embed_dim=shape.width,
        depth=shape.depth,
        num_heads=shape.heads,
        mlp_ratio=shape.mlp_ratio,
        num_classes=CLASSES,
        **pool,
    )


def step_of(peer: str, shape: Shape, backend: str) -> Callable[[], None]:
    """A training step on one random batch."""
    device = best_device()
    dtype = half_dtype(device.type)
    torch.manual_seed(0)
    model = (theirs if peer.startswith("timm") else ours)(shape).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    forward = torch.compile(model, backend=backend) if peer.endswith("compiled") else model
    images = torch.randn(shape.batch_size, 3, shape.image_size, shape.image_size, device=device)
    targets = torch.randint(CLASSES, (shape.batch_size,), device=device)

    def step() -> None:
        with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            loss = cross_entropy(forward(images).float(), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def operations(shape: Shape) -> int:
    """Of a step on one image, in matrix products: a forward pass, and twice as many in the backward pass."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        ours(shape)(torch.empty(1, 3, shape.image_size, shape.image_size))
    return 3 * counter.get_total_flops()


def steps(sizes: Sizes, peers: list[str], products: float | None) -> Iterator[dict[str, Any]]:
    """Images/s of each candidate, its ratio to timm's of the same column, and its part of `products`."""
    for name, shape in sizes.shapes.items():
        taken = interleaved({peer: step_of(peer, shape, sizes.backend) for peer in peers}, sizes)
        for peer, seconds in taken.items():
            rates = spread(shape.batch_size / value for value in seconds)
            remark = f"batches of {shape.batch_size}"
            if products is not None:
                part = rates["median"] * operations(shape) / 1e12 / products
                remark = f"{100 * part:.2g} % of products, {remark}"
            against = taken[peer.replace("vit", "timm")]
            yield {
                "what": f"{name}, {peer}, images/s",
                **rates,
                "ratio": ratio(seconds, against),
                "remark": remark,
            }
        torch._dynamo.reset()


def compile_all(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Compile the steps in as many processes, which leave their graphs in torch's cache on disk."""
    work = [(peer, shape) for shape in sizes.shapes.values() for peer in PEERS if peer.endswith("compiled")]
    started = time.monotonic()
    with ProcessPoolExecutor(len(work), mp_context=get_context("spawn")) as pool:
        taken = list(pool.map(partial(_compile, backend=sizes.backend), *zip(*work, strict=True)))
    yield {
        "what": "all graphs, s",
        "median": time.monotonic() - started,
        "remark": f"longest {max(taken):.0f}",
    }


def _compile(peer: str, shape: Shape, *, backend: str) -> float:
    return seconds_of(step_of(peer, shape, backend), 1)


# --- attribution ---


def attribution(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Milliseconds of maps of a batch against those of a forward pass, in the weights' dtype as both are."""
    name, batch = sizes.explained
    shape = sizes.shapes[name]
    device = best_device()
    model: Any = ours(shape).to(device).eval()
    images = torch.randn(batch, 3, shape.image_size, shape.image_size, device=device)

    def forward() -> None:
        with torch.inference_mode():
            model(images, exact=True)

    candidates: dict[str, Callable[[], Any]] = {"forward pass": forward}
    candidates |= {method: partial(explain, model, images, method) for method in ("rollout", "relevance")}
    taken = interleaved(candidates, sizes)
    for what, seconds in taken.items():
        times = statistics.median(
            one / other for one, other in zip(seconds, taken["forward pass"], strict=True)
        )
        figures = spread(1000 * value for value in seconds)
        yield {"what": f"{what}, ms", **figures, "ratio": times, "remark": f"{name}, batches of {batch}"}


# --- prediction ---


def predict(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Pictures/s of both on parts of the same folder, by turns; timm with as many workers as cores."""
    name, count, different = sizes.predicted
    device, workers = best_device(), available_cores()
    torch.manual_seed(0)
    peer = timm.create_model(name, num_classes=1000).eval()
    settings = timm.data.resolve_model_data_config(peer)
    model = with_preprocess(from_timm(peer).eval().to(device), settings)
    half = half_dtype(device.type)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        make_photographs(place / "photographs", count, different)
        parts = divide(place / "photographs", place / "parts", 2)
        peer = peer.to(device)
        candidates: dict[str, Callable[[Path], Any]] = {
            "timm's loop": lambda part: labels_of_theirs(peer, part, settings, workers),
            "vit predict, float32": lambda part: write_ours(model, None, part, place / "exact.csv"),
        }
        if half is not None:
            candidates["vit predict, half"] = lambda part: write_ours(model, half, part, place / "half.csv")
        taken: dict[str, list[float]] = {what: [] for what in candidates}
        pictures = [len(os.listdir(part)) for part in parts]
        for part in parts:
            for what, work in candidates.items():
                started = time.perf_counter()
                work(part)
                taken[what].append(time.perf_counter() - started)
    for what, seconds in taken.items():
        rates = spread(number / value for number, value in zip(pictures, seconds, strict=True))
        remark = f"{name}, {count} pictures, {workers} cores"
        yield {
            "what": f"{what}, pictures/s",
            **rates,
            "ratio": ratio(seconds, taken["timm's loop"]),
            "remark": remark,
        }


def make_photographs(folder: Path, count: int, different: int) -> None:
    """`count` links to JPEGs of 500 to 1,600 pixels: colours that change slowly, and grain."""
    sources = folder.parent / "sources"
    sources.mkdir()
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(different):
        side = int(generator.integers(500, 1600))
        size = (side, side * 3 // 4)
        coarse = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
        grain = generator.integers(-12, 13, smooth.shape, dtype=np.int16)
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(
            sources / f"{index}.jpg", quality=90
        )
    for index in range(count):
        (folder / f"{index:05}.jpg").symlink_to(sources / f"{index % different}.jpg")


# --- a whole run ---


def train(sizes: Sizes, compiled: bool, rate: Callable[[str, str], float | None]) -> Iterator[dict[str, Any]]:
    """Images/s of `vit train` with its augmentation and validation, after its first epoch."""
    name, pictures, epochs = sizes.trained
    shape = sizes.shapes[name]
    compiled = compiled and best_device().type == "cuda"
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        make_pictures(place / "data", pictures, shape.image_size)
        (place / "run.yaml").write_text(json.dumps(config_of(shape, place, epochs, compiled)))
        os.chdir(place)
        try:
            with contextlib.redirect_stdout(io.StringIO()) as shown:
                code = vit(["train", "--config", "run.yaml", "--name", "run"])
        finally:
            os.chdir(before)
        if code:
            raise RuntimeError(f"vit train ended with {code}: {shown.getvalue()[-300:]}")
        with (place / "runs" / "run" / "metrics.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    seen = shape.batch_size * (int(0.9 * pictures) // shape.batch_size or 1)
    ends = [float(row["seconds"]) for row in rows]
    whole = [seen / max(end - start, 1e-9) for start, end in pairwise(ends)]
    step = rate("steps", f"{name}, vit{' compiled' if compiled else ''}, images/s")
    remark = f"{epochs - 1} epochs, with validation; ratio to its step"
    against = None if step is None else statistics.median(whole) / step
    yield {
        "what": "end to end, images/s",
        **spread(whole),
        "ratio": against,
        "remark": f"{remark}",
    }
    alone = [float(row["images_per_second"]) for row in rows[1:]]
    against = None if step is None else statistics.median(alone) / step
    yield {"what": "its epochs alone, images/s", **spread(alone), "ratio": against, "remark": "without it"}


def make_pictures(folder: Path, count: int, side: int) -> None:
    """A parquet file of random pictures, as the data set of CIFAR-10 has them."""
    import pyarrow as pa
    from pyarrow import parquet

    generator = np.random.default_rng(0)
    folder.mkdir()

    def png(pixels: np.ndarray) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=0)
        return stream.getvalue()

    pixels = generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    table = pa.table(
        {"img": [{"bytes": png(each)} for each in pixels], "label": [i % CLASSES for i in range(count)]}
    )
    parquet.write_table(table, folder / "train-00000-of-00001.parquet")


def config_of(shape: Shape, place: Path, epochs: int, compiled: bool) -> dict[str, Any]:
    """The config of the run, in which everything is on that a recipe for small pictures uses."""
    return {
        "data": {
            "name": "cifar10",
            "root": str(place / "data"),
            "image_size": shape.image_size,
            "batch_size": shape.batch_size,
            "val_fraction": 0.1,
        },
        "augment": {"crop": "pad", "flip": True, "policy": "rand", "mixup": 0.8, "cutmix": 1.0},
        "model": {
            "patch_size": shape.patch_size,
            "width": shape.width,
            "depth": shape.depth,
            "heads": shape.heads,
            "mlp_ratio": shape.mlp_ratio,
            "class_token": not shape.mean,
            "pool": "mean" if shape.mean else "class",
        },
        "optim": {"name": "adamw", "lr": 0.001},
        "trainer": {
            "max_epochs": epochs,
            "compile": compiled,
            "overlays": 0,
            "progress": False,
            "precision": "auto",
        },
    }


if __name__ == "__main__":
    sys.exit(main())
