"""What makes a resumed run exact: the random state, the position in the epoch, the same data."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from vit.errors import VitError


class RNGState(Callback):
    """Stores the state of torch's random generators in each checkpoint; dropout draws from them."""

    def __init__(self) -> None:
        self.loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The state from which the next step draws."""
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until `on_train_start`, because the set-up before it draws random numbers too."""
        self.loaded = state_dict

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the state."""
        if self.loaded is not None:
            torch.set_rng_state(self.loaded["cpu"])
            torch.cuda.set_rng_state_all(self.loaded["cuda"][: torch.cuda.device_count()])
            self.loaded = None


class ResumePosition(Callback):
    """Resumes in the middle of an epoch, at the batch after the last one that was trained on."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let the sampler skip the batches of the epoch that are done."""
        progress = trainer.fit_loop.epoch_loop.batch_progress
        done = progress.current.ready if trainer.fit_loop.restarted_mid_epoch else 0
        loader: Any = trainer.train_dataloader
        loader.sampler.skip(done)


class DataGuard(Callback):
    """Refuses to resume with other data.

    Args:
        facts: What must be the same as when the run began, by name; plain values. Of two lists the message
            names the entries that came and went.
    """

    def __init__(self, facts: dict[str, Any]):
        self.facts = facts

    def state_dict(self) -> dict[str, Any]:
        """The facts."""
        return self.facts

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare the facts.

        Raises:
            VitError: One differs; the message names the first.
        """
        for name, before in state_dict.items():
            if (now := self.facts.get(name)) != before:
                raise VitError(
                    f"cannot resume: {name} is {_shorten(now)}, and was {_shorten(before)} when the run began"
                    f"{_came_and_went(before, now)}: restore the data, or train a new run with another --name"
                )


def _came_and_went(before: Any, now: Any) -> str:
    """The entries that one of two lists has alone; nothing for other values."""
    if not (isinstance(before, list) and isinstance(now, list)):
        return ""
    came = [str(entry) for entry in now if entry not in before]
    went = [str(entry) for entry in before if entry not in now]
    parts = [
        f"{_shorten(', '.join(names))} {verb}" for names, verb in ((came, "came"), (went, "went")) if names
    ]
    return f" ({' and '.join(parts)})" if parts else " (in another order)"


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:60]} ... {text[-15:]}"
