"""An exponential moving average (EMA) of the weights."""

from itertools import chain, compress
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn


class Averaging(WeightAveraging):
    """Averages the weights (EMA). Validation and `best.ckpt` use the average.

    The decay grows from 2/11 to `decay` over the first updates, so that a short run is not held back by its
    initial weights. Lightning's callback reads the number of updates from the device in each step; this one
    counts on the host, and waits for nothing.

    Args:
        decay: Decay of the average per step, 0 to 1.
    """

    def __init__(self, decay: float):
        super().__init__()
        self.decay = decay
        self.updates = 0

    @property
    def state_key(self) -> str:
        """That of `WeightAveraging`, under which earlier versions have stored the state."""
        return WeightAveraging.__qualname__

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on counting, in a run that is resumed."""
        assert self._average_model is not None
        self.updates = int(self._average_model.n_averaged)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average after each optimiser step; the first update copies the weights."""
        if trainer.global_step <= self._latest_update_step:
            return
        assert self._average_model is not None
        average, current = _tensors(self._average_model.module), _tensors(pl_module)
        if self.updates:
            update(average, current, min(self.decay, (1 + self.updates) / (10 + self.updates)))
        else:
            torch._foreach_copy_(average, current)
        self._average_model.n_averaged += 1
        self.updates += 1
        self._latest_update_step = trainer.global_step


@torch.no_grad()
def update(average: list[Tensor], current: list[Tensor], decay: float) -> None:
    """Move an average, in place: by 1 - decay towards floats; others, such as counters, are copied."""
    floats = [tensor.is_floating_point() for tensor in average]
    if any(floats):
        chosen = [list(compress(tensors, floats)) for tensors in (average, current)]
        torch._foreach_lerp_(chosen[0], chosen[1], 1 - decay)
    if not all(floats):
        others = [not is_float for is_float in floats]
        chosen = [list(compress(tensors, others)) for tensors in (average, current)]
        torch._foreach_copy_(chosen[0], chosen[1])


def _tensors(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in chain(module.parameters(), module.buffers())]
