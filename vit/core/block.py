"""One transformer block: self-attention, cross-attention in a decoder, and an MLP."""

import torch
from torch import Tensor, nn

from vit.core.attention import Attention
from vit.core.cache import LayerCache
from vit.core.mlp import Mlp
from vit.core.norms import make_norm
from vit.core.packing import Packing
from vit.core.relations import Relation
from vit.core.spec import BlockSpec


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch (Touvron et al. 2021, "Going deeper", section 2).

    Args:
        width: D.
        initial: Initial value of every factor.
    """

    def __init__(self, width: int, initial: float):
        super().__init__()
        self.factor = nn.Parameter(torch.full((width,), initial))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return tokens * self.factor


class StochasticDepth(nn.Module):
    """Skips a branch for some samples while training (Huang et al. 2016).

    It draws as `torchvision.ops.StochasticDepth` in its mode `row` does, whose import takes a second.

    Args:
        rate: Probability that the branch of a sample is zero; the others are divided by 1 - rate.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.p = rate

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        if not self.training or self.p == 0.0:
            return tokens
        kept = torch.empty((len(tokens), *[1] * (tokens.ndim - 1)), dtype=tokens.dtype, device=tokens.device)
        kept.bernoulli_(1 - self.p)
        return tokens * (kept if self.p == 1.0 else kept.div_(1 - self.p))

    def extra_repr(self) -> str:
        """See `torch.nn.Module`."""
        return f"p={self.p}, mode=row"


def make_attention(spec: BlockSpec) -> Attention:
    """The attention of a block."""
    return Attention(
        spec.width,
        spec.heads,
        head_width=spec.head_width,
        scale=spec.scale,
        qkv_bias=spec.qkv_bias,
        output_bias=spec.output_bias,
        qk_norm=spec.qk_norm,
        mixed_norm=spec.mixed_norm,
        norm_kind=spec.norm_kind,
        norm_eps=spec.norm_eps,
    )


def make_mlp(spec: BlockSpec) -> Mlp:
    """The MLP of a block."""
    norm = make_norm(spec.hidden, spec.norm_eps, kind=spec.norm_kind) if spec.hidden_norm else None
    return Mlp(
        spec.width,
        spec.hidden,
        activation=spec.activation,
        gated=spec.gated,
        norm=norm,
        bias=spec.output_bias if spec.mlp_bias is None else spec.mlp_bias,
        dropout=spec.dropout,
    )


class Block(nn.Module):
    """Self-attention, in a decoder cross-attention, and an MLP, each with a residual connection.

    Each branch has three places for a norm: its input (pre-norm, Dosovitskiy et al. 2021, eq. 2 and 3), its
    output, and the sum (post-norm, Vaswani et al. 2017, section 3.1). Unused ones hold nothing.

    Args:
        spec: What all blocks share.
        drop_path: Probability that a branch is skipped for a sample while training (Huang et al. 2016).
    """

    def __init__(self, spec: BlockSpec, *, drop_path: float = 0.0):
        super().__init__()
        pre, post, branch = (spec.norm == place for place in ("pre", "post", "branch"))

        def scale() -> nn.Module:
            return nn.Identity() if spec.layer_scale is None else LayerScale(spec.width, spec.layer_scale)

        self.parallel = spec.parallel
        self.attention_norm = spec.make_norm(used=pre)
        self.attention = make_attention(spec)
        self.attention_branch_norm = spec.make_norm() if branch else None
        self.attention_scale = scale()
        self.attention_post_norm = spec.make_norm(used=post)
        self.cross_norm = spec.make_norm(used=pre) if spec.cross else None
        self.cross = make_attention(spec) if spec.cross else None
        self.cross_branch_norm = spec.make_norm() if spec.cross and branch else None
        self.cross_scale = scale() if spec.cross else None
        self.cross_post_norm = spec.make_norm(used=post) if spec.cross else None
        self.mlp_norm = spec.make_norm(used=pre and not spec.parallel)
        self.mlp = make_mlp(spec)
        self.mlp_branch_norm = spec.make_norm() if branch else None
        self.mlp_scale = scale()
        self.mlp_post_norm = spec.make_norm(used=post)
        self.dropout = nn.Dropout(spec.dropout)
        self.drop_path = StochasticDepth(drop_path)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        packing: Packing | None = None,
        *,
        relation: Relation | None = None,
        source: Tensor | None = None,
        source_mask: Tensor | None = None,
        context: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """Tokens -> tokens of the same shape.

        Args:
            tokens: (B, N, D), or packed (T, D).
            mask: As in `Attention.forward`.
            packing: As in `Attention.forward`.
            relation: As in `Attention.forward`.
            source: (B, M, D), the keys and values of cross-attention; None where they are cached.
            source_mask: bool (B, M), of the source.
            context: (B, M, D), the keys and values of self-attention in place of the normed `tokens`, as in
                XLNet's query stream; no norm is applied to it.
            cache: Keys and values of the tokens before these.
        """
        normed = self.attention_norm(tokens)
        attended = self.attention(
            normed, context, mask, packing, relation=relation, cache=None if cache is None else cache.own
        )
        attended = self._branch(attended, self.attention_branch_norm, self.attention_scale)
        if self.parallel:
            return tokens + attended + self._branch(self.mlp(normed), None, self.mlp_scale, dropout=False)
        tokens = self.attention_post_norm(tokens + attended)
        if self.cross is not None:
            tokens = self._cross_attention(tokens, source, source_mask, packing, cache)
        expanded = self.mlp(self.mlp_norm(tokens))
        expanded = self._branch(expanded, self.mlp_branch_norm, self.mlp_scale, dropout=False)
        return self.mlp_post_norm(tokens + expanded)

    def _cross_attention(
        self,
        tokens: Tensor,
        source: Tensor | None,
        source_mask: Tensor | None,
        packing: Packing | None,
        cache: LayerCache | None,
    ) -> Tensor:
        """The branch of a decoder that attends to the source."""
        assert self.cross is not None
        assert self.cross_norm is not None
        assert self.cross_scale is not None
        assert self.cross_post_norm is not None
        kept = None if cache is None else cache.source
        if source is None and (kept is None or kept.known() is None):
            raise ValueError("a block with cross-attention got no source: pass the encoder's states")
        crossed = self.cross(self.cross_norm(tokens), source, source_mask, packing, cache=kept)
        crossed = self._branch(crossed, self.cross_branch_norm, self.cross_scale)
        return self.cross_post_norm(tokens + crossed)

    def _branch(
        self, tokens: Tensor, norm: nn.Module | None, scale: nn.Module, *, dropout: bool = True
    ) -> Tensor:
        """What is added to the residual: dropout (an MLP has its own), norm, scale, stochastic depth."""
        if dropout:
            tokens = self.dropout(tokens)
        return self.drop_path(scale(tokens if norm is None else norm(tokens)))
