"""Linear layers between pooled features and a sentence's vector: the `Dense` of sentence-transformers."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

Projection = tuple[int, str, bool]  # width of the result; activation; whether there is a bias

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, "tanh"),
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}


def make_projections(projections: Sequence[Projection], width: int) -> nn.Sequential | None:
    """(..., width) -> (..., width of the last): linear layer, activation, linear layer, ...; None for none.

    Raises:
        ValueError: An unknown activation.
    """
    layers: list[nn.Module] = []
    for after, activation, bias in projections:
        if activation not in ACTIVATIONS:
            raise ValueError(f"projection has {activation!r}, expected one of: {', '.join(ACTIVATIONS)}")
        layers += [nn.Linear(width, after, bias=bias), ACTIVATIONS[activation]()]
        width = after
    return nn.Sequential(*layers) if layers else None
