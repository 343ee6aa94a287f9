"""Muon (Jordan et al. 2024): momentum, made orthogonal, for matrices.

torch has a Muon of its own, which takes one matrix at a time and no kernels of convolutions. This one stacks
what has the same shape.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from vit.training.distributed import divided_like, whole

# Coefficients of the quintic that pulls singular values towards 1 (Jordan et al. 2024, "Newton-Schulz").
QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Orthogonalised Nesterov momentum.

    Args:
        parameters: Matrices, or kernels of convolutions, which count as (out, in x height x width).
        lr: Spectral norm of a step, before the factor for tall matrices, sqrt(rows / cols).
        weight_decay: Decoupled.
        momentum: Averaging of the gradient.
        steps: Newton-Schulz iterations.

    Raises:
        ValueError: A parameter is no matrix and no kernel.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 0.02,
        *,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        steps: int = 5,
    ):
        given = list(parameters)
        for parameter in given:
            if parameter.ndim < 2:
                raise ValueError(f"Muon got a parameter of shape {tuple(parameter.shape)}, expected a matrix")
        super().__init__(
            given, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step for every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[(*parameter.flatten(1).shape, parameter.device.index or 0)].append(parameter)
            for parameters in alike.values():
                self._move(parameters, group["lr"], group["weight_decay"], group["momentum"], group["steps"])
        return loss

    def _move(
        self, parameters: list[Tensor], lr: float, weight_decay: float, momentum: float, steps: int
    ) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        averages = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, averages, momentum)
        # A matrix can be made orthogonal only as a whole; where weights are divided, every process does it.
        matrices = torch.stack([whole(one).flatten(1) for one in ahead])  # (n, rows, cols)
        scale = max(1.0, matrices.shape[1] / matrices.shape[2]) ** 0.5
        moves = orthogonal(matrices, steps).to(matrices.dtype)
        torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        shaped = [
            divided_like(move.view(one.shape), one) for move, one in zip(moves, parameters, strict=True)
        ]
        torch._foreach_add_(parameters, shaped, alpha=-lr * scale)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices with the same singular vectors, and singular values between about 0.7 and 1.2.

    In bfloat16, which is enough: the result is a direction. On a CPU in float32: few have bfloat16, and the
    others take four times as long to imitate it. (n, rows, cols) -> the same shape, in that dtype.
    """
    a, b, c = QUINTIC
    x = matrices.to(torch.float32 if matrices.device.type == "cpu" else torch.bfloat16)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
