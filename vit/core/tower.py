"""The interface that all towers share: from inputs of one kind to tokens, states and logits."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from vit.core.encoder import Encoder
from vit.core.relations import Relation


class Tower(Protocol):
    """An encoder with its embedding before it, and a pool and a head after it.

    Inputs are images, float (B, C, height, width), or token ids, int64 (B, N), as `reads` says.

    Attributes:
        reads: `image` or `text`.
        labels: Class names in the order of the logits; empty if unknown.
        thresholds: For a model that gives an input several labels, or none: one probability per label, from
            which on an input has it. Empty for a model that gives each input one label.
        preprocess: From an image or a text to an input; None if unknown.
        architecture: The constructor's arguments as plain values, and `tower`: which tower it is.
        source: Where the weights come from: `word`, and where known `sha256`, `license`. Empty: trained here.
        autocast: Half-precision dtype of the matrix products of `__call__` and `features`; None: that of the
            weights.
        prefix: Number of tokens before the patches.
        prefix_names: Their names: `class`, `register 1`, ...
        pool_kind: A name in `vit.core.pooling.POOLS`.
        encoder: The blocks.
        head: From pooled features to logits; an identity where there is none.
    """

    reads: Literal["image", "text"]
    labels: list[str]
    thresholds: list[float]
    preprocess: Any
    architecture: dict[str, Any]
    source: dict[str, str]
    autocast: torch.dtype | None
    prefix: int
    prefix_names: tuple[str, ...]
    pool_kind: str
    encoder: Encoder
    head: nn.Module

    @property
    def usual_tokens(self) -> int:
        """Tokens of an input of the usual size: the patches of `image_size`, or the longest text."""
        ...

    def __call__(self, inputs: Tensor, *, exact: bool = False) -> Tensor:
        """Inputs -> logits (B, classes).

        Args:
            inputs: A batch.
            exact: Compute in the weights' dtype, without autocast.
        """
        ...

    def features(self, inputs: Tensor, *, exact: bool = False) -> Tensor:
        """Inputs -> pooled features (B, F): what the head reads. Arguments as in `__call__`."""
        ...

    def mask(self, inputs: Tensor) -> Tensor | None:
        """Bool (B, N), `False` at padding; None where inputs have no padding."""
        ...

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs -> (B, N, D), the input of the first block."""
        ...

    def relations(self, inputs: Tensor) -> Sequence[Relation] | None:
        """What each layer's attention knows of positions beside the tokens; None: nothing."""
        ...

    def encode(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs -> (B, N, D), after the final norm, in the weights' dtype."""
        ...

    def read(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """States as `encode` gives them -> logits (B, classes)."""
        ...

    def read_token(self, tokens: Tensor) -> Tensor:
        """Logits (..., classes) of states (..., D) read one at a time (the "logit lens")."""
        ...

    def grid(self, inputs: Tensor) -> tuple[int, int]:
        """Rows and columns of the inputs' patches; a text is one row of tokens."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """See `torch.nn.Module`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """See `torch.nn.Module`."""
        ...


def probabilities(tower: Any, logits: Tensor) -> Tensor:
    """Logits (..., classes) -> probabilities, of the same shape and dtype.

    Of a tower with `thresholds` each label has its own, by the sigmoid; otherwise they sum to 1, by softmax.
    """
    return logits.sigmoid() if tower.thresholds else logits.softmax(-1)


def final_states(tower: Any, inputs: Tensor, *, exact: bool, **arguments: Any) -> Tensor:
    """(B, N, D), as `Tower.encode`, with matrix products in the tower's `autocast` dtype unless `exact`.

    The result has the weights' dtype, so that pool and head compute in it.

    Args:
        tower: The tower.
        inputs: Images or ids.
        exact: Compute in the weights' dtype, without autocast.
        arguments: Further arguments of `encode`.
    """
    if exact or tower.autocast is None:
        return tower.encode(inputs, **arguments)
    with torch.autocast(inputs.device.type, tower.autocast):
        states = tower.encode(inputs, **arguments)
    return states.to(next(tower.parameters()).dtype)


def initialise(tower: nn.Module) -> None:
    """Matrices by Glorot & Bengio (2010), biases zero, embeddings of length 1, and a zero `head`: uniform
    scores.

    A fixed standard deviation such as 0.02 suits one width; at small widths attention stays uniform for the
    first epochs.
    """
    for module in tower.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
    if isinstance(tower.head, nn.Linear):
        nn.init.zeros_(tower.head.weight)


def plain_arguments(tower: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A constructor's arguments as values that JSON can hold; the fields of its `BlockSpec` first.

    Args:
        tower: The value of the key `tower`.
        arguments: Name to value, as `locals()` gives them on the first line of `__init__`.
    """
    names = {name: value for name, value in arguments.items() if name not in ("self", "__class__", "block")}
    flat = {"tower": tower} | vars(arguments["block"]) | names
    return {name: _plain(value) for name, value in flat.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(part) for name, part in vars(value).items()}
    return list(value) if isinstance(value, tuple) else value
