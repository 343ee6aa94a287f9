"""Features of photographs by a frozen model: this library and timm, interleaved.

python scripts/bench_features.py                               # ViT-S/14 at 224, 2,000 photographs made here
python scripts/bench_features.py --photographs my_pictures     # a folder of readable pictures

Both have the same random weights: speed does not depend on them. timm runs as in its documentation: its
dataset, loader, workers and transform, `forward_head(forward_features(x), pre_logits=True)`, batches of 64,
float32. This library reads the folder as `vit train` does, decoded pixels not cached, and computes the
features as `--model.freeze` and `vit evaluate --probe` do. The photographs are divided into parts; each
candidate takes a part before the next part begins, all in one process.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from bench_predict import divide, make_photographs, timm_loader
from torch import Tensor, nn

from vit import from_timm
from vit.data.datasets import read
from vit.data.found import ReadOptions
from vit.device import autocast_dtype, best_device
from vit.recipes.features import frozen_features
from vit.weights.models import multiplications

REFERENCE = "timm, float32"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="vit_small_patch14_dinov2", help="a timm vision transformer")
    parser.add_argument("--size", type=int, default=224, help="pixels that the model sees, one side")
    parser.add_argument("--photographs", type=Path, help="a folder (default: generated ones)")
    parser.add_argument("--pictures", type=int, default=2000, help="how many are generated")
    parser.add_argument("--parts", type=int, default=4, help="the candidates take turns on each")
    parser.add_argument("--workers", type=int, default=2, help="timm's loader processes (its default)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        photographs = arguments.photographs or place / "photographs"
        if not arguments.photographs:
            make_photographs(photographs, arguments.pictures)
        parts = divide(photographs, place / "parts", arguments.parts)
        for part in parts:  # one class folder, as both readers expect
            (part / "class").mkdir()
            for file in [file for file in part.iterdir() if file.name != "class"]:
                file.rename(part / "class" / file.name)
        compare(arguments.model, arguments.size, parts, arguments.workers)
    return 0


def compare(name: str, size: int, parts: list[Path], workers: int) -> None:
    """Print pictures/s of each candidate, its ratio to timm, and the largest difference of a feature."""
    torch.manual_seed(0)
    device = best_device()
    theirs = timm.create_model(name, img_size=size).eval().to(device)
    settings = timm.data.resolve_model_data_config(theirs) | {"input_size": (3, size, size)}
    ours: Any = from_timm(theirs)
    candidates: dict[str, Callable[[Path], Tensor]] = {
        REFERENCE: lambda part: _theirs(theirs, part, settings, workers),
        "vit, float32": lambda part: _ours(ours, None, part),
    }
    half = autocast_dtype("auto", multiplications(ours))
    if half is not None:
        candidates[f"vit, {str(half).removeprefix('torch.')} (auto)"] = lambda part: _ours(ours, half, part)
    rates: dict[str, list[float]] = {candidate: [] for candidate in candidates}
    apart: dict[str, float] = dict.fromkeys(candidates, 0.0)
    for part in parts:
        reference = None
        for candidate, work in candidates.items():
            started = time.perf_counter()
            features = work(part)
            rates[candidate].append(len(features) / (time.perf_counter() - started))
            reference = features if reference is None else reference
            apart[candidate] = max(apart[candidate], float((features - reference).abs().max()))
    print(f"{'':28}{'pictures/s':>12}{'lowest, highest':>18}{'ratio':>8}{'difference':>12}")
    for candidate, values in rates.items():
        spread = f"{min(values):.1f} to {max(values):.1f}"
        ratio = statistics.median(b / a for a, b in zip(rates[REFERENCE], values, strict=True))
        median = statistics.median(values)
        print(f"{candidate:28}{median:>12.1f}{spread:>18}{ratio:>8.2f}{apart[candidate]:>12.1e}")


@torch.inference_mode()
def _theirs(model: nn.Module, photographs: Path, settings: dict[str, Any], workers: int) -> Tensor:
    """Features (n, F) by timm's dataset, loader and model, in the order of the names."""
    device = next(model.parameters()).device
    dataset, loader = timm_loader(photographs, settings, workers, device)
    extract: Any = model
    found = [
        extract.forward_head(extract.forward_features(images.to(device)), pre_logits=True).cpu()
        for images, _ in loader
    ]
    names = dataset.filenames(absolute=True)
    order = sorted(range(len(names)), key=names.__getitem__)
    return torch.cat(found)[order]


def _ours(model: Any, half: torch.dtype | None, photographs: Path) -> Tensor:
    """Features (n, F) as a frozen model's head gets them, in the order of the names."""
    model.autocast = half
    device = next(model.parameters()).device
    found = read("folder", photographs, ReadOptions(preprocess=model.preprocess, cache=False))
    if found.skipped:
        sys.exit(f"{found.skipped[0][0]} cannot be read, expected readable pictures: remove it")
    pictures = found.parts["all"]
    order = sorted(range(len(pictures)), key=pictures.names.__getitem__)
    normalise = model.preprocess.normalise
    return frozen_features(model, pictures, lambda raw: normalise(raw.to(device)), use_cache=False)[order]


if __name__ == "__main__":
    raise SystemExit(main())
