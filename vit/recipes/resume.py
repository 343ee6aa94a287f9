"""What a run is continued from: its newest checkpoint, and the record of its data."""

from pathlib import Path
from typing import Any

from vit.config import Config
from vit.data.roster import DATASETS
from vit.data.splits.record import FILE as RECORD_FILE
from vit.data.splits.record import SplitRecord, read_record
from vit.errors import VitError
from vit.training.checkpoints import DurableIO, newest_intact
from vit.training.fit import time_limit
from vit.training.run_folder import RunFolder


def find_checkpoint(config: Config, run_folder: RunFolder) -> tuple[Path | None, dict[str, Any], list[str]]:
    """The checkpoint to resume from, the states of its callbacks, and what is to be said.

    That is: the checkpoint is not the last one; or nothing is left to train.

    For a new run: None, no states, nothing.
    """
    if not run_folder.resume:
        return None, {}, []
    checkpoint, warning = newest_intact(run_folder.path / "checkpoints")
    content = DurableIO().load_checkpoint(checkpoint)
    epoch, max_epochs = content["epoch"] + 1, config.trainer.max_epochs
    if max_epochs is not None and epoch > max_epochs:
        raise VitError(
            f"cannot resume {run_folder.path}: it is in epoch {epoch}, and --trainer.max_epochs is "
            f"{max_epochs}"
        )
    return checkpoint, content["callbacks"], [*filter(None, (warning, _nothing_left(config, content)))]


def _nothing_left(config: Config, checkpoint: dict[str, Any]) -> str | None:
    """That the run has trained for as long as it may; None: it goes on."""
    trainer = config.trainer
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if trainer.max_epochs is not None and epochs >= trainer.max_epochs:
        return f"nothing is left to train: {epochs} epochs are done, as many as --trainer.max_epochs says"
    seconds = checkpoint["callbacks"].get("Timer", {}).get("time_elapsed", {}).get("train", 0.0)
    if trainer.max_time is not None and seconds >= time_limit(trainer.max_time).total_seconds():
        return (
            f"nothing is left to train: --trainer.max_time {trainer.max_time} is used up; with a longer one "
            "the run goes on"
        )
    return None


def record_to_resume(config: Config, folder: Path) -> SplitRecord | None:
    """The parts that the run's examples are in; None: the dataset never changes.

    Raises:
        VitError: The run began with an earlier version, which did not write them.
    """
    if not DATASETS[config.data.name].is_format:
        return None
    record = read_record(folder)
    if record is None:
        raise VitError(
            f"cannot resume {folder}: it has no {RECORD_FILE}, so that what it learns from is not known; "
            "--overwrite starts it again"
        )
    return record
