"""Which attribution method to trust: faithfulness and localisation of all of them, on the same pictures.

pip install captum grad-cam                                      # for the comparison alone; else left out
python scripts/bench_attribution.py cifar10 cifar10_plain --pictures 1000 --minutes 25

Faithfulness: the area between LeRF and MoRF, with both blanks, for the class that the model predicts.
Localisation: pictures put together from four, one of whose classes is asked for; and models trained here, on
pictures where a mark on one patch is all that decides the class.

Methods that take many passes are measured on the first --slow-pictures. Every finished batch is kept in
--output, one line each; the same command goes on from there, so --minutes may cut a run into several.
"""

import argparse
import json
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_attend import PASSES, Entry, entries, print_table, trial
from torch import Tensor
from torch.nn.functional import cross_entropy

import vit
from vit.attribution.explain import explain, method_for
from vit.attribution.roster import AUTO, METHODS
from vit.core import BlockSpec
from vit.data.loader import loader
from vit.data.preprocess import match_channels
from vit.errors import VitError
from vit.evaluation.faithfulness import CONTROLS, Faithfulness
from vit.evaluation.localisation import Localisation, Located, marked, quarters
from vit.evaluation.removal import BASELINES, interval
from vit.recipes.data import load_data, named_data
from vit.vision import VisionTransformer

LEFT_OUT = (  # of those in bench_attend.py: near relatives of others here
    "hirescam", "layercam", "eigencam", "torchcam_gradcam", "torchcam_layercam", "torchcam_legrad",
    "captum_saliency", "captum_ig_abs", "captum_occlusion", "zennit_lrp",
)  # fmt: skip
LESS = 10  # times fewer mosaics than pictures for methods of many passes: they are four times as large
CONFIDENT = 0.5  # a picture of the pointing game is recognised with at least this probability
CLASSES = 10  # of marks
MARKED: dict[str, dict[str, Any]] = {  # models that learn the mark
    "marks, mean": {"class_token": False, "pool": "mean"},
    "marks, class token and registers": {"class_token": True, "registers": 2},
}
TARGETS = {"rise": 0.95, "captum_deeplift": 1.0, "legrad": 1.15}  # of the ratio to these

Line = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    output, begun = Path(arguments.output), time.monotonic()
    lines = _read(output, arguments)
    done = {(line["model"], line["part"], line["first"]) for line in lines}
    with warnings.catch_warnings(), output.open("a", encoding="utf-8") as stream:
        warnings.simplefilter("ignore")  # captum warns about the hooks that it sets and removes
        for line in _measured(arguments, done):
            lines.append(line)
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            print(f"{line['model']}, {line['part']}: {line['first'] + line['n']}", file=sys.stderr)
            if time.monotonic() - begun > 60 * arguments.minutes:
                print("out of time: run the same command to go on", file=sys.stderr)
                break
    _report(lines)
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="image models with classes")
    parser.add_argument("--pictures", type=int, default=1000, help="the first of a seeded random order")
    parser.add_argument("--slow-pictures", type=int, default=250, help="of these, for methods of many passes")
    parser.add_argument("--mosaics", type=int, default=200, help="pictures put together from four; 0: none")
    parser.add_argument("--marks", type=int, default=200, help="pictures with a mark; 0: none")
    parser.add_argument("--methods", help="names separated by commas (default: all that are installed)")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--batch-size", type=int, default=25)
    parser.add_argument("--rise-samples", type=int, default=250)
    parser.add_argument("--steps", type=int, default=8, help="in which patches are removed")
    parser.add_argument("--training-steps", type=int, default=400, help="of the models that learn the mark")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--output", default="bench_attribution.jsonl")
    return parser.parse_args(argv)


def _read(output: Path, arguments: argparse.Namespace) -> list[Line]:
    """The lines of earlier runs; a last line that was cut off is left out.

    Raises:
        VitError: They were measured with other settings.
    """
    settings = {
        name: value for name, value in vars(arguments).items() if name not in ("minutes", "output", "models")
    }
    found = []
    kept = output.read_text(encoding="utf-8") if output.exists() else ""
    if kept and not kept.endswith("\n"):
        output.write_text(kept + "\n", encoding="utf-8")
    for text in kept.splitlines():
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    if not found:
        output.write_text(json.dumps({"settings": settings}) + "\n", encoding="utf-8")
        return []
    for name, value in found[0]["settings"].items():
        if settings[name] != value:
            raise VitError(
                f"{output} was measured with {name} {value}, not {settings[name]}: name another --output"
            )
    return found[1:]


def _measured(arguments: argparse.Namespace, done: set[tuple[str, str, int]]) -> Iterator[Line]:
    """A line for every batch of every part that is not done yet."""
    for name in arguments.models:
        model = vit.load_model(name)
        yield from _faithfulness(arguments, name, model, done)
        if arguments.mosaics:
            yield from _located(arguments, name, "mosaics", partial(_mosaics, arguments, model), done)
    for name in MARKED if arguments.marks else ():
        yield from _located(arguments, name, "marks", partial(_marks, arguments, name), done)


# --- methods ---


def _entries(arguments: argparse.Namespace, model: Any, *, slow: bool, images: Tensor) -> dict[str, Entry]:
    """The methods that work with this model, those of many passes with `slow` alone."""
    known = {
        name: entry
        for name, entry in entries(model, None, arguments.rise_samples).items()
        if name not in LEFT_OUT and (slow or entry.kind != PASSES)
    }
    chosen = arguments.methods.split(",") if arguments.methods else list(known)
    targets = torch.zeros(len(images), dtype=torch.int64)
    working = {}
    for name in (name for name in chosen if name in known):
        if reason := trial(known[name], model, images, targets):
            print(f"{name} is left out: {reason}", file=sys.stderr)
        else:
            working[name] = known[name]
    return working


def _maps(
    model: Any, methods: dict[str, Entry], images: Tensor, targets: Tensor
) -> tuple[dict[str, Tensor], Line]:
    """The maps by method, and the time of each over that of a forward pass just before it."""
    maps, passes = {}, {}
    for name, entry in methods.items():
        with torch.no_grad():
            forward, _ = _seconds(partial(model, images))
        taken, found = _seconds(partial(entry.maps, images, targets))
        maps[name], passes[name] = found.detach(), taken / forward
    return maps, passes


def _seconds(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """The seconds that it takes, and its result."""
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


# --- faithfulness ---


def _faithfulness(
    arguments: argparse.Namespace, name: str, model: Any, done: set[tuple[str, str, int]]
) -> Iterator[Line]:
    methods: dict[bool, dict[str, Entry]] = {}
    first = 0
    for pixels, _, _ in loader(_pictures(arguments, model, arguments.pictures), arguments.batch_size):
        images = model.preprocess.normalise(match_channels(pixels, model.preprocess.channels))
        if (name, "faithfulness", first) not in done:
            slow = first < arguments.slow_pictures
            if slow not in methods:
                methods[slow] = _entries(arguments, model, slow=slow, images=images[:2])
            with torch.no_grad():
                targets = model(images).argmax(1)
            maps, passes = _maps(model, methods[slow], images, targets)
            measured = Faithfulness(model, steps=arguments.steps)
            measured.add(images, targets, maps, first)
            values: dict[str, Any] = defaultdict(dict)
            for (method, baseline), pairs in measured.areas.items():
                values[method][baseline] = torch.stack(pairs).tolist()
            yield {
                "model": name, "part": "faithfulness", "first": first, "n": len(images), "values": values,
                "passes": passes, "auto": method_for(model, AUTO),
            }  # fmt: skip
        first += len(images)


def _pictures(arguments: argparse.Namespace, model: Any, count: int) -> Any:
    config = named_data(arguments.data)
    config.image_size = (model.preprocess.height, model.preprocess.width)
    split = getattr(load_data(config), arguments.split)
    if split is None:
        raise VitError(f"{arguments.data} has no {arguments.split} split")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    return split.subset(order[:count])


# --- localisation ---


def _located(
    arguments: argparse.Namespace,
    name: str,
    part: str,
    make: Callable[[], tuple[Any, Located]],
    done: set[tuple[str, str, int]],
) -> Iterator[Line]:
    count = arguments.mosaics if part == "mosaics" else arguments.marks
    firsts = [first for first in range(0, count, arguments.batch_size) if (name, part, first) not in done]
    if not firsts:
        return
    model, located = make()
    count = len(located.images)
    methods: dict[bool, dict[str, Entry]] = {}
    for first in (first for first in firsts if first < count):
        slow = first < arguments.slow_pictures // LESS
        batch = slice(first, min(first + arguments.batch_size, count))
        images, targets, inside = (each[batch] for each in located)
        if slow not in methods:
            methods[slow] = _entries(arguments, model, slow=slow, images=images[:2])
        maps, passes = _maps(model, methods[slow], images, targets)
        grid = model.grid(images)
        maps["random"] = torch.rand(len(images), *grid, generator=torch.Generator().manual_seed(first))
        measured = Localisation()
        measured.add(maps, inside)
        with torch.no_grad():
            right = (model(images).argmax(1) == targets).float().mean()
        yield {
            "model": name, "part": part, "first": first, "n": len(images), "passes": passes,
            "values": {method: torch.cat(parts).tolist() for method, parts in measured.values.items()},
            "predicted": float(right), "prefix": _prefix_shares(model, images, targets, list(maps)),
        }  # fmt: skip


def _prefix_shares(model: Any, images: Tensor, targets: Tensor, methods: list[str]) -> dict[str, float]:
    """The mean share of all scores, whatever their sign, that class token and registers have."""
    shares = {}
    for name in (name for name in methods if name in METHODS and METHODS[name].quick and model.prefix):
        target = targets if METHODS[name].explains_class else None
        tokens = explain(model, images, name, target).tokens
        if tokens is not None:
            scores = tokens.abs()
            shares[name] = float((scores[:, : model.prefix].sum(1) / scores.sum(1)).mean())
    return shares


def _mosaics(arguments: argparse.Namespace, model: Any) -> tuple[Any, Located]:
    """The model, and mosaics of pictures that it recognises when it sees them alone."""
    kept_images, kept_targets = [], []
    for pixels, targets, _ in loader(_pictures(arguments, model, arguments.pictures), arguments.batch_size):
        images = model.preprocess.normalise(match_channels(pixels, model.preprocess.channels))
        with torch.no_grad():
            sure = recognised(model(images), targets)
        kept_images.append(images[sure])
        kept_targets.append(targets[sure])
    images = torch.cat(kept_images)
    return model, quarters(images, torch.cat(kept_targets), model.grid(images), arguments.mosaics)


def recognised(logits: Tensor, targets: Tensor) -> Tensor:
    """Which pictures may be in a mosaic, bool (B,)."""
    scores, found = logits.softmax(-1).max(1)
    return (found == targets) & (scores >= CONFIDENT)


def _marks(arguments: argparse.Namespace, name: str) -> tuple[Any, Located]:
    """A model that has learned the marks on pictures of train, and marked pictures of the split.

    Sizes of pictures and patches are those of the first model.
    """
    torch.manual_seed(0)
    reader = vit.load_model(arguments.models[0])
    train = argparse.Namespace(**{**vars(arguments), "split": "train"})
    pictures, shown = (
        _normalised(each, reader, n) for each, n in ((train, 5000), (arguments, arguments.marks))
    )
    grid = reader.grid(shown)
    marks = 2 * torch.randn(CLASSES, shown.shape[1], *reader.patch_size).sign()
    block = BlockSpec(width=96, heads=4, mlp_ratio=2.0)
    sizes: dict[str, Any] = {"channels": shown.shape[1], "patch_size": reader.patch_size, "depth": 4}
    model = VisionTransformer(CLASSES, tuple(shown.shape[-2:]), block, **sizes, **MARKED[name])
    _learn(model, pictures, marks, grid, arguments.training_steps)
    located = marked(shown, marks, grid, seed=2**31)
    with torch.no_grad():
        right = (model.eval()(located.images).argmax(1) == located.targets).float().mean()
    print(f"{name}: {right:.1%} of {len(shown)} marked pictures are read", file=sys.stderr)
    return model, located


def _normalised(arguments: argparse.Namespace, model: Any, count: int) -> Tensor:
    """(n, C, height, width), as the model sees them; n is `count` at most."""
    pictures = _pictures(arguments, model, count)
    pixels, _, _ = pictures[list(range(len(pictures)))]
    normalised: Tensor = model.preprocess.normalise(match_channels(pixels, model.preprocess.channels))
    return normalised


def _learn(model: Any, pictures: Tensor, marks: Tensor, grid: tuple[int, int], steps: int) -> None:
    """Train on marked pictures, the learning rate rising and then falling to 0."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(steps):
        drawn = pictures[torch.randint(len(pictures), (64,))]
        images, targets, _ = marked(drawn, marks, grid, seed=step)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 50, 2 * (1 - step / steps))
        optimizer.zero_grad()
        cross_entropy(model(images), targets).backward()
        optimizer.step()


# --- what is printed ---


def _report(lines: list[Line]) -> None:
    for model in dict.fromkeys(line["model"] for line in lines):
        for part in ("faithfulness", "mosaics", "marks"):
            found = [line for line in lines if (line["model"], line["part"]) == (model, part)]
            if found and part == "faithfulness":
                _report_faithfulness(model, found)
            elif found:
                _report_localisation(model, part, found)


def _report_faithfulness(model: str, lines: list[Line]) -> None:
    differences = _differences(lines)
    rows = [["method", "n", "x forward", *(f"LeRF - MoRF, {baseline}" for baseline in BASELINES)]]
    for method, by_picture in differences.items():
        values = np.array(list(by_picture.values()))  # (n, baselines)
        times = [line["passes"][method] for line in lines if method in line["passes"]]
        spread = [_with_interval(values[:, column]) for column in range(len(BASELINES))]
        rows.append([method, str(len(values)), f"{np.median(times):.2f}" if times else "", *spread])
    print(f"\n{model}: faithfulness")
    print_table(rows)
    chosen = lines[0]["auto"]  # it was chosen on validation pictures
    if chosen in differences:
        for other, target in TARGETS.items():
            if other in differences:
                columns = range(len(BASELINES))
                parts = [_ratio(differences[chosen], differences[other], column) for column in columns]
                print(f"auto, {chosen} / {other} (target {target:g}): {', '.join(parts)}")


def _differences(lines: list[Line]) -> dict[str, dict[int, list[float]]]:
    """LeRF - MoRF: method -> number of the picture -> one value for each blank."""
    found: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for line in lines:
        for method, by_blank in line["values"].items():
            pairs = np.array([by_blank[baseline] for baseline in BASELINES])  # (baselines, n, 2)
            for index, values in enumerate((pairs[..., 1] - pairs[..., 0]).T.tolist()):
                found[method][line["first"] + index] = values
    order = [name for name in found if name not in CONTROLS] + [name for name in CONTROLS if name in found]
    return {name: found[name] for name in order}


def _ratio(one: dict[int, list[float]], other: dict[int, list[float]], column: int) -> str:
    """The ratio of two means on the pictures that both have, with its 95 % bootstrap interval."""
    both = sorted(one.keys() & other.keys())
    pairs = np.array([(one[index][column], other[index][column]) for index in both])
    random = np.random.default_rng(0)
    drawn = pairs[random.integers(len(pairs), size=(2000, len(pairs)))].mean(1)  # (resamples, 2)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    mean = pairs.mean(0)
    return f"{mean[0] / mean[1]:.2f} [{low:.2f}, {high:.2f}] (n = {len(both)})"


def _report_localisation(model: str, part: str, lines: list[Line]) -> None:
    rows = [["method", "n", "pointing", "share inside", "on the prefix"]]
    for method in dict.fromkeys(method for line in lines for method in line["values"]):
        values = np.array([pair for line in lines for pair in line["values"].get(method, [])])
        prefix = [line["prefix"][method] for line in lines if method in line["prefix"]]
        spread = [_with_interval(values[:, column]) for column in range(2)]
        rows.append([method, str(len(values)), *spread, f"{np.mean(prefix):.3f}" if prefix else ""])
    right = np.average([line["predicted"] for line in lines], weights=[line["n"] for line in lines])
    print(f"\n{model}: {part}; the class asked for is the predicted one in {right:.1%}")
    print_table(rows)


def _with_interval(values: np.ndarray) -> str:
    low, high = interval(values)
    return f"{values.mean():6.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VitError as error:
        sys.exit(f"bench_attribution: {error}")
