"""The loggers of `trainer.logger` by their names."""

import os
import secrets
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from vit.atomic import write_text
from vit.training.loggers.tracker import Tracker
from vit.training.run_folder import is_rank_zero

PROJECT = "vit"
RUN_ID = "run_id"  # the file in a run folder with the run's name in a library's own records


def make_logger(name: str, folder: Path, *, resumed: bool) -> Logger | bool:
    """The logger of a run.

    Args:
        name: `csv`: none beside the CSV files of every run; `tensorboard`: the folder `tensorboard` in
            `folder`; `wandb` or `trackio`, whose package is installed.
        folder: The run folder. A `config.yaml` in it is given to the library.
        resumed: Whether the run goes on. It is the same one in the library's records then.

    Returns:
        For Lightning's Trainer; False: none.
    """
    if name == "csv":
        return False
    if name == "tensorboard":
        return TensorBoardLogger(folder, name="", version="tensorboard")
    # vit sends nothing that was not asked for, and neither is the library to report its own errors.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    library = import_module(name)
    run_id = _run_id(folder / RUN_ID, resumed)
    options = {"config": _config(folder / "config.yaml"), "resume": "allow"}
    if name == "wandb":
        options |= {"project": os.environ.get("WANDB_PROJECT", PROJECT), "name": folder.name, "id": run_id}
        options |= {"dir": str(folder), "settings": library.Settings(console="off", disable_git=True)}
        return Tracker(library, options, on_failure={"exit_code": 1})
    # trackio knows a run by its name, and has one database of all runs.
    return Tracker(library, options | {"project": PROJECT, "name": f"{folder.name}-{run_id}", "embed": False})


def _run_id(file: Path, resumed: bool) -> str:
    """What tells this run from others of its name: kept in the run folder, new in a run that begins."""
    if resumed and file.is_file():
        return file.read_text(encoding="utf-8").strip()
    run_id = secrets.token_hex(4)
    if is_rank_zero():
        write_text(file, run_id + "\n")
    return run_id


def _config(file: Path) -> dict[str, Any]:
    """The config of the run; empty where there is none."""
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
