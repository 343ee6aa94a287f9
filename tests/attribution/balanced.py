"""LibraGrad in float64, written from its paper: a copy of a model whose parts have constant factors.

Mehri, Baghshah & Pilehvar 2025, section 3.5: `detach` is the constant operator. Weights are formed, and
every bias stands in the graph as a tensor of its own for each token.
"""

from copy import deepcopy
from math import pi, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from vit.core import Attention
from vit.core.mlp import Mlp, QuickGelu


class Biases:
    """The biases added in a forward pass, in order, each in the shape of what it was added to."""

    def __init__(self) -> None:
        self.added: list[Tensor] = []

    def add(self, values: Tensor, bias: Tensor | None) -> Tensor:
        if bias is None:
            return values
        self.added.append(bias.detach().expand(values.shape).clone().requires_grad_())
        return values + self.added[-1]


class PaperLinear(nn.Module):
    def __init__(self, layer: nn.Linear, biases: Biases):
        super().__init__()
        self.weight, self.bias, self.biases = layer.weight, layer.bias, biases

    def forward(self, x: Tensor) -> Tensor:
        return self.biases.add(torch.einsum("...d,kd->...k", x, self.weight), self.bias)


class PaperNorm(nn.Module):
    """(x - E x) over a constant deviation; of RMSNorm x over a constant root mean square."""

    def __init__(self, norm: Any, biases: Biases):
        super().__init__()
        self.norm, self.biases, self.centred = norm, biases, isinstance(norm, nn.LayerNorm)

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True) if self.centred else x
        deviation = ((x**2).mean(-1, keepdim=True) + self.norm.eps).sqrt().detach()
        return self.biases.add(x / deviation * self.norm.weight, getattr(self.norm, "bias", None))


class PaperActivation(nn.Module):
    """x gate(x), the gate constant."""

    def __init__(self, activation: nn.Module):
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.activation, nn.GELU) and self.activation.approximate == "none":
            gate = (1 + torch.erf(x / sqrt(2))) / 2
        elif isinstance(self.activation, nn.GELU):
            gate = (1 + torch.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2
        elif isinstance(self.activation, nn.SiLU):
            gate = 1 / (1 + (-x).exp())
        elif isinstance(self.activation, QuickGelu):
            gate = 1 / (1 + (-1.702 * x).exp())
        else:
            gate = torch.tanh(x) / x
        return x * gate.detach()


class PaperGating(nn.Module):
    """A gated MLP: the gradient of each factor halved (theorem 4)."""

    def __init__(self, mlp: Mlp):
        super().__init__()
        self.mlp = mlp

    def forward(self, tokens: Tensor) -> Tensor:
        one, other = self.mlp.activation(self.mlp.gate(tokens)), self.mlp.expand(tokens)
        hidden = (one * other.detach() + one.detach() * other) / 2
        return self.mlp.contract(hidden if self.mlp.norm is None else self.mlp.norm(hidden))


class PaperAttention(nn.Module):
    """softmax(Q K^T) V with constant weights."""

    def __init__(self, layer: Attention):
        super().__init__()
        self.layer = layer

    def forward(
        self,
        tokens: Tensor,
        context: Tensor | None = None,
        mask: Any = None,
        packing: Any = None,
        **given: Any,
    ) -> Tensor:
        layer, relation = self.layer, given.get("relation")
        source = tokens if context is None else context

        def heads(flat: Tensor) -> Tensor:
            return flat.unflatten(-1, (layer.heads, -1)).transpose(1, 2)

        query = layer.query_norm(heads(layer.query(tokens)))
        key, value = layer.key_norm(heads(layer.key(source))), heads(layer.value(source))
        if relation is not None and relation.rotation is not None:
            query, key = relation.rotation(query), relation.rotation(key)
        scores = torch.einsum("bhnk,bhmk->bhnm", query, key) * layer.scale
        if relation is not None and relation.bias is not None:
            scores = scores + relation.bias
        if relation is not None and relation.mask is not None:
            scores = scores.masked_fill(~relation.mask, -torch.inf)
        powers = (scores - scores.amax(-1, keepdim=True)).exp()
        weights = (powers / powers.sum(-1, keepdim=True)).detach()
        mixed = torch.einsum("bhnm,bhmk->bhnk", weights, value).transpose(1, 2).flatten(2)
        return layer.output(mixed if layer.mixed_norm is None else layer.mixed_norm(mixed))


def by_the_paper(model: Any) -> tuple[Any, Biases]:
    """A float64 copy with the paper's parts, and the list that its biases will be in."""
    copy, biases = deepcopy(model).double().requires_grad_(False), Biases()
    _replace(copy, biases)
    return copy, biases


def _replace(module: nn.Module, biases: Biases) -> None:
    for name, child in list(module.named_children()):
        _replace(child, biases)
        if isinstance(child, nn.Linear):
            setattr(module, name, PaperLinear(child, biases))
        elif isinstance(child, nn.LayerNorm | nn.RMSNorm):
            setattr(module, name, PaperNorm(child, biases))
        elif isinstance(child, nn.GELU | nn.SiLU | QuickGelu | nn.Tanh):
            setattr(module, name, PaperActivation(child))
        elif isinstance(child, Mlp) and child.gate is not None:
            setattr(module, name, PaperGating(child))
        elif isinstance(child, Attention):
            setattr(module, name, PaperAttention(child))


class LibraReference:
    """The gradients of the targets' logits in a copy by the paper.

    Attributes:
        pixels: (B, C, height, width), the input, for images.
        states: L x (B, N, D), the input of each block.
        biases: Those added in the blocks and the final norm, (B, N, width) each.
        after: Those added after that, (B, ..., width) each.
        score: (B,)
        gradient: Of `score.sum()` by any of these, by the tensor's id.
    """

    def __init__(self, model: Any, inputs: Tensor, targets: Tensor):
        self.model, biases = by_the_paper(model)
        images = inputs.is_floating_point()
        inputs = inputs.double().requires_grad_() if images else inputs
        self.pixels = inputs if images else None
        mask = None if images else torch.ones_like(inputs, dtype=torch.bool)
        tokens = self.model.embed(inputs, mask)
        tokens = tokens if images else tokens.detach().requires_grad_()
        begun = len(biases.added)
        self.states = []
        for after in self.model.encoder.layers(tokens, relations=self.model.relations(inputs)):
            self.states.append(tokens)
            tokens = after
        final = self.model.encoder.norm(tokens)
        ended = len(biases.added)
        self.score = self.model.read(final).gather(1, targets[:, None])[:, 0]
        self.biases, self.after = biases.added[begun:ended], biases.added[ended:]
        wanted = [*self.states, *self.biases, *self.after, *([inputs] if images else [])]
        found = torch.autograd.grad(self.score.sum(), wanted, allow_unused=True, materialize_grads=True)
        self.gradient = {id(part): gradient for part, gradient in zip(wanted, found, strict=True)}

    def of(self, part: Tensor) -> Tensor:
        """Value times gradient: (B, ..., D) -> (B, ...)."""
        return (part * self.gradient[id(part)]).sum(-1).detach()
