"""`vit.train`: what `vit train` does, and the one way in which both begin a run."""

import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.api.arguments import parsed
from vit.config import Config
from vit.config_file import to_config
from vit.data.roster import DATASETS
from vit.errors import UsageError
from vit.progress import in_notebook, is_shown
from vit.recipes.checks import check
from vit.training.run_folder import RunFolder, is_rank_zero, prepare_run_folder

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

    from vit.recipes.train import TrainedRun


def train(
    config: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> "TrainedRun":
    """Train a model: what `vit train` does, in the same run folder.

        run = vit.train("digits", {"trainer.max_epochs": 3}, name="try")
        run.model, run.folder, run.metrics["accuracy"]

    A run is one process here: `trainer.devices` is 1 unless it is given, and more are refused. Nothing is
    printed but progress, in a terminal (on stderr) or a notebook; everything is in `train.log` of the run
    folder. Random numbers of torch (on the CPU), NumPy and Python go on as if there had been no run.

    Args:
        config: A YAML file or the name of a shipped config. None: `cifar10`; with `model.init` among the
            overrides `finetune`, and with `model.freeze` `probe`.
        overrides: Values of keys of the config, `{"data.root": "my_pictures"}`; `seed` is one of them.
            Values are checked as those of the command line are, and messages name `--data.root`.
        name: The run folder is `runs/NAME`, below the current folder. None: the config's name.
        resume: Continue the run of that name; it begins where there is none.
        overwrite: Replace the run of that name.

    Returns:
        `model`, the best one, in eval mode; `folder`, a `pathlib.Path`; `metrics`, its figures on the
        validation split (n, accuracy, loss, ...; of a language model perplexity); `skipped`, the number of
        examples that could not be read.

    Raises:
        vit.VitError: A key, a value, the data or the folder is wrong, or the run failed; one line that says
            how to go on.
        KeyboardInterrupt: It was interrupted; with `resume=True` it goes on.
    """
    arguments = parsed(config, overrides or {}, name, resume=resume, overwrite=overwrite)
    _require_one_process(arguments)
    console = _console()
    with _keeping_ctrl_c():
        trained = begin(arguments, console)
    assert trained is not None  # in other processes than the first alone
    return trained


def begin(arguments: "Namespace", console: "Console") -> "TrainedRun | None":
    """Train with the parsed arguments of the command; the first line is there before anything slow.

    Returns:
        The result; None in the processes of a distributed run other than the first.

    Raises:
        VitError: As in `train`.
    """
    config = check(to_config(arguments))
    name = arguments.name or Path(str(arguments.config[0])).stem
    folder = prepare_run_folder(name, config, resume=arguments.resume, overwrite=arguments.overwrite)
    console.print(_reading(config, folder))

    with warnings.catch_warnings():  # in a notebook without ipywidgets: no bar of tqdm is shown here
        warnings.filterwarnings("ignore", "IProgress not found")
        from vit.recipes.train import train as train_config  # imports torch

    return train_config(config, folder, console)


def command_console() -> "Console":
    """Where the command prints: standard output, of the first process."""
    from rich.console import Console

    return Console(highlight=False, markup=False, soft_wrap=True, quiet=not is_rank_zero())


def _console() -> "Console":
    """Where the function shows progress: the terminal of stderr, below the cell of a notebook, or nowhere."""
    from rich.console import Console

    plain: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}
    if not is_shown():
        return Console(stderr=True, quiet=True, force_terminal=False, force_jupyter=False, **plain)
    if in_notebook():  # lines: a bar would need ipywidgets
        return Console(force_terminal=False, force_jupyter=False, **plain)
    return Console(stderr=True, **plain)


def _reading(config: Config, folder: RunFolder) -> str:
    """The first line of a run: what is read, from where."""
    data = config.data
    root, place = data.root, os.environ.get("VIT_DATA")
    if root is None and place and (Path(place) / DATASETS[data.name].folder).exists():
        root = str(Path(place) / DATASETS[data.name].folder)
    what = data.name if root is None else f"{data.name} from {root}"
    weights = "" if config.model.init is None else f", and the weights of {config.model.init}"
    return f"{folder.path}: {'continuing, ' if folder.resume else ''}reading {what}{weights}"


def _require_one_process(arguments: "Namespace") -> None:
    """Leave the run to this process: others would run the script of the caller again.

    Raises:
        UsageError: More are asked for, or there are more.
    """
    trainer = arguments.trainer
    if trainer.devices == "auto":
        trainer.devices = 1
    for key in ("devices", "num_nodes"):
        if str(value := trainer[key]) != "1":
            raise UsageError(
                f"trainer.{key} is {value}, and vit.train is one process, expected 1: the command vit train "
                "starts several"
            )
    if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise UsageError(
            f"vit.train is one process, and here are {processes}: torchrun -m vit.cli train shares a run"
        )


@contextmanager
def _keeping_ctrl_c() -> Iterator[None]:
    """Give Ctrl-C back: Lightning ignores it once it has been pressed. Only the main thread has signals."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGINT, handler)
