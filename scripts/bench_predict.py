"""Speed of labelling photographs: this library, timm's loop and transformers' pipeline, interleaved.

python scripts/bench_predict.py                                # ViT-S/16 at 224, 1,000 photographs made here
python scripts/bench_predict.py --photographs my_pictures      # one folder of readable pictures

All have random weights, timm and this library the same: speed does not depend on them. timm runs as in its
inference script, with its own dataset, loader, workers and transform, in float32; transformers as in its
documentation, `pipeline("image-classification", ...)` over the paths, in batches of 64; this library as in
`vit predict`, with the table written to disk. The photographs are divided into parts; each candidate labels a
part before the next part begins, all in one process. Agreement is the share of first labels that are those of
this library in float32.
"""

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn

from vit import from_timm
from vit.data.preprocess import Preprocess
from vit.device import autocast_dtype, best_device
from vit.inference.predict import labeller
from vit.inference.rows import write_rows
from vit.training.environment import environment
from vit.vision import VisionTransformer
from vit.weights.models import multiplications

REFERENCE = "timm, float32"


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    results: dict[str, Any] = {"environment": environment(), "model": arguments.model}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        photographs = Path(arguments.photographs or place / "photographs")
        if not arguments.photographs:
            make_photographs(photographs, arguments.pictures)
        parts = divide(photographs, place / "parts", arguments.parts)
        results |= compare(arguments.model, parts, place, arguments.rounds, arguments.workers)
    print(table(results["rows"]))
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {arguments.output}", file=sys.stderr)
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="vit_small_patch16_224", help="a timm vision transformer")
    parser.add_argument("--photographs", help="a folder (default: generated from those of scikit-image)")
    parser.add_argument("--pictures", type=int, default=1000, help="how many are generated")
    parser.add_argument("--parts", type=int, default=10, help="the candidates take turns on each")
    parser.add_argument("--rounds", type=int, default=1, help="over all parts")
    parser.add_argument("--workers", type=int, default=2, help="timm's loader processes (its default)")
    parser.add_argument("--output", metavar="JSON")
    return parser.parse_args(argv)


def make_photographs(folder: Path, count: int, longest: int = 4000) -> None:
    """JPEGs of 400 to `longest` pixels: crops of real photographs, with the usual sizes and qualities."""
    from skimage import data

    sources = [data.chelsea(), data.astronaut(), data.coffee(), data.rocket()]
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for index in range(count):
        source = Image.fromarray(sources[index % len(sources)])
        part = generator.uniform(0.4, 1.0) * min(source.size)
        left, top = generator.uniform(0, source.width - part), generator.uniform(0, source.height - part)
        side = int(400 * (longest / 400) ** generator.uniform(0, 1))
        size = (side, int(side * 0.75)) if index % 3 else (int(side * 0.75), side)
        crop = source.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + part, top + part))
        crop.save(folder / f"{index:05}.jpg", quality=int(generator.integers(80, 96)))


def divide(photographs: Path, place: Path, count: int) -> list[Path]:
    """`count` folders, each with links to every `count`-th photograph."""
    names = sorted(os.listdir(photographs))
    parts = [place / f"{number:03}" for number in range(min(count, len(names)))]
    for number, part in enumerate(parts):
        part.mkdir(parents=True)
        for name in names[number :: len(parts)]:
            (part / name).symlink_to((photographs / name).absolute())
    return parts


def compare(name: str, parts: list[Path], place: Path, rounds: int, workers: int) -> dict[str, Any]:
    """Rows of the table: each candidate's pictures/s, ratio to the reference, and agreement."""
    torch.manual_seed(0)
    theirs = timm.create_model(name).eval()
    torch.nn.init.normal_(theirs.head.weight, std=1.0)  # timm's initial head gives all classes the same score
    device = best_device()
    ours = from_timm(theirs).eval().to(device)
    settings = timm.data.resolve_model_data_config(theirs)
    ours = with_preprocess(ours, settings)
    pipeline = _pipeline(theirs, device)
    candidates: dict[str, Callable[[Path], list[int] | None]] = {
        REFERENCE: lambda part: labels_of_theirs(theirs.to(device), part, settings, workers),
        "transformers, float32": lambda part: _piped(pipeline, part),
        "vit, float32": lambda part: write_ours(ours, None, part, place / "exact.csv"),
    }
    half = autocast_dtype("auto", multiplications(ours))
    if half is not None:
        label = f"vit, {str(half).removeprefix('torch.')} (auto)"
        candidates[label] = lambda part: write_ours(ours, half, part, place / "half.csv")
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    labels: dict[str, dict[Path, list[int] | None]] = {name: {} for name in candidates}
    for _ in range(rounds):
        for part in parts:
            for candidate, work in candidates.items():
                started = time.perf_counter()
                labels[candidate][part] = work(part)
                seconds[candidate].append(time.perf_counter() - started)
    sizes = [len(os.listdir(part)) for part in parts] * rounds
    exact = labels["vit, float32"]
    rows = []
    for candidate, times in seconds.items():
        same = [
            ours_ == theirs_
            for part, part_labels in labels[candidate].items()
            if part_labels is not None
            for ours_, theirs_ in zip(exact[part] or [], part_labels, strict=True)
        ]
        rates = [size / second for size, second in zip(sizes, times, strict=True)]
        rows.append(
            {
                "candidate": candidate,
                "rounds": rounds,
                "parts": len(parts),
                "pictures": sum(sizes) // rounds,
                "all": sum(sizes) / sum(times),
                "median": statistics.median(rates),
                "low": min(rates),
                "high": max(rates),
                "ratio": statistics.median(b / a for a, b in zip(times, seconds[REFERENCE], strict=True)),
                "agreement": sum(same) / len(same) if same else None,
            }
        )
    return {"device": str(device), "rows": rows}


def with_preprocess(model: VisionTransformer, settings: dict[str, Any]) -> VisionTransformer:
    """The model with the preprocessing of timm's, and a name for each class."""
    channels, height, width = settings["input_size"]
    model.labels = [str(index) for index in range(model.head.out_features)]
    model.preprocess = Preprocess(
        height,
        width,
        channels,
        settings["mean"],
        settings["std"],
        crop=settings["crop_pct"],
        interpolation=settings["interpolation"],
    )
    return model


def timm_loader(
    photographs: Path, settings: dict[str, Any], workers: int, device: torch.device
) -> tuple[Any, Any]:
    """timm's dataset of a folder, and its loader as in its inference script."""
    dataset = timm.data.create_dataset("", root=str(photographs), search_split=False)
    loader = timm.data.create_loader(
        dataset,
        input_size=settings["input_size"],
        batch_size=64,
        is_training=False,
        use_prefetcher=False,
        interpolation=settings["interpolation"],
        mean=settings["mean"],
        std=settings["std"],
        crop_pct=settings["crop_pct"],
        num_workers=workers,
        device=device,
    )
    return dataset, loader


@torch.inference_mode()
def labels_of_theirs(
    model: nn.Module, photographs: Path, settings: dict[str, Any], workers: int
) -> list[int]:
    """Top classes by timm's dataset, loader and loop, in the order of the names."""
    device = next(model.parameters()).device
    dataset, loader = timm_loader(photographs, settings, workers, device)
    best = [model(images.to(device)).softmax(-1).topk(5)[1][:, 0].cpu() for images, _ in loader]
    names = dataset.filenames(absolute=True)
    return [label for _, label in sorted(zip(names, torch.cat(best).tolist(), strict=True))]


def _pipeline(model: nn.Module, device: torch.device) -> Any:
    """A pipeline with a model of transformers that has the sizes of timm's, and weights of its own."""
    import transformers

    height, width = model.patch_embed.img_size
    block = model.blocks[0]
    config = transformers.ViTConfig(
        hidden_size=model.embed_dim,
        num_hidden_layers=len(model.blocks),
        num_attention_heads=block.attn.num_heads,
        intermediate_size=block.mlp.fc1.out_features,
        image_size=(height, width),
        patch_size=model.patch_embed.patch_size[0],
        num_labels=model.num_classes,
    )
    return transformers.pipeline(
        "image-classification",
        model=transformers.ViTForImageClassification(config).eval(),
        image_processor=transformers.ViTImageProcessor(size={"height": height, "width": width}),
        device=device,
        batch_size=64,
    )


def _piped(pipeline: Any, photographs: Path) -> None:
    """The pipeline over every path; its weights are its own, so its labels are not compared."""
    for _ in pipeline(sorted(str(file) for file in photographs.iterdir())):
        pass


def write_ours(
    model: VisionTransformer, half: torch.dtype | None, photographs: Path, output: Path
) -> list[int]:
    """Top classes by `vit predict`, in the order of its table."""
    model.autocast = half
    write_rows(labeller(model), [str(photographs)], output, {"half": str(half)}, overwrite=True)
    with output.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if bad := [row["path"] for row in rows if row["status"] != "ok"]:
        sys.exit(f"{bad[0]} cannot be read, expected readable pictures: remove it from the folder")
    return [int(row["index"]) for row in rows]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'':28}{'pictures/s':>12}{'lowest, highest':>18}{'ratio':>8}{'agreement':>12}"]
    for row in rows:
        spread = f"{row['low']:.1f} to {row['high']:.1f}"
        agreement = "-" if row["agreement"] is None else f"{100 * row['agreement']:.2f} %"
        lines.append(
            f"{row['candidate']:28}{row['median']:>12.1f}{spread:>18}{row['ratio']:>8.2f}{agreement:>12}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
