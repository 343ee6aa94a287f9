"""Steps whose gradient is NaN or infinite."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from vit.errors import VitError
from vit.training.distributed import full_tensor


class NonFiniteGuard(Callback):
    """Skips and counts the steps whose loss or gradient is not finite; too many in a row end the run.

    Args:
        max_in_a_row: The number of consecutive steps that ends the run.
    """

    def __init__(self, max_in_a_row: int = 10):
        self.max_in_a_row = max_in_a_row
        self.in_a_row = self.skipped = 0

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {"row": self.in_a_row, "skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the counts."""
        self.in_a_row, self.skipped = state_dict["row"], state_dict["skipped"]

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Set the gradients to None if any is not finite, so that the step changes no weight.

        Raises:
            VitError: This is the `max_in_a_row`-th such step in a row.
        """
        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        if all(torch.stack([full_tensor(grad.isfinite().all()) for grad in gradients]).tolist()):
            self.in_a_row = 0
            return
        optimizer.zero_grad()
        self.in_a_row += 1
        self.skipped += 1
        if self.in_a_row >= self.max_in_a_row:
            raise VitError(
                f"the loss or its gradient was not finite in {self.in_a_row} steps in a row, the last of "
                f"them step {trainer.global_step}: lower optim.lr, or look for NaN and infinite values in "
                "the data; earlier checkpoints are kept"
            )
