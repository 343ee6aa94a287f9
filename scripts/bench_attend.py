"""Attribution methods of vit and of other libraries on the same images: faithfulness, speed, memory.

pip install grad-cam captum torchcam zennit   # the other libraries; those not installed are reported as such
python scripts/bench_attend.py runs/cifar10 --pictures 1000 --output bench_attend.json
python scripts/bench_attend.py --cost         # time and memory of a map against a forward pass; needs no run

The other libraries run as documented; where there is a choice, it is the one that favours them. The maps of
grad-cam and torchcam are taken on the grid of tokens, before they are interpolated to pixels. Attributions of
pixels are summed over channels and averaged over each patch; `captum_ig_abs` takes the absolute value after
the sum over channels, as captum's own viewer does. The layer of grad-cam and torchcam is the first norm of
the last block, which grad-cam recommends for vision transformers; --cam-layer chooses another.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, one_hot

import vit
from vit.attribution.methods.rollout import rollout
from vit.attribution.roster import METHODS, QUICK_METHODS
from vit.core import BlockSpec
from vit.data.loader import loader
from vit.data.preprocess import match_channels
from vit.device import best_device
from vit.errors import VitError
from vit.evaluation.faithfulness import CONTROLS, Faithfulness
from vit.evaluation.removal import BASELINES
from vit.recipes.data import load_data, named_data
from vit.training.environment import environment
from vit.vision import VisionTransformer
from vit.weights.models import fingerprint

LIBRARIES = ("grad-cam", "captum", "torchcam", "zennit")
ATTENTION, ACTIVATIONS, BACKWARD, PASSES = "attention", "activations", "one backward", "many passes"
KINDS = {"raw": ATTENTION, "rollout": ATTENTION, "occlusion": PASSES, "rise": PASSES}  # others: BACKWARD
TARGET_ROLLOUT, TARGET_RISE = 5.0, 0.5
IG_STEPS_AT_ONCE = 256  # by default captum runs all 50 steps of a batch in one pass, which takes gigabytes

Maps = Callable[[Tensor, Tensor], Tensor]  # images (B, C, height, width), classes (B,) -> (B, rows, cols)


class Entry(NamedTuple):
    """A method in the comparison."""

    library: str
    kind: str
    maps: Maps


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    device = torch.device(arguments.device) if arguments.device else best_device()
    results: dict[str, Any] = {
        "environment": environment(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "device": str(device),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum warns about the hooks that it sets and removes
        if arguments.model:
            results |= compare(arguments, device)
        if arguments.cost:
            results["cost"] = cost(arguments.repetitions, device)
    Path(arguments.output).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {arguments.output}", file=sys.stderr)
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="run folder, bundle folder, timm:NAME")
    parser.add_argument("--pictures", type=int, default=1000, help="the first of a seeded random order")
    parser.add_argument("--methods", help="names separated by commas (default: all)")
    parser.add_argument("--data", default="cifar10", help="a dataset's name, class folders, or parquet")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--rise-samples", type=int, default=500)
    parser.add_argument("--steps", type=int, default=16, help="steps in which the patches are removed")
    parser.add_argument("--cam-layer", help="module for grad-cam and torchcam (default: last attention_norm)")
    parser.add_argument("--cost", action="store_true", help="measure time and memory against a forward pass")
    parser.add_argument("--repetitions", type=int, default=15, help="of --cost")
    parser.add_argument("--device", help="default: the accelerator, or the CPU")
    parser.add_argument("--output", default="bench_attend.json")
    arguments = parser.parse_args(argv)
    if not arguments.model and not arguments.cost:
        parser.error("nothing to do: name a MODEL, or --cost, or both")
    return arguments


# --- the methods ---


def entries(model: VisionTransformer, layer: str | None, rise_samples: int) -> dict[str, Entry]:
    """All methods by name, those of vit first."""
    methods = {}
    for name in METHODS:
        options = {"samples": rise_samples} if name == "rise" else {}
        methods[name] = Entry("vit", KINDS.get(name, BACKWARD), partial(_ours, model, name, options))
    module = model.get_submodule(layer or f"encoder.blocks.{len(model.encoder.blocks) - 1}.attention_norm")
    for name, theirs in {"gradcam": "GradCAM", "hirescam": "HiResCAM", "layercam": "LayerCAM"}.items():
        methods[name] = Entry("grad-cam", BACKWARD, partial(_grad_cam, model, module, theirs))
    methods["eigencam"] = Entry("grad-cam", ACTIVATIONS, partial(_grad_cam, model, module, "EigenCAM"))
    for name, theirs in {"gradcam": "GradCAM", "layercam": "LayerCAM"}.items():
        methods[f"torchcam_{name}"] = Entry("torchcam", BACKWARD, partial(_torchcam, model, module, theirs))
    methods["torchcam_legrad"] = Entry("torchcam", BACKWARD, partial(_torchcam_legrad, model))
    window = (model.channels, *model.patch_size)
    few: dict[str, Any] = {"internal_batch_size": IG_STEPS_AT_ONCE}
    for name, kind, theirs, options in (
        ("saliency", BACKWARD, "Saliency", {}),
        ("input_x_gradient", BACKWARD, "InputXGradient", {}),
        ("deeplift", BACKWARD, "DeepLift", {}),
        ("ig", PASSES, "IntegratedGradients", few),
        ("ig_abs", PASSES, "IntegratedGradients", few),
        ("occlusion", PASSES, "Occlusion", {"sliding_window_shapes": window, "strides": window}),
    ):
        run = partial(_captum, model, theirs, options, name.endswith("_abs"))
        methods[f"captum_{name}"] = Entry("captum", kind, run)
    methods["zennit_lrp"] = Entry("zennit", BACKWARD, partial(_zennit, model))
    return methods


def _ours(
    model: VisionTransformer, name: str, options: dict[str, Any], images: Tensor, targets: Tensor
) -> Tensor:
    target = targets if METHODS[name].explains_class else None
    return vit.attend(model, images, name, target, **options)


def _grad_cam(
    model: VisionTransformer, layer: nn.Module, name: str, images: Tensor, targets: Tensor
) -> Tensor:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    rows, cols = grid = model.grid(images)
    shape = partial(as_channels, grid=grid, prefix=model.prefix)
    with getattr(pytorch_grad_cam, name)(model, [layer], reshape_transform=shape) as cam:
        cam.get_target_width_height = lambda images: (cols, rows)  # no interpolation to pixels
        maps = cam(images, [ClassifierOutputTarget(target) for target in targets.tolist()])
    model.zero_grad()  # it leaves gradients in the weights
    return torch.from_numpy(maps)


def _torchcam(
    model: VisionTransformer, layer: nn.Module, name: str, images: Tensor, targets: Tensor
) -> Tensor:
    from torchcam import methods

    shape = partial(as_channels, grid=model.grid(images), prefix=model.prefix)
    with getattr(methods, name)(model, layer, reshape_transform=shape) as cam:
        return cam(targets.tolist(), model(images))[0]


def _torchcam_legrad(model: VisionTransformer, images: Tensor, targets: Tensor) -> Tensor:
    from torchcam.methods import LeGrad

    settings = {"prefix_tokens": model.prefix, "grid_shape": model.grid(images)}
    blocks = list(model.encoder.blocks)
    with LeGrad(
        model, blocks, score_projection=lambda x: model.read(model.encoder.norm(x)), **settings
    ) as cam:
        return cam(targets.tolist(), model(images))[0]


def _captum(
    model: VisionTransformer,
    name: str,
    options: dict[str, Any],
    unsigned: bool,
    images: Tensor,
    targets: Tensor,
) -> Tensor:
    from captum import attr

    leaf = images.detach() if name == "Occlusion" else images.detach().requires_grad_()
    pixels = getattr(attr, name)(model).attribute(leaf, target=targets, **options).detach().sum(1)
    return per_patch(pixels.abs() if unsigned else pixels, model.patch_size)


def _zennit(model: VisionTransformer, images: Tensor, targets: Tensor) -> Tensor:
    from zennit.attribution import Gradient
    from zennit.composites import EpsilonPlus

    start = one_hot(targets, len(model(images[:1])[0])).to(images)
    with Gradient(model=model, composite=EpsilonPlus()) as attributor:
        _, pixels = attributor(images.detach().requires_grad_(), start)
    return per_patch(pixels.detach().sum(1), model.patch_size)


def as_channels(tokens: Tensor, grid: tuple[int, int], prefix: int) -> Tensor:
    """(B, N, D) -> (B, D, rows, cols) without the prefix tokens, as libraries written for CNNs expect."""
    return tokens[:, prefix:].unflatten(1, grid).permute(0, 3, 1, 2)


def per_patch(pixels: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """(B, height, width) -> (B, rows, cols), the mean of each patch."""
    return avg_pool2d(pixels[:, None], patch_size)[:, 0]


# --- faithfulness and speed ---


def compare(arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Run all methods on the same images, print the table, return the contents of the JSON file."""
    model = vit.load_model(arguments.model).to(device)
    known = entries(model, arguments.cam_layer, arguments.rise_samples)
    chosen = arguments.methods.split(",") if arguments.methods else list(known)
    if unknown := [name for name in chosen if name not in known]:
        raise VitError(f"method is {unknown[0]!r}, expected some of: {', '.join(known)}")

    failed: dict[str, str] = {}
    seconds: dict[str, list[float]] = defaultdict(list)  # per image, batch by batch
    ratios: dict[str, list[float]] = defaultdict(list)  # to a forward pass, batch by batch
    faithfulness = Faithfulness(model, steps=arguments.steps)
    measuring, first = 0.0, 0
    for images in _images(arguments, model, device):
        with torch.no_grad():
            targets = model(images).argmax(1)
        if not first:
            reasons = {name: trial(known[name], model, images, targets) for name in chosen}
            failed = {name: reason for name, reason in reasons.items() if reason}
        maps = {}
        for name in chosen:
            if name in failed:
                continue
            forward, _ = _timed(device, partial(_forward, model, images))
            taken, maps[name] = _timed(device, partial(known[name].maps, images, targets))
            seconds[name].append(taken / len(images))
            ratios[name].append(taken / forward)
        taken, _ = _timed(device, partial(faithfulness.add, images, targets, maps, first))
        measuring += taken
        first += len(images)
        print(f"\r{first} of {arguments.pictures} pictures", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)

    rows = faithfulness.rows()
    speed = {
        name: {
            "library": known[name].library,
            "kind": known[name].kind,
            "batches": len(seconds[name]),
            "pictures_per_second": _spread([1 / second for second in seconds[name]]),
            "forward_passes": _spread(ratios[name]),
        }
        for name in chosen
        if name not in failed
    }
    _print_comparison(chosen, known, failed, speed, rows)
    summary = _summary(known, rows)
    print("\n" + summary.pop("line"))
    return {
        "model": {"word": str(arguments.model), "fingerprint": fingerprint(model)},
        "settings": vars(arguments),
        "pictures": first,
        "speed": speed,
        "faithfulness": rows,
        "failed": failed,
        "seconds_measuring_faithfulness": measuring,
        "summary": summary,
    }


def _images(
    arguments: argparse.Namespace, model: VisionTransformer, device: torch.device
) -> Iterator[Tensor]:
    preprocess = model.preprocess
    config = named_data(arguments.data)
    config.image_size = (preprocess.height, preprocess.width)
    split = getattr(load_data(config), arguments.split)
    if split is None:
        raise VitError(f"{arguments.data} has no {arguments.split} split")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    for pixels, _, _ in loader(split.subset(order[: arguments.pictures]), arguments.batch_size):
        yield preprocess.normalise(match_channels(pixels, preprocess.channels)).to(device)


def trial(entry: Entry, model: VisionTransformer, images: Tensor, targets: Tensor) -> str | None:
    """Run a method on two images, which also warms it up; return why it cannot be measured, or None."""
    two = images[:2]
    try:
        maps = entry.maps(two, targets[:2])
    except ImportError as error:
        return f"not installed ({error.name})"
    except Exception as error:  # anything that another library raises is reported in the table
        return f"does not work ({type(error).__name__}: {error})"
    expected = (len(two), *model.grid(two))
    if maps.shape != expected:
        return f"does not work (maps {tuple(maps.shape)}, expected {expected})"
    return None if maps.isfinite().all() else "does not work (maps are not finite)"


@torch.no_grad()
def _forward(model: VisionTransformer, images: Tensor) -> Tensor:
    return model(images)


def _timed(device: torch.device, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `work` takes, and its result."""
    _finish(device)
    start = time.perf_counter()
    result = work()
    _finish(device)
    return time.perf_counter() - start, result


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {"median": median, "q25": low, "q75": high, "min": min(values), "max": max(values)}


def _print_comparison(
    chosen: list[str],
    known: dict[str, Entry],
    failed: dict[str, str],
    speed: dict[str, Any],
    rows: list[dict[str, Any]],
) -> None:
    by_name = {(row["method"], row["baseline"]): row for row in rows}
    lines = [
        ["method", "library", "kind", "pictures/s", "(quartiles)", "x forward"]
        + [f"LeRF-MoRF, {baseline}" for baseline in BASELINES]
    ]
    for name in [*chosen, *CONTROLS]:
        entry = known.get(name)
        line = [name, entry.library, entry.kind] if entry else [name, "", "control"]
        if name in failed:
            lines.append([*line, failed[name]])
            continue
        if name in speed:
            rate, ratio = speed[name]["pictures_per_second"], speed[name]["forward_passes"]
            spread = f"({_short(rate['q25'])} to {_short(rate['q75'])})"
            line += [_short(rate["median"]), spread, _short(ratio["median"])]
        else:
            line += ["", "", ""]
        lines.append(line + [_with_interval(by_name[name, baseline]) for baseline in BASELINES])
    print_table(lines)


def _with_interval(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['difference']:6.3f}"
    return f"{row['difference']:6.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _summary(known: dict[str, Entry], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The two ratios that the documentation reports, and whether the random control is near zero."""
    by_method = {row["method"]: row for row in rows if row["baseline"] == "mean color"}
    gain = {name: row["difference"] for name, row in by_method.items()}
    quick = [name for name in gain if name in known and known[name].kind == BACKWARD]
    ours = max((name for name in quick if known[name].library == "vit"), key=gain.__getitem__, default=None)
    theirs = max((name for name in quick if known[name].library != "vit"), key=gain.__getitem__, default=None)
    best = None if ours is None else gain[ours]
    summary: dict[str, Any] = {"best_one_backward": ours, "best_one_backward_of_others": theirs}
    parts = []
    for reference, target in (("rollout", TARGET_ROLLOUT), ("rise", TARGET_RISE)):
        below = gain.get(reference)
        ratio = None if best is None or not below or below <= 0 else best / below
        summary[f"over_{reference}"] = ratio
        shown = "no ratio" if ratio is None else f"{ratio:.2f} x"
        parts.append(f"{shown} {reference} (target {target:g})")
    random = by_method["random"]
    zero = None if random["low"] is None else random["low"] <= 0 <= random["high"]
    summary["random_contains_zero"] = zero
    other = "none" if theirs is None else f"{theirs}, {gain[theirs]:.3f}"
    name = "none" if ours is None else f"{ours}, {best:.3f}"
    summary["line"] = (
        f"mean color, best of ours with one backward pass ({name}; of others: {other}): {', '.join(parts)}; "
        f"the random control's interval contains zero: {zero}"
    )
    return summary


# --- what a map costs, against the forward pass ---


class Setting(NamedTuple):
    """A model with random weights on which cost is measured."""

    batch: int
    timed: bool
    classes: int
    image_size: tuple[int, int]
    block: BlockSpec
    arguments: dict[str, Any]

    def build(self) -> VisionTransformer:
        torch.manual_seed(0)
        model = VisionTransformer(self.classes, self.image_size, self.block, **self.arguments).eval()
        nn.init.normal_(model.head.get_parameter("weight"), std=0.02)
        return model

    def images(self) -> Tensor:
        return torch.randn(self.batch, 3, *self.image_size, generator=torch.Generator().manual_seed(0))


_SMALL = BlockSpec(width=192, heads=3, mlp_ratio=2.0), {"patch_size": (4, 4), "depth": 9}
_VIT_S = BlockSpec(width=384, heads=6, mlp_ratio=4.0), {"patch_size": (16, 16), "depth": 12}
SETTINGS = {
    "32 px, 9 x 192": Setting(32, True, 10, (32, 32), *_SMALL),
    "224 px, ViT-S/16": Setting(8, True, 1000, (224, 224), *_VIT_S),
    "384 px, ViT-S/16": Setting(2, False, 1000, (384, 384), *_VIT_S),  # maps are larger than the MLP's states
}


def cost(repetitions: int, device: torch.device) -> dict[str, Any]:
    """Time and memory of the methods of vit against the fused forward pass; memory always on the CPU."""
    expected, seen = meter_check()
    print(f"\nmeter: {seen} bytes seen at the peak of two tensors of {expected // 2} bytes each")
    results: dict[str, Any] = {"meter": {"expected": expected, "seen": seen}}
    for name, setting in SETTINGS.items():
        model, images = setting.build(), setting.images()
        memory = _memory(model, images)
        timing = _cost_in_time(model.to(device), images.to(device), repetitions) if setting.timed else {}
        results[name] = {"batch": setting.batch, "memory": memory, "time": timing}
        _print_cost(name, setting, memory, timing)
    return results


def _cost_in_time(model: VisionTransformer, images: Tensor, repetitions: int) -> dict[str, Any]:
    """Interleaved: each run of a method comes right after a forward pass of its own."""
    ratios: dict[str, list[float]] = defaultdict(list)
    forwards = []
    for repetition in range(repetitions + 1):
        for name, work in _costly(model, images).items():
            forward, _ = _timed(images.device, partial(_forward, model, images))
            taken, _ = _timed(images.device, work)
            if repetition:  # the first one warms up
                forwards.append(forward)
                ratios[name].append(taken / forward)
    return {
        "repetitions": repetitions,
        "forward_seconds": _spread(forwards),
        "forward_passes": {name: _spread(values) for name, values in ratios.items()},
    }


def _costly(model: VisionTransformer, images: Tensor) -> dict[str, Callable[[], Any]]:
    """The quick methods, and as a reference the gradient of the images with frozen weights."""
    work: dict[str, Callable[[], Any]] = {
        name: partial(vit.attend, model, images, name) for name in QUICK_METHODS
    }
    return {"gradient of the pictures": partial(_gradient, model, images)} | work


def _gradient(model: VisionTransformer, images: Tensor) -> Tensor:
    model.requires_grad_(False)
    leaf = images.detach().requires_grad_()
    return torch.autograd.grad(model(leaf).amax(1).sum(), leaf)[0]


def _memory(model: VisionTransformer, images: Tensor) -> dict[str, Any]:
    """Peaks in bytes, and in units of one layer's maps and of one matrix for each image."""
    with torch.no_grad(), vit.record_attention(model) as tape:
        model(images)
    matrix, layer = next(iter(tape))[:, 0].nbytes, next(iter(tape)).nbytes

    def row(peak: int, above: int) -> dict[str, float]:
        extra = peak - above
        return {"peak": peak, "extra": extra, "layers": extra / layer, "matrices": extra / matrix}

    forward = peak_bytes(partial(_forward, model, images))
    rows = {name: row(peak_bytes(work), forward) for name, work in _costly(model, images).items()}
    rows["rollout of a tape"] = row(peak_bytes(lambda: rollout(iter(tape))), 0)
    return {"layer": layer, "matrix": matrix, "forward": forward, "rows": rows}


def peak_bytes(work: Callable[[], Any]) -> int:
    """Peak bytes of the CPU tensors that `work` allocates, measured by torch's profiler.

    Memory that libraries below torch allocate for themselves (oneDNN, MKL) is not counted.
    """
    work()  # so that caches that outlive a run are not counted
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        work()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8", errors="replace"))["traceEvents"]
    sizes: dict[int, int] = {}
    alive = peak = 0
    for event in sorted(
        (e for e in events if e.get("name") == "[memory]"), key=lambda e: e["args"]["Ev Idx"]
    ):
        size, address = event["args"]["Bytes"], event["args"]["Addr"]
        if event["args"]["Device Type"] != 0:
            continue
        if size > 0:
            sizes[address] = size
            alive += size
        else:
            alive -= sizes.pop(address, 0)
        peak = max(peak, alive)
    return peak


def meter_check() -> tuple[int, int]:
    """The known peak of two of three tensors of equal size, in bytes, and what `peak_bytes` measures."""

    def work() -> None:
        first = torch.empty(1000, 1000)
        second = torch.empty(1000, 1000)
        del first
        third = torch.empty(1000, 1000)
        del second, third

    return 2 * 1000 * 1000 * 4, peak_bytes(work)


def _print_cost(name: str, setting: Setting, memory: dict[str, Any], timing: dict[str, Any]) -> None:
    layer, matrix = (f"{memory[unit] / 1e6:.2f} MB" for unit in ("layer", "matrix"))
    print(
        f"\n{name}, batch {setting.batch}: a forward pass holds {memory['forward'] / 1e6:.1f} MB at its peak,"
    )
    print(f"one layer's maps are {layer}, one matrix for each picture {matrix}")
    if timing:
        median = 1000 * timing["forward_seconds"]["median"]
        print(f"forward pass {median:.0f} ms, {timing['repetitions']} repetitions")
    lines = [["method", "x forward", "(quartiles)", "MB beyond forward", "in layers", "in matrices"]]
    for method, row in memory["rows"].items():
        ratio = timing.get("forward_passes", {}).get(method)
        shown = (
            [f"{ratio['median']:.2f}", f"({ratio['q25']:.2f} to {ratio['q75']:.2f})"] if ratio else ["", ""]
        )
        extra = f"{row['extra'] / 1e6:.2f}", f"{row['layers']:.2f}", f"{row['matrices']:.2f}"
        lines.append([method, *shown, *extra])
    print_table(lines)


def print_table(lines: list[list[str]]) -> None:
    """Print columns as wide as their widest cell. Shorter lines end in a message, which widens no column."""
    complete = [line for line in lines if len(line) == len(lines[0])]
    widths = [max(len(line[column]) for line in complete) for column in range(len(lines[0]))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        print("  ".join(cells).rstrip())


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VitError as error:
        sys.exit(f"bench_attend: {error}")
