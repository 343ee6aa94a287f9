"""Train a vision transformer; every key of the config is an option.

example:
  vit train --config digits
  vit train --config cifar10 --trainer.max_time 00:00:30:00 --name evening
  vit train --config folder --data.root my_pictures --model.width 256
"""

import json
import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.config import (
    Config,
    add_config_arguments,
    check,
    first_difference,
    resolve_config,
    to_config,
    to_yaml,
)
from vit.errors import VitError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from rich.console import Console

    from vit.data import Images, Splits
    from vit.training.evaluate import Evaluation
    from vit.weights import Bundle

RUNS = Path("runs")
PORTABLE = ("name", "val_fraction", "test_fraction", "split_seed")  # what a bundle says of its data: no path


def add_arguments(parser: "ArgumentParser") -> None:
    """The config's fields, and where the run goes."""
    parser.add_argument("--name", help="the run's folder is runs/NAME (default: the config's name)")
    parser.add_argument("--resume", action="store_true", help="continue the run of that name")
    parser.add_argument("--overwrite", action="store_true", help="replace the run of that name")
    add_config_arguments(parser)


def prepare(words: list[str]) -> list[str]:
    """Find the config; a run that is resumed by name brings its own."""
    default = "cifar10"
    if "--resume" in words and "--name" in words[:-1]:
        own = RUNS / words[words.index("--name") + 1] / "config.yaml"
        default = str(own) if own.is_file() else default
    return resolve_config(words, default)[0]


def run(arguments: "Namespace") -> int:
    """Train, keep the best model as a bundle, and write the report."""
    config = check(to_config(arguments))
    folder = RUNS / (arguments.name or Path(str(arguments.config[0])).stem)
    _claim(folder, config, arguments.resume, arguments.overwrite)

    import lightning as L
    from rich.console import Console

    from vit import build
    from vit.data import loader
    from vit.training.environment import environment
    from vit.training.run import best_weights, fit

    console = Console(highlight=False, soft_wrap=True)
    L.seed_everything(config.seed, verbose=False)
    splits = build.load_data(config.data)
    preprocess = build.preprocess_for(splits)
    arguments_of_model = build.architecture(config.model, len(splits.labels), preprocess)
    model = build.vision_tower(arguments_of_model)

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    machine = environment()
    (folder / "env.json").write_text(json.dumps(machine, indent=2) + "\n", encoding="utf-8")
    _log_to(folder / "train.log")
    _say(console, _opening(folder, splits, sum(p.numel() for p in model.parameters())))
    for name, reason in splits.skipped:
        logging.getLogger("vit").warning("skipped %s: %s", name, reason)
    if splits.skipped:
        _say(console, f"{len(splits.skipped)} files skipped; train.log names them")
    if config.trainer.compile:
        model.compile()

    started = time.monotonic()
    trainer_options = vars(config.trainer) | {
        "precision": build.precision(config.trainer.precision, config.trainer.accelerator)
    }
    del trainer_options["compile"]
    trainer = fit(
        build.classifier(config, model, len(splits.labels), preprocess),
        loader(
            splits.train,
            config.data.batch_size,
            seed=config.seed,
            shuffle=True,
            drop_last=len(splits.train) > config.data.batch_size,
        ),
        loader(splits.val, max(config.data.batch_size, 256)),
        folder,
        console=console,
        clip=config.optim.clip,
        ema=config.optim.ema,
        resume=arguments.resume,
        **trainer_options,
    )
    seconds = time.monotonic() - started
    if not trainer.is_global_zero:
        return 0

    from vit.training.evaluate import evaluate
    from vit.weights import Bundle, write_bundle

    weights, _ = best_weights(trainer)
    bundle = Bundle(
        architecture=arguments_of_model,
        labels=splits.labels,
        preprocess=preprocess.to_dict(),
        weights=weights,
        training={
            "data": {name: value for name, value in vars(config.data).items() if name in PORTABLE},
            "seconds": round(seconds, 1),
            "steps": trainer.global_step,
        },
    )
    best = build.from_bundle(bundle)
    result = evaluate(best, loader(splits.val, 256), preprocess.normalise, len(splits.labels))
    bundle.scores = {"val": result.figures()}
    write_bundle(folder / "model", bundle)
    _report(folder, config, bundle, splits.val, result, machine)
    _say(
        console,
        f"val accuracy {100 * result.accuracy:.2f} % (n = {result.n}) after {seconds:.0f} s: "
        f"model {folder / 'model'}, report {folder / 'report.html'}",
    )
    return 0


def _claim(folder: Path, config: Config, resume: bool, overwrite: bool) -> None:
    """Refuse a folder in use, an empty resume, and a resume of something else."""
    if resume:
        last = folder / "checkpoints" / "last.ckpt"
        if not last.is_file():
            raise VitError(f"{last} does not exist: there is nothing to resume in {folder}")
        other = first_difference(folder / "config.yaml", config)
        if other:
            raise VitError(f"cannot resume {folder}: {other}")
    elif folder.exists():
        if not overwrite:
            raise VitError(
                f"{folder} exists: --resume continues it, --overwrite replaces it, --name starts another"
            )
        shutil.rmtree(folder)


def _opening(folder: Path, splits: "Splits", parameters: int) -> str:
    test = 0 if splits.test is None else len(splits.test)
    return (
        f"{folder}: {splits.name}, {len(splits.labels)} classes, {len(splits.train)} train / "
        f"{len(splits.val)} val / {test} test pictures; {parameters / 1e6:.2f} M parameters"
    )


def _say(console: "Console", line: str) -> None:
    logging.getLogger("vit").info(line)
    console.print(line)


def _log_to(file: Path) -> None:
    """Send the log of this run to its file, and nowhere else."""
    log = logging.getLogger("vit")
    for handler in list(log.handlers):
        handler.close()
        log.removeHandler(handler)
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _report(
    folder: Path,
    config: Config,
    bundle: "Bundle",
    val: "Images",
    result: "Evaluation",
    machine: dict[str, Any],
) -> None:
    """Plots and `report.html`."""
    from vit.training.callbacks import read_metrics
    from vit.training.plots import confusion, curves, png, wrongest
    from vit.training.report import write_report

    rows = read_metrics(folder / "metrics.csv")
    wrong = (result.predicted != result.targets).nonzero()[:, 0]
    worst = wrong[result.scores[wrong].argsort(descending=True)][:24].tolist()
    labels = bundle.labels
    figures = {
        "curves": png(curves(rows)),
        "confusion": png(confusion(result.confusion, labels)),
        "wrongest": png(
            wrongest(
                [_picture(val, index) for index in worst],
                [labels[result.targets[index]] for index in worst],
                [labels[result.predicted[index]] for index in worst],
                [float(result.scores[index]) for index in worst],
                [val.names[index] for index in worst],
            )
        ),
    }
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    for name, content in figures.items():
        (plots / f"{name}.png").write_bytes(content)
    write_report(
        folder,
        title=folder.name,
        facts={
            "val accuracy": f"{100 * result.accuracy:.2f} %",
            "val top-5": f"{100 * result.accuracy_top5:.2f} %",
            "val pictures": f"{result.n:,}",
            "epochs": f"{int(rows[-1]['epoch'] or 0)}",
            "time": f"{(rows[-1]['seconds'] or 0) / 60:.1f} min",
            "images/s": f"{rows[-1]['images_per_second'] or 0:,.0f}",
            "parameters": f"{sum(w.numel() for w in bundle.weights.values()) / 1e6:.2f} M",
        },
        rows=rows,
        figures=figures,
        config_yaml=to_yaml(config),
        environment={key: str(value) for key, value in machine.items()},
    )


def _picture(images: "Images", index: int) -> Any:
    from torchvision.transforms.v2.functional import to_pil_image

    return to_pil_image(images[[index]][0][0])
