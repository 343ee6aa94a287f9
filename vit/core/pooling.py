"""Pooling: from tokens (B, N, D) to the vector that the head reads.

`prefix` is the number of tokens before the patches. `mask`, bool (B, N), is `True` at tokens and `False` at
padding; None: no padding.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from vit.core.attention import Attention
from vit.core.block import make_mlp
from vit.core.spec import BlockSpec


class ClassPool(nn.Module):
    """The class token, which is the first token that is no padding: (B, N, D) -> (B, D)."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, D)."""
        return first_token(tokens, mask)


class LastPool(nn.Module):
    """The last token that is no padding, as in causal models: (B, N, D) -> (B, D)."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, D)."""
        if mask is None:
            return tokens[:, -1]
        last = mask.shape[1] - 1 - mask.int().flip(1).argmax(1)
        return tokens[torch.arange(tokens.shape[0], device=tokens.device), last]


class PrefixPool(nn.Module):
    """All tokens of the prefix, concatenated, as the class and distillation tokens of DeiT."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, prefix D)."""
        return tokens[:, :prefix].flatten(1)


class ClassMeanPool(nn.Module):
    """The class token and the mean of the patches, concatenated, as in DINOv2's classifiers."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, 2 D)."""
        return torch.cat([first_token(tokens, mask), mean_after(prefix, tokens, mask)], -1)


class WholeMeanPool(nn.Module):
    """The mean of all tokens, the prefix included: (B, N, D) -> (B, D)."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, D)."""
        return mean_after(0, tokens, mask)


class MeanPool(nn.Module):
    """The mean of the tokens after the prefix: (B, N, D) -> (B, D)."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, D)."""
        return mean_after(prefix, tokens, mask)


def first_token(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """The first token that is not padding, which may stand on the left: (B, N, D) -> (B, D)."""
    if mask is None:
        return tokens[:, 0]
    return tokens[torch.arange(tokens.shape[0], device=tokens.device), mask.int().argmax(1)]


def mean_after(prefix: int, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of the tokens after the prefix, without padding: (B, N, D) -> (B, D).

    Zeros where a sample has no token.
    """
    if mask is None:
        return tokens[:, prefix:].mean(1)
    present = mask[:, prefix:, None].to(tokens.dtype)
    dtype = torch.promote_types(tokens.dtype, torch.float32)  # a sum may be too large for half precision
    total = (tokens[:, prefix:] * present).sum(1, dtype=dtype)
    return (total / present.sum(1, dtype=dtype).clamp(min=1)).to(tokens.dtype)


class AttentionPool(nn.Module):
    """A learned query attends to the tokens after the prefix (Zhai et al. 2022, section 3.2, "MAP head").

    Args:
        spec: Its `width`, `heads`, `qkv_bias` and `output_bias`, its norm, and all of its MLP but dropout.
        whole: Whether the query attends to the prefix too.
    """

    def __init__(self, spec: BlockSpec, *, whole: bool = False):
        super().__init__()
        self.whole = whole
        self.query = nn.Parameter(torch.empty(1, 1, spec.width))
        self.attention = Attention(
            spec.width, spec.heads, qkv_bias=spec.qkv_bias, output_bias=spec.output_bias
        )
        self.mlp_norm = spec.make_norm()
        self.mlp = make_mlp(replace(spec, dropout=0.0))
        nn.init.trunc_normal_(self.query, std=spec.width**-0.5)

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; what a digest of the model must tell apart."""
        return "whole=True" if self.whole else ""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, D)."""
        prefix = 0 if self.whole else prefix
        query = self.query.expand(tokens.shape[0], -1, -1)
        present = None if mask is None else mask[:, prefix:]
        pooled = self.attention(query, tokens[:, prefix:], present)  # (B, 1, D)
        pooled = pooled + self.mlp(self.mlp_norm(pooled))
        return pooled[:, 0]


POOLS = {
    "cls": lambda spec: ClassPool(),
    "mean": lambda spec: MeanPool(),
    "cls_mean": lambda spec: ClassMeanPool(),
    "attention": AttentionPool,
    "attention_all": lambda spec: AttentionPool(spec, whole=True),
    "last": lambda spec: LastPool(),
    "prefix": lambda spec: PrefixPool(),
    "mean_all": lambda spec: WholeMeanPool(),
}


def make_pool(kind: str, spec: BlockSpec) -> nn.Module:
    """The pool of that name in `POOLS`.

    Raises:
        ValueError: An unknown name.
    """
    if kind not in POOLS:
        raise ValueError(f"pool is {kind!r}, expected one of: {', '.join(POOLS)}")
    return POOLS[kind](spec)


POOLERS = {"tanh": nn.Tanh, "relu": nn.ReLU}


def make_pooler(kind: str | None, width: int) -> nn.Sequential | None:
    """A linear layer and an activation between pool and head, (..., width) -> (..., width); None for None.

    As the poolers of BERT and ViT in transformers.

    Raises:
        ValueError: An unknown name.
    """
    if kind is None:
        return None
    if kind not in POOLERS:
        raise ValueError(f"pooler is {kind!r}, expected None or one of: {', '.join(POOLERS)}")
    return nn.Sequential(nn.Linear(width, width), POOLERS[kind]())
