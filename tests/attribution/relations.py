"""Towers whose attention knows of positions, and a float64 pass that forms weights by its own formulas."""

from copy import deepcopy
from math import log, pi
from typing import Any

import torch
from torch import Tensor

from ..towers import text_tower, vision_tower

B, H, L, K = 3, 2, 4, 12
ROWS, COLS, WORDS, VOCABULARY = 5, 7, 9, 31
CLASSES = 11
NOISE = torch.Generator().manual_seed(1)
IMAGES = torch.randn(B, 1, 10, 21, generator=NOISE)
IDS = torch.randint(1, VOCABULARY, (B, WORDS), generator=NOISE)

KINDS: dict[str, dict[str, Any]] = {
    "rotary image tower": {
        "image": True,
        "registers": 2,
        "positions": "none",
        "relative": {"kind": "rotary", "temperature": 37.0},
    },
    "gated image tower with a table and RMS norms": {
        "image": True,
        "positions": "none",
        "relative": {"kind": "table", "rows": ROWS, "cols": COLS, "prefix_bias": True},
        "gated": True,
        "activation": "silu",
        "norm_kind": "rms",
        "pool": "mean",
    },
    "image tower that reads its prefix": {"image": True, "registers": 1, "pool": "prefix"},
    "image tower that reads the mean of all": {"image": True, "registers": 2, "pool": "mean_all"},
    "causal text tower": {"norm": "pre", "causal": True, "pool": "last", "encoder_norm": True},
    "rotary text tower with windows": {
        "norm": "pre",
        "positions": "none",
        "relative": {"kind": "rotary", "temperature": [50.0, 9.0] * 2, "window": [None, 2] * 2},
        "pool": "mean",
        "encoder_norm": True,
    },
    "post-norm text tower with buckets": {
        "norm": "post",
        "relative": {"kind": "buckets", "buckets": 8, "max_distance": 7},
    },
}


def related_tower(kind: str) -> Any:
    """A tower of `KINDS` with all parameters moved, and attention sharp enough that mistakes show."""
    arguments = {"width": H * K, "depth": L, "heads": H} | KINDS[kind]
    if arguments.pop("image", False):
        model = vision_tower(CLASSES, (10, 21), channels=1, patch_size=(2, 3), **arguments).eval()
    else:
        model = text_tower(CLASSES, VOCABULARY, length=WORDS + 4, **arguments).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def inputs_of(model: Any) -> Tensor:
    return IMAGES if model.reads == "image" else IDS


class RelatedReference:
    """The model in float64, its attention formed weight by weight.

    Attributes:
        weights: L x (B, H, N, N), each keeps its gradient.
        tokens: L x (B, N, D), after each block.
        allowed: L x bool (N, N).
    """

    def __init__(self, model: Any, kind: str, cut: bool = False):
        self.model = deepcopy(model).double()
        self.relative = KINDS[kind].get("relative", {})
        self.weights: list[Tensor] = []
        self.tokens: list[Tensor] = []
        inputs = inputs_of(model)
        tokens = self.model.embed(inputs.double() if inputs.is_floating_point() else inputs)
        self.allowed = [self._allowed(layer, tokens.shape[1]) for layer in range(L)]
        post = KINDS[kind].get("norm") == "post"
        for layer, block in enumerate(self.model.encoder.blocks):
            tokens = tokens.detach() if cut else tokens
            if post:
                tokens = block.attention_post_norm(tokens + self._attention(layer, tokens))
                tokens = block.mlp_post_norm(tokens + block.mlp(tokens))
            else:
                tokens = tokens + self._attention(layer, block.attention_norm(tokens))
                tokens = tokens + block.mlp(block.mlp_norm(tokens))
            self.tokens.append(tokens)
        self.states = tokens if post else self.model.encoder.norm(tokens)

    def logits(self, states: Tensor | None = None) -> Tensor:
        states = self.states if states is None else states
        prefix = self.model.prefix
        pooled = {
            "cls": lambda: states[:, 0],
            "last": lambda: states[:, -1],
            "mean": lambda: states[:, prefix:].mean(1),
            "mean_all": lambda: states.mean(1),
            "prefix": lambda: torch.cat([states[:, place] for place in range(prefix)], -1),
        }[self.model.pool_kind]()
        return self.model.head(pooled)

    def read(self, joint: Tensor) -> Tensor:
        """The rows of (B, N, N) that the head reads, averaged: (B, N)."""
        prefix = self.model.prefix
        rows = {
            "cls": slice(0, 1),
            "last": slice(-1, None),
            "mean": slice(prefix, None),
            "mean_all": slice(0, None),
            "prefix": slice(0, prefix),
        }[self.model.pool_kind]
        return joint[:, rows].mean(1)

    def _attention(self, layer: int, tokens: Tensor) -> Tensor:
        part = self.model.encoder.blocks[layer].attention

        def heads(flat: Tensor) -> Tensor:
            return flat.unflatten(-1, (H, K)).transpose(1, 2)

        query, key, value = heads(part.query(tokens)), heads(part.key(tokens)), heads(part.value(tokens))
        if self.relative.get("kind") == "rotary":
            angles = self._angles(layer, tokens.shape[1])
            query, key = turned(query, angles), turned(key, angles)
        scores = torch.einsum("bhnk,bhmk->bhnm", query, key) / K**0.5 + self._bias(layer, tokens.shape[1])
        seen = scores.where(self.allowed[layer], torch.tensor(-torch.inf, dtype=torch.float64))
        powers = (seen - seen.amax(-1, keepdim=True)).exp()
        weights = powers / powers.sum(-1, keepdim=True)
        if weights.requires_grad:
            weights.retain_grad()
        self.weights.append(weights)
        return part.output(torch.einsum("bhnm,bhmk->bhnk", weights, value).transpose(1, 2).flatten(2))

    def _allowed(self, layer: int, count: int) -> Tensor:
        window = self.relative.get("window", [None] * L)[layer]
        return torch.tensor(
            [
                [
                    not (getattr(self.model, "causal", False) and key > query)
                    and (window is None or abs(key - query) <= window)
                    for key in range(count)
                ]
                for query in range(count)
            ]
        )

    def _angles(self, layer: int, count: int) -> Tensor:
        """(N, K / 2), of each token and pair of channels."""
        temperature = self.relative["temperature"]
        angles = torch.zeros(count, K // 2, dtype=torch.float64)
        for token in range(count):
            patch = token - self.model.prefix
            for pair in range(K // 2):
                if self.model.reads == "text":
                    angles[token, pair] = token * temperature[layer] ** (-pair / (K // 2))
                elif patch >= 0:
                    place, length = (patch // COLS, ROWS) if pair < K // 4 else (patch % COLS, COLS)
                    centre = 2 * (place + 0.5) / length - 1
                    angles[token, pair] = 2 * pi * centre * temperature ** (-(pair % (K // 4)) / (K // 4))
        return angles

    def _bias(self, layer: int, count: int) -> Tensor:
        """(H, N, N), added to the scores."""
        kind, relative = self.relative.get("kind"), self.model.relative
        if kind not in ("table", "buckets"):
            return torch.zeros(H, count, count, dtype=torch.float64)
        rows = []
        for query in range(count):
            for key in range(count):
                if kind == "buckets":
                    rows.append(relative.tables[0].weight[bucket_of(key - query)])
                    continue
                one, two = query - self.model.prefix, key - self.model.prefix
                if one >= 0 and two >= 0:
                    down, across = one // COLS - two // COLS, one % COLS - two % COLS
                    rows.append(relative.table[layer, :, down + ROWS - 1, across + COLS - 1])
                else:  # prefix to patch, patch to prefix, prefix to prefix
                    rows.append(relative.prefix[layer, :, 2 if one < 0 and two < 0 else int(one >= 0)])
        return torch.stack(rows, -1).unflatten(-1, (count, count))


def turned(heads: Tensor, angles: Tensor) -> Tensor:
    """Each pair of channels as a complex number, times e^(i angle) (Su et al. 2021, eq. 12)."""
    pairs = torch.complex(*heads.chunk(2, -1)) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], -1)


def bucket_of(distance: int, buckets: int = 8, max_distance: int = 7) -> int:
    """Raffel et al. 2020: half of a direction's buckets hold one distance, the rest grow by logarithms."""
    side = buckets // 2 if distance > 0 else 0
    exact, far = buckets // 4, abs(distance)
    if far < exact:
        return side + far
    grown = exact + int(log(far / exact) / log(max_distance / exact) * (buckets // 2 - exact))
    return side + min(grown, buckets // 2 - 1)
