"""Put the model of a run into the package: weights in half precision, and a model card.

VIT_DATA=... python scripts/ship_model.py runs/cifar10_30min cifar10 --title "CIFAR-10 in half an hour"

The scores on the card are measured here, on the weights as shipped; this is the only use of the test split.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from vit.config_file import stored_config, to_yaml
from vit.data.loader import loader
from vit.device import best_device
from vit.evaluation.metrics import Evaluation, evaluate
from vit.evaluation.results import read_metrics
from vit.recipes.data import load_data
from vit.weights import read_bundle, write_bundle
from vit.weights.models import SHIPPED, from_bundle

LIMIT_MB = 8.0

CARD = """# {name}

{title}. A vision transformer of {parameters:.2f} M parameters that classifies images of {height} x {width}
pixels into {classes} classes: {labels}.

    vit predict {name} PHOTOGRAPHS --output labels.csv
    vit attend {name} PHOTOGRAPHS --output overlays

## Data

{data} {train:,} images for training,
{val:,} for validation, {test:,} for the test figures below and nothing else.

## Training

{minutes:.0f} minutes of wall clock on {cores} cores ({cpu}), {epochs:.1f} epochs, seed {seed}, torch {torch}.
`config.yaml` in this folder runs it again:

    VIT_DATA=... vit train --config config.yaml --name again

## Figures

Measured on the weights as shipped, rounded to float16; every image once.

| | n | accuracy | top-5 | cross-entropy | calibration error, 15 bins |
| --- | --- | --- | --- | --- | --- |
{figures}

| class, test split | accuracy | most often mistaken for |
| --- | --- | --- |
{by_class}

## Limits

- It predicts one of its {classes} classes for any image; `--unknown auto` finds a part of those of something
  else, where `vit evaluate --unknown` has been run.
- Photographs are cropped to their centre and reduced to {height} x {width} pixels: small details are
  lost.
- One run, with one seed.
{limits}"""

DATA = {
    "cifar10": "CIFAR-10 (Krizhevsky 2009), in the JPEG copy of Hugging Face's parquet files: re-encoded at "
    "quality 75,\nwhich according to others costs 2 to 3 points compared with the original pixels."
}
LIMITS = {
    "cifar10": "- It was trained on small images filled by one object each, collected from the web with "
    "search terms, and has\n  the biases of that selection.\n"
}


def main(argv: list[str] | None = None) -> int:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("name")
    parser.add_argument("--title", required=True, help="one line for the card")
    parser.add_argument("--into", type=Path, default=SHIPPED)
    arguments = parser.parse_args(argv)
    run: Path = arguments.run
    config = stored_config(run / "config.yaml")
    machine = json.loads((run / "env.json").read_text(encoding="utf-8"))
    rows = read_metrics(run / "metrics.csv")
    bundle = read_bundle(run / "model")
    bundle.weights = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in bundle.weights.items()
    }
    size = sum(tensor.nbytes for tensor in bundle.weights.values()) / 1e6
    if size > LIMIT_MB:
        sys.exit(f"{run} has {size:.1f} MB of weights in half precision, expected at most {LIMIT_MB:.0f}")
    model = from_bundle(bundle).to(best_device())
    splits = load_data(config.data)
    if splits.test is None:
        sys.exit(f"{splits.name} has no test split to put on the card: set data.test_fraction")
    results: dict[str, Evaluation] = {}
    for split, images, flip in (
        ("val", splits.val, False),
        ("test", splits.test, False),
        ("test, with mirror images", splits.test, True),
    ):
        results[split] = evaluate(
            model,
            loader(images, 250),
            model.preprocess.normalise,
            len(model.labels),
            flip=flip,
            temperature="fit" if split == "val" else None,
        )
    bundle.scores = {split: result.figures() for split, result in results.items()}
    folder: Path = arguments.into / arguments.name
    write_bundle(folder, bundle)
    card = CARD.format(
        name=arguments.name,
        title=arguments.title,
        parameters=sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        height=model.image_size[0],
        width=model.image_size[1],
        classes=len(model.labels),
        labels=", ".join(model.labels),
        data=DATA.get(config.data.name, f"{splits.name}."),
        limits=LIMITS.get(config.data.name, ""),
        train=len(splits.train),
        val=len(splits.val),
        test=len(splits.test),
        minutes=(rows[-1]["seconds"] or 0) / 60,
        cores=machine["cores"],
        cpu=machine["cpu"],
        epochs=(rows[-1]["step"] or 0) * config.data.batch_size / len(splits.train),
        seed=config.seed,
        torch=machine["packages"]["torch"],
        figures="\n".join(_row(split, result) for split, result in results.items()),
        by_class=_by_class(results["test"], model.labels),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    print(f"{folder}: {size:.1f} MB; {_row('test', results['test'])}")
    return 0


def _row(split: str, result: Evaluation) -> str:
    return (
        f"| {split} | {result.n:,} | {100 * result.accuracy:.2f} % | {100 * result.accuracy_top5:.2f} % "
        f"| {result.loss:.4f} | {result.calibration_error:.4f} |"
    )


def _by_class(result: Evaluation, labels: list[str]) -> str:
    """Rows of the table of classes: accuracy, and the class that each is most often mistaken for."""
    accuracy = result.by_class(labels)
    wrong = result.confusion.clone().fill_diagonal_(0)
    total = result.confusion.sum(1)
    lines = []
    for index, label in enumerate(labels):
        if not total[index]:
            continue
        mistaken = int(wrong[index].argmax())
        share = float(wrong[index, mistaken] / total[index])
        lines.append(f"| {label} | {100 * accuracy[label]:.1f} % | {labels[mistaken]}, {100 * share:.1f} % |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.manual_seed(0)
    raise SystemExit(main())
