"""Optimisers, weight decay groups, and the learning rate schedule."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from vit.training.muon import Muon

# Parameters of towers that act before the first block.
BEFORE_BLOCKS = (
    "tokenizer.", "class_token", "registers", "positions.", "token_embedding.", "segments.",
    "embedding_norm.", "neighbours.",
)  # fmt: skip


def decay_groups(named: Iterable[tuple[str, Tensor]], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay for matrices and kernels; none for biases, norms, tokens and positions.

    Decay keeps weights small, and what is the same for every input (a token, a position, a bias) need not be.

    Args:
        named: Names and parameters, as `named_parameters` gives them.
        weight_decay: Weight decay of the first group.
    """
    decayed: list[Tensor] = []
    not_decayed: list[Tensor] = []
    for name, parameter in named:
        is_matrix = parameter.ndim > 1 and name.endswith("weight")
        (decayed if is_matrix else not_decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": not_decayed, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def layer_factors(names: Sequence[str], layer_decay: float) -> dict[str, float]:
    """The learning rate of each parameter, as a fraction of the head's.

    Block l of L has `layer_decay` to the power L - l, counted from 0; what is before the blocks L + 1; the
    head, its pool and the norms before it 0 (BEiT, Bao et al. 2022, `get_num_layer_for_vit`).

    Args:
        names: Of all parameters of a tower, or of a head alone.
        layer_decay: In (0, 1].
    """
    blocks = [re.match(r"encoder\.blocks\.(\d+)\.", name) for name in names]
    depth = max((int(block[1]) + 1 for block in blocks if block), default=0)

    def layers_above(name: str, block: re.Match[str] | None) -> int:
        if block:
            return depth - int(block[1])
        return depth + 1 if name.startswith(BEFORE_BLOCKS) else 0

    return {name: layer_decay ** layers_above(name, block) for name, block in zip(names, blocks, strict=True)}


def build_optimizer(
    model: nn.Module,
    name: str = "adamw",
    *,
    lr: float = 1e-3,
    muon_lr: float = 0.02,
    weight_decay: float = 0.05,
    betas: tuple[float, float] = (0.9, 0.99),
    layer_decay: float = 1.0,
) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019), or Muon (Jordan et al. 2024) with AdamW for the rest.

    Args:
        model: Its parameters that require a gradient are optimised. Muon takes the matrices below `encoder`
            and the convolution kernels; patch projection, embedding and head stay with AdamW, as Muon's
            authors advise.
        name: `adamw` or `muon`.
        lr: Learning rate of AdamW.
        muon_lr: Learning rate of Muon, whose orthogonal steps have another scale.
        weight_decay: Decoupled, on matrices and kernels.
        betas: AdamW's.
        layer_decay: As in `layer_factors`, for both; the groups with the head's rate are the last of each.

    Raises:
        ValueError: `name` is another.
    """
    named = [(key, parameter) for key, parameter in model.named_parameters() if parameter.requires_grad]
    if name not in ("adamw", "muon"):
        raise ValueError(f"optimizer is {name!r}, expected 'adamw' or 'muon'")
    matrices: list[tuple[str, Tensor]] = []
    if name == "muon":
        matrices = [
            (key, p) for key, p in named if p.ndim == 4 or (p.ndim == 2 and key.startswith("encoder."))
        ]
    taken = {key for key, _ in matrices}
    rest = [(key, p) for key, p in named if key not in taken]
    factors = layer_factors([key for key, _ in named], layer_decay)
    parts: list[Optimizer] = []
    if matrices:
        groups = [
            {"params": [p for _, p in part], "lr": muon_lr * factor}
            for factor, part in _by_factor(matrices, factors)
        ]
        # A step decays weights by lr x weight_decay: scaled so that it is the same for both optimisers.
        parts.append(Muon(groups, lr=muon_lr, weight_decay=weight_decay * lr / muon_lr))
    groups = [
        group | {"lr": lr * factor}
        for factor, part in _by_factor(rest, factors)
        for group in decay_groups(part, weight_decay)
    ]
    return CombinedOptimizer([*parts, AdamW(groups, lr=lr, betas=betas, fused=True)])


def _by_factor(
    named: Sequence[tuple[str, Tensor]], factors: dict[str, float]
) -> list[tuple[float, list[tuple[str, Tensor]]]]:
    """Parameters that share a learning rate, the lowest rate first."""
    found: dict[float, list[tuple[str, Tensor]]] = defaultdict(list)
    for key, parameter in named:
        found[factors[key]].append((key, parameter))
    return sorted(found.items())


class CombinedOptimizer(Optimizer):
    """One or several optimisers as a single `Optimizer`.

    Lightning clips gradients, scales the loss, accumulates batches and counts steps only for a single
    optimiser. It also refuses to clip gradients for a fused AdamW in 16-mixed, because that would unscale
    them itself; this class does not, so Lightning unscales and clips. The parts share this object's
    parameter groups and state.

    Args:
        parts: Optimisers over disjoint parameters.

    Attributes:
        found_inf: float32 (), 1 where the next step must change nothing, as torch's fused optimisers have it:
            they find out on the device, and the host does not wait. None: a step is a step.
    """

    def __init__(self, parts: list[Optimizer]):
        self.parts = parts
        self.found_inf: Tensor | None = None
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
        """Load a state of `state_dict`, for all parts."""
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
            part.found_inf = self.found_inf  # type: ignore[attr-defined]
            part.step()
        return loss


def lr_factor(progress: float, *, warmup: float = 0.05, schedule: str = "cosine") -> float:
    """The learning rate as a fraction of its peak, 0 to 1.

    Args:
        progress: Fraction of the run that is done, 0 to 1, by steps or by the clock.
        warmup: Fraction of the run in which the learning rate rises linearly from zero.
        schedule: After the warm-up: `cosine` or `linear` decay to zero, or `constant`.

    Raises:
        ValueError: `schedule` is another.
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
