"""Optimisers, decay groups, and the schedule."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from vit.training.muon import Muon


def decay_groups(named: Iterable[tuple[str, Tensor]], weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters: matrices and kernels decay; biases, norms, tokens and positions do not.

    What is added to every picture alike (a token, a position, a bias) has no reason to be small.
    """
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in named:
        matrix = parameter.ndim > 1 and name.endswith("weight")
        (decayed if matrix else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_optimizer(
    model: nn.Module,
    name: str = "adamw",
    *,
    lr: float = 1e-3,
    muon_lr: float = 0.02,
    weight_decay: float = 0.05,
    betas: tuple[float, float] = (0.9, 0.99),
) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019), or Muon (Jordan et al. 2024) beside it.

    Args:
        model: Its parameters that require a gradient. Muon takes the matrices below `encoder` and the kernels
            of convolutions; what reads patches or writes logits stays with AdamW, as Muon's authors advise.
        name: `adamw` or `muon`.
        lr: AdamW's rate.
        muon_lr: Muon's rate; an orthogonal step is measured in other units.
        weight_decay: On matrices.
        betas: AdamW's.

    Raises:
        ValueError: Another name.
    """
    named = [(key, parameter) for key, parameter in model.named_parameters() if parameter.requires_grad]
    if name not in ("adamw", "muon"):
        raise ValueError(f"optimizer is {name!r}, expected 'adamw' or 'muon'")
    if name == "adamw":
        return CombinedOptimizer([AdamW(decay_groups(named, weight_decay), lr=lr, betas=betas, fused=True)])
    matrices = [p for key, p in named if p.ndim == 4 or (p.ndim == 2 and key.startswith("encoder."))]
    taken = {id(p) for p in matrices}
    rest = [(key, p) for key, p in named if id(p) not in taken]
    # Decoupled decay shrinks by rate x decay each step: scaled so that both halves shrink alike.
    muon = Muon(matrices, lr=muon_lr, weight_decay=weight_decay * lr / muon_lr)
    return CombinedOptimizer([muon, AdamW(decay_groups(rest, weight_decay), lr=lr, betas=betas, fused=True)])


class CombinedOptimizer(Optimizer):
    """One or several optimisers behind the face of one.

    Lightning automates clipping, precision and accumulation for one optimiser and counts its steps; with
    two it does neither. It also refuses to clip for a fused AdamW in 16-mixed, which would take the scale of
    the loss out by itself; here it sees an optimiser that does not. The parts share this object's groups and
    state.

    Args:
        parts: Optimisers over disjoint parameters.
    """

    def __init__(self, parts: list[Optimizer]):
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        start = 0
        for part in self.parts:
            stop = start + len(part.param_groups)
            part.param_groups = self.param_groups[start:stop]
            part.state = self.state
            start = stop

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` saved."""
        super().load_state_dict(state_dict)
        self.state = defaultdict(dict, self.state)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step of every part."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss


def rate(progress: float, *, warmup: float = 0.05, schedule: str = "cosine") -> float:
    """The learning rate as a factor of its peak.

    Args:
        progress: How much of the run is done, 0 to 1, by steps or by the clock.
        warmup: Part of the run in which the rate rises linearly from zero.
        schedule: What follows: `cosine` or `linear` to zero, or `constant`.

    Raises:
        ValueError: Another schedule.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return progress / warmup
    left = (1 - progress) / (1 - warmup) if warmup < 1 else 0.0
    if schedule == "cosine":
        return 0.5 - 0.5 * math.cos(math.pi * left)
    if schedule == "linear":
        return left
    if schedule == "constant":
        return 1.0
    raise ValueError(f"schedule is {schedule!r}, expected 'cosine', 'linear' or 'constant'")
