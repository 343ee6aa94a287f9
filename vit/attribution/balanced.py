"""Balanced gradients (LibraGrad; Mehri, Baghshah & Pilehvar 2025, section 3.5).

Every operation keeps its value, bit for bit, and gets the gradient of a linear function that has the same
value at this input. The score is then the sum of what inputs and biases contribute to it, value times
gradient ("FullGrad-complete", definition 1):

    attention     softmax(Q K^T) V       weights are constant: gradients reach the values alone
    norms         (x - mean) / deviation the deviation is constant
    activations   x gate(x)              the gate is constant: GELU, SiLU, and tanh as x (tanh(x) / x)
    gated MLPs    f(x) g(x)              each factor gets half of its gradient (theorem 4)

ReLU, max pooling and batch norm in evaluation are linear around an input as they are.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from vit.attribution.passes import (
    ENCODER,
    query_logits,
    require_depth,
    target_logits,
    whole_mask,
    without_weights,
)
from vit.attribution.query import Query
from vit.core import Recording, Slot, Tower, watch_attention


class _Times(torch.autograd.Function):
    """A value computed elsewhere, whose gradient by `source` is a constant factor."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, value: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (factor,) = ctx.saved_tensors
        return gradients[0] * factor, None, None


class _Biased(torch.autograd.Function):
    """A value unchanged; `ones` (B, N, 1), the factor of the bias in it, gets the bias's contribution."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, ones: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(bias)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (bias,) = ctx.saved_tensors
        return gradients[0], (gradients[0] @ bias)[..., None], None


def _layer_norm(
    source: Tensor,
    shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    with torch.no_grad():
        value, _, scale = torch.native_layer_norm(source, shape, weight, bias, eps)
    centred = source - source.mean(-1, keepdim=True)
    return _Times.apply(centred, value, scale if weight is None else scale * weight)


def _rms_norm(
    source: Tensor, shape: list[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    with torch.no_grad():
        value = functional.rms_norm(source, shape, weight, eps)
        floor = torch.finfo(source.dtype).eps if eps is None else eps
        scale = (source.square().mean(-1, keepdim=True) + floor).rsqrt()
    return _Times.apply(source, value, scale if weight is None else scale * weight)


def _gated(
    at_zero: float, function: Callable[..., Tensor], source: Tensor, *others: Any, **options: Any
) -> Tensor:
    """x gate(x) with a constant gate, which is `at_zero` for x = 0."""
    with torch.no_grad():
        value = function(source, *others, **options)
        gate = torch.where(source == 0, at_zero, value / source)
    return _Times.apply(source, value, gate)


def _product(one: Any, other: Any) -> Tensor:
    """A product; each of two factors that depend on the input gets half of its gradient.

    A sigmoid as a factor is a gate, as in x sigmoid(1.702 x), and constant.
    """
    factors = [one, other]
    if not all(isinstance(factor, Tensor) and factor.requires_grad for factor in factors):
        return one * other
    if any(_is_sigmoid(factor) for factor in factors):
        one, other = (factor.detach() if _is_sigmoid(factor) else factor for factor in factors)
    else:
        half = torch.tensor(0.5, dtype=one.dtype, device=one.device)
        one, other = (_Times.apply(factor, factor, half) for factor in factors)
    return one * other


def _is_sigmoid(factor: Tensor) -> bool:
    return factor.grad_fn is not None and factor.grad_fn.name() == "SigmoidBackward0"


_RULES: dict[Callable[..., Any], Callable[..., Tensor]] = {
    functional.layer_norm: _layer_norm,
    functional.rms_norm: _rms_norm,
    functional.gelu: partial(_gated, 0.5, functional.gelu),
    functional.silu: partial(_gated, 0.5, functional.silu),
    torch.tanh: partial(_gated, 1.0, torch.tanh),
    torch.Tensor.mul: _product,
}
_BIASES = {functional.linear: 2, functional.layer_norm: 3}  # the bias's place among the arguments


class _Balanced(TorchFunctionMode):
    """Calls of torch with the gradients above.

    Args:
        ones: (B, N, 1), whose gradient will be what the biases added at each token contribute; None: not
            asked for.
    """

    def __init__(self, ones: Tensor | None = None):
        super().__init__()
        self.ones = ones

    def __torch_function__(
        self,
        function: Any,
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Any:
        options = options or {}
        value = _RULES.get(function, function)(*arguments, **options)
        place = _BIASES.get(function)
        if self.ones is None or place is None:
            return value
        bias = arguments[place] if len(arguments) > place else options.get("bias")
        if bias is None or value.shape[:-1] != self.ones.shape[:-1]:
            return value
        return _Biased.apply(value, self.ones, bias)


class BalancedPass(NamedTuple):
    """A forward pass, and the target's score differentiated by balanced gradients.

    Args:
        grid: (rows, cols) of patches.
        inputs: (B, C, height, width); None for texts, whose inputs are the states of the first block.
        inputs_gradient: Likewise, of the score by the inputs.
        states: L x (B, N, D), the input of each block.
        gradients: L x (B, N, D), of the score by these.
        biases: L x (B, N), what the biases of each block contribute at each token, the last with those of the
            final norm; empty if they were not asked for.
        last: (B, N, D), after the last block.
        logits: (B, classes), the model's own.
        score: (B,), the logit explained, of the query.
        targets: int64 (B,), the classes explained.
    """

    grid: tuple[int, int]
    inputs: Tensor | None
    inputs_gradient: Tensor | None
    states: list[Tensor]
    gradients: list[Tensor]
    biases: list[Tensor]
    last: Tensor
    logits: Tensor
    score: Tensor
    targets: Tensor


def balanced_pass(
    model: Tower, inputs: Tensor, query: Query, targets: Tensor | None, *, biases: bool = False
) -> BalancedPass:
    """One forward and one backward pass; fused attention stays on in both.

    Args:
        model: In eval mode, with a head.
        inputs: Images or ids.
        query: The token that is explained.
        targets: int64 (B,); None: the predicted classes.
        biases: Whether the biases' contributions are asked for.

    Raises:
        RuntimeError: A block that does not attend through `vit.core.Attention`.
    """
    recorded: list[Slot] = []

    def visit(slot: Slot, recording: Recording, values: Tensor, mixed: Tensor) -> None:
        recorded.append(slot)
        for part in (recording.query, recording.key):
            if part.requires_grad:
                part.register_hook(torch.zeros_like)

    depth = len(model.encoder.blocks)
    reads_pixels = model.reads == "image"
    with without_weights(model), watch_attention(model, visit), _Balanced() as balanced:
        inputs = inputs.detach().clone().requires_grad_(reads_pixels)
        tokens = model.embed(inputs, whole_mask(model, inputs))
        grid = model.grid(inputs)
        if not reads_pixels:
            tokens = tokens.requires_grad_()
        layers = model.encoder.layers(tokens, relations=model.relations(inputs))
        states: list[Tensor] = []
        ones: list[Tensor] = []
        for _ in range(depth):
            if biases:
                balanced.ones = torch.ones_like(tokens[..., :1]).requires_grad_()
                ones.append(balanced.ones)
            states.append(tokens)
            tokens = next(layers)
        require_depth(sum(slot.stack == ENCODER for slot in recorded), depth, "the whole model")
        final = model.encoder.norm(tokens)
        balanced.ones = None
        logits = model.read(final)
        targets = logits.argmax(1) if targets is None else targets
        score = target_logits(logits if query == "cls" else query_logits(model, final, query, grid), targets)
        wanted = [*states, *ones, *([inputs] if reads_pixels else [])]
        found = torch.autograd.grad(score.sum(), wanted, allow_unused=True, materialize_grads=True)
    return BalancedPass(
        grid,
        inputs.detach() if reads_pixels else None,
        found[-1] if reads_pixels else None,
        [state.detach() for state in states],
        list(found[:depth]),
        [part[..., 0] for part in found[depth : depth + len(ones)]],
        tokens.detach(),
        logits.detach(),
        score.detach(),
        targets,
    )


def contribution(values: Tensor, gradient: Tensor) -> Tensor:
    """Value times gradient, summed over the last axis: (..., D) twice -> (...), at least float32."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    return (values.to(dtype) * gradient.to(dtype)).sum(-1)
