"""Small towers of every kind, and a float64 forward pass that forms every weight. Shared by the tests."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from vit.vision import VisionTransformer

from ..towers import vision_tower

B, H, L = 3, 2, 4
ROWS, COLS = 5, 7
CLASSES = 11
IMAGES = torch.randn(B, 1, 10, 21, generator=torch.Generator().manual_seed(1))

KINDS = {
    "cls": {"pool": "cls"},
    "registers": {"pool": "cls", "registers": 3},
    "mean": {"pool": "mean", "class_token": False, "pool_norm": True, "encoder_norm": False},
    "mean with class token": {"pool": "mean", "registers": 2},
    "attention pool": {"pool": "attention", "class_token": False},
    "attention pool of all tokens": {"pool": "attention_all", "registers": 2},
}


def tower(**arguments: object) -> VisionTransformer:
    settings = {"patch_size": (2, 3), "width": 26, "depth": L, "heads": H, "channels": 1}
    model = vision_tower(CLASSES, (10, 21), **settings | arguments).eval()
    for block in model.encoder.blocks:  # sharp attention and a head that tells, so that mistakes show
        nn.init.normal_(block.attention.query.weight, std=0.4)
    nn.init.normal_(model.head.weight, std=0.3)
    return model


class Reference:
    """The model in float64 by plain products; `weights` are in the graph, so that they have gradients.

    Attributes:
        weights: L x (B, H, N, N), leaves of nothing: each keeps its gradient.
        tokens: L x (B, N, D), after each block.
        pool_weights: (B, H, 1, patches) of the attention pool, (B, H, 1, N) of one of all tokens, or None.
    """

    def __init__(self, model: VisionTransformer, images: Tensor, cut: bool = False):
        self.model = deepcopy(model).double()
        self.weights: list[Tensor] = []
        self.tokens: list[Tensor] = []
        self.pool_weights: Tensor | None = None
        tokens = self.model.embed(images.double())
        for block in self.model.encoder.blocks:
            tokens = tokens.detach() if cut else tokens
            mixed, weights = self._attention(block.attention, block.attention_norm(tokens))
            self.weights.append(weights)
            tokens = tokens + block.attention_scale(mixed)
            tokens = tokens + block.mlp_scale(block.mlp(block.mlp_norm(tokens)))
            self.tokens.append(tokens)
        self.states = self.model.encoder.norm(tokens)

    def logits(self, states: Tensor | None = None) -> Tensor:
        """The head's, from final tokens after the norm."""
        states = self.states if states is None else states
        prefix, kind = self.model.prefix, self.model.pool_kind
        if kind == "cls":
            pooled = states[:, 0]
        elif kind == "mean":
            pooled = states[:, prefix:].mean(1)
        else:
            pool = self.model.pool
            query = pool.query.expand(len(states), -1, -1)
            read = states if kind == "attention_all" else states[:, prefix:]
            pooled, self.pool_weights = self._attention(pool.attention, query, read)
            pooled = (pooled + pool.mlp(pool.mlp_norm(pooled)))[:, 0]
        return self.model.head(self.model.pool_norm(pooled))

    @staticmethod
    def _attention(layer: nn.Module, tokens: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        context = tokens if context is None else context

        def heads(part: Tensor) -> Tensor:
            return part.unflatten(-1, (layer.heads, -1)).transpose(1, 2)

        query, key, value = heads(layer.query(tokens)), heads(layer.key(context)), heads(layer.value(context))
        weights = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1)
        if weights.requires_grad:
            weights.retain_grad()
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        return layer.output(mixed), weights
