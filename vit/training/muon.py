"""Muon (Jordan et al. 2024): momentum whose update is orthogonalised, for matrices.

`torch.optim.Muon` takes one matrix at a time and no convolution kernels. This one takes kernels too, and
orthogonalises all matrices of the same shape in one batch.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from vit.device import half_dtype
from vit.training.distributed import full_tensor, shard_like

# Coefficients of the quintic polynomial that moves singular values towards 1 (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Orthogonalised Nesterov momentum.

    Args:
        parameters: Matrices (rows, cols), or convolution kernels, which count as (out, in x height x width);
            or groups of them, as torch's optimisers take them.
        lr: Spectral norm of a step, before the factor for tall matrices, sqrt(rows / cols).
        weight_decay: Decoupled.
        momentum: Decay of the average of the gradient.
        steps: Newton-Schulz iterations.

    Attributes:
        found_inf: As in `vit.training.optim.CombinedOptimizer`.

    Raises:
        ValueError: A parameter has fewer than two dimensions.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        *,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        steps: int = 5,
    ):
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps}
        super().__init__(parameters, defaults)
        self.found_inf: Tensor | None = None
        for parameter in (parameter for group in self.param_groups for parameter in group["params"]):
            if parameter.ndim < 2:
                raise ValueError(f"Muon got a parameter of shape {tuple(parameter.shape)}, expected a matrix")

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step for every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[(*parameter.flatten(1).shape, parameter.device.index or 0)].append(parameter)
            for parameters in by_shape.values():
                self._update(
                    parameters, group["lr"], group["weight_decay"], group["momentum"], group["steps"]
                )
        return loss

    def _update(
        self, parameters: list[Tensor], lr: float, weight_decay: float, momentum: float, steps: int
    ) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        averages = [self.state[parameter]["momentum"] for parameter in parameters]
        skipped = None if self.found_inf is None else self.found_inf > 0
        if skipped is not None:  # an average stays if it is averaged with itself
            gradients = [torch.where(skipped, *pair) for pair in zip(averages, gradients, strict=True)]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        nesterov = torch._foreach_lerp(gradients, averages, momentum)
        # Only a whole matrix can be orthogonalised: with sharded weights every process gathers and does it.
        matrices = torch.stack([full_tensor(update).flatten(1) for update in nesterov])  # (n, rows, cols)
        scale = max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5
        updates = newton_schulz(matrices, steps).to(matrices.dtype)
        kept: float | Tensor = 1 - lr * weight_decay
        if skipped is not None:
            updates = updates.masked_fill(skipped, 0.0)
            kept = torch.where(skipped, 1.0, kept)
        torch._foreach_mul_(parameters, kept)
        sharded = [
            shard_like(update.view(parameter.shape), parameter)
            for update, parameter in zip(updates, parameters, strict=True)
        ]
        torch._foreach_add_(parameters, sharded, alpha=-lr * scale)


def newton_schulz(matrices: Tensor, steps: int = 5) -> Tensor:
    """Orthogonalise matrices: the same singular vectors, singular values between about 0.7 and 1.2.

    It computes in bfloat16, which is exact enough for a direction; in float32 on a CPU, because few have
    bfloat16 and the others take four times as long to emulate it, and on devices without bfloat16.

    Args:
        matrices: (n, rows, cols).
        steps: Newton-Schulz iterations.

    Returns:
        (n, rows, cols), in the dtype that it computes in.
    """
    a, b, c = QUINTIC
    kind = matrices.device.type
    exact = kind == "cpu" or half_dtype(kind) != torch.bfloat16
    x = matrices.to(torch.float32 if exact else torch.bfloat16)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
