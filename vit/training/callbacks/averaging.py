"""An exponential moving average (EMA) of the weights."""

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


def averaging(decay: float) -> WeightAveraging:
    """The callback that averages the weights (EMA). Validation and `best.ckpt` use the average.

    The decay grows from 2/11 to `decay` over the first updates, so that a short run is not held back by its
    initial weights.

    Args:
        decay: Decay of the average per step, 0 to 1.
    """

    @torch.no_grad()
    def update(average: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        current_decay = min(decay, (1 + float(updates)) / (10 + float(updates)))
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, current, 1 - current_decay)
        else:  # counters, such as those of batch norm
            torch._foreach_copy_(average, current)

    return WeightAveraging(multi_avg_fn=update)
