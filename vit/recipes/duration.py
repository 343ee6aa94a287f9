"""How long a run that is made for a GPU takes without one."""

import time
from copy import deepcopy
from statistics import fmean

import torch

from vit.config import Config
from vit.device import best_device
from vit.recipes.run import PreparedRun
from vit.training.fit import time_limit

TRIAL = 32  # images of the step that is timed


def cpu_notice(config: Config, run: PreparedRun) -> str | None:
    """One line that says how long a run takes on this CPU, and which config is made for one.

    Of a run with a limit of time it says how many epochs that allows. None where the config does not name
    such a config, or the run has a GPU.

    Args:
        config: The run's config.
        run: What it is made of.
    """
    named, trainer = config.trainer.on_cpu, config.trainer
    if named is None or trainer.accelerator in ("gpu", "cuda", "mps") or best_device().type != "cpu":
        return None
    rate = training_rate(run) / mean_area(run)
    epoch = len(run.splits.train) / rate  # seconds
    if trainer.max_time is not None:
        limit = time_limit(trainer.max_time).total_seconds()
        needs = f"its {_said(limit / 3600)} are about {limit / epoch:.2g} epochs"
    else:
        needs = (
            f"its {trainer.max_epochs} epochs take about {_said((trainer.max_epochs or 0) * epoch / 3600)}"
        )
    return (
        f"this config is made for a GPU: here, at about {rate:.0f} images/s, {needs}; --config {named} is "
        "made for a CPU"
    )


def training_rate(run: PreparedRun) -> float:
    """Images per second of forward and backward passes without augmentation, in float32: one step is timed.

    Neither the model nor the random numbers of the run are changed.
    """
    model = deepcopy(run.module.model).train()
    raw, _, _ = run.splits.train[torch.arange(min(TRIAL, len(run.splits.train)))]
    inputs = run.module.normalise(raw)
    with torch.random.fork_rng():
        for _ in range(2):  # the first one allocates
            begun = time.perf_counter()
            model(inputs).square().mean().backward()
    return len(inputs) / (time.perf_counter() - begun)


def mean_area(run: PreparedRun) -> float:
    """Pixels of an image over those of one in full size: less than 1 where images grow; the mean of a run."""
    grow, full = run.module.grow, getattr(run.splits.train, "size", None)
    if grow is None or full is None:
        return 1.0
    sizes = [grow.size(percent / 100, full) for percent in range(100)]
    return fmean(height * width for height, width in sizes) / (full[0] * full[1])


def _said(hours: float) -> str:
    if hours < 1 / 30:
        return f"{3600 * hours:.0f} seconds"
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"
