"""Steps whose gradient is NaN or infinite."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from vit.errors import VitError
from vit.training.distributed import full_tensor

LOOK_EVERY = 50  # steps; the host waits for the device when it looks
Count = int | Tensor  # int64 () on the device that trains, after the first step


class NonFiniteGuard(Callback):
    """Skips and counts the steps whose gradient is not finite; too many in a row end the run.

    Which steps these are is found out on the device, where the optimiser skips them. The host looks at the
    counts every `LOOK_EVERY` steps and at the end of each epoch: until then a run that is lost goes on, but
    its weights stay as they are.

    Args:
        max_in_a_row: The number of consecutive steps that ends the run.
    """

    def __init__(self, max_in_a_row: int = 10):
        self.max_in_a_row = max_in_a_row
        self.in_a_row: Count = 0
        self.skipped: Count = 0
        self.longest: Count = 0  # row so far
        self.last: Count = 0  # step of the longest row

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {"row": int(self.in_a_row), "skipped": int(self.skipped)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the counts."""
        self.in_a_row, self.skipped = state_dict["row"], state_dict["skipped"]

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Let the optimiser change nothing if any gradient is not finite."""
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        bad = ~full_tensor(get_total_norm(gradients, torch.inf)).isfinite()
        if any(isinstance(gradient, DTensor) for gradient in gradients):
            if bad:  # optimisers of sharded weights take no tensor that is not sharded
                optimizer.zero_grad()
        else:
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        self.in_a_row = (self.in_a_row + bad) * bad
        self.skipped = self.skipped + bad
        longer = self.in_a_row > self.longest
        self.longest = torch.where(longer, self.in_a_row, self.longest)
        self.last = torch.where(longer, trainer.global_step, self.last)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the counts.

        Raises:
            VitError: `max_in_a_row` steps in a row were skipped.
        """
        if (batch_idx + 1) % LOOK_EVERY and not trainer.is_last_batch:
            return
        if int(self.longest) >= self.max_in_a_row:
            raise VitError(
                f"the loss or its gradient was not finite in {int(self.longest)} steps in a row, the last of "
                f"them step {int(self.last)}: lower optim.lr, or look for NaN and infinite values in the "
                "data; earlier checkpoints are kept"
            )
