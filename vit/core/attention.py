"""Scaled dot-product multi-head attention: the one place in vit where attention is computed."""

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from vit.core.masks import broadcast_mask
from vit.core.norms import make_norm
from vit.core.packing import Packing

# Up to this many keys, two plain matrix products are faster than the fused kernel in half precision on a CPU,
# above all in the backward pass (measured in docs/performance.md).
PLAIN_CPU_KEYS = 640


class Recording(NamedTuple):
    """The queries, keys, mask and scale that determine the attention weights of one call.

    Args:
        query: (B, H, N, K)
        key: (B, H, M, K)
        mask: bool, broadcastable to (B, H, N, M), or None.
        scale: Factor on the scores.
    """

    query: Tensor
    key: Tensor
    mask: Tensor | None
    scale: float

    def weights(self) -> Tensor:
        """(B, H, N, M), at least float32, even where the model computed in half precision."""
        dtype = torch.promote_types(self.query.dtype, torch.float32)
        with torch.autocast(self.query.device.type, enabled=False):
            return attention_weights(self.query.to(dtype), self.key.to(dtype), self.mask, self.scale)


# The tensors are the values (B, H, M, K) and their weighted sums (B, H, N, K).
Recorder = Callable[[Recording, Tensor, Tensor], None]


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2).

    Args:
        width: D, of the queries' tokens and of the output.
        heads: H. The head width K is `width // heads`.
        qkv_bias: Bias on the query, key and value projections: one flag for all, or three.
        output_bias: Bias on the output projection.
        qk_norm: A norm over K on queries and keys (Dehghani et al. 2023, section 2).
        norm_kind: Kind of these norms, a name in `vit.core.norms.NORMS`.
        norm_eps: Epsilon of these norms.

    Attributes:
        recorders: By thread id, what is called in each forward pass of that thread with its `Recording`, the
            values (B, H, M, K) and their weighted sums (B, H, N, K). Empty by default, which costs nothing.
            `vit.core.tape.watch_attention` adds one for the duration of a `with` block.

    Raises:
        ValueError: `width` is not a multiple of `heads`, or `heads` is below 1.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        qkv_bias: bool | Sequence[bool] = True,
        output_bias: bool = True,
        qk_norm: bool = False,
        norm_kind: str = "layer",
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"width is {width}, expected a multiple of heads = {heads}")
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        query_bias, key_bias, value_bias = [qkv_bias] * 3 if isinstance(qkv_bias, bool) else qkv_bias
        self.query = nn.Linear(width, width, bias=query_bias)
        self.key = nn.Linear(width, width, bias=key_bias)
        self.value = nn.Linear(width, width, bias=value_bias)
        head_width = width // heads
        self.query_norm = make_norm(head_width, norm_eps, kind=norm_kind, used=qk_norm)
        self.key_norm = make_norm(head_width, norm_eps, kind=norm_kind, used=qk_norm)
        self.output = nn.Linear(width, width, bias=output_bias)
        self.recorders: dict[int, Recorder] = {}

    def forward(
        self,
        tokens: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """Let `tokens` attend to `context`.

        Args:
            tokens: (B, N, D), the source of the queries.
            context: (B, M, D), the source of keys and values. None: `tokens` (self-attention).
            mask: bool, True = may be attended to: (B, M), or any shape that broadcasts to (B, H, N, M).
                A query that may attend to nothing gets zeros.
            packing: Positions of packed tokens in the padded batch; `tokens` and the result are then (T, D).
                Self-attention only.

        Returns:
            (B, N, D)
        """
        context = tokens if context is None else context
        query, key, value = self.query(tokens), self.key(context), self.value(context)
        if packing is not None:
            query, key, value = packing.unpack(query), packing.unpack(key), packing.unpack(value)
        mask = broadcast_mask(mask, query.shape[0], query.shape[1], key.shape[1])
        query = self.query_norm(self._split(query))  # (B, H, N, K)
        key = self.key_norm(self._split(key))  # (B, H, M, K)
        value = self._split(value)  # (B, H, M, K)
        mixed = attend(query, key, value, mask, self.scale)  # (B, H, N, K)
        if self.recorders and (recorder := self.recorders.get(get_ident())):
            recorder(Recording(query, key, mask, self.scale), value, mixed)
        joined = mixed.transpose(1, 2).flatten(2)  # (B, N, D)
        return self.output(joined if packing is None else packing.pack(joined))

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, H, N, K)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """softmax(Q K^T scale) V by the fastest path; none approximates.

    (B, H, N, K), (B, H, M, K) twice -> (B, H, N, K).
    """
    half_on_cpu = query.device.type == "cpu" and query.dtype.itemsize < 4
    if half_on_cpu and key.shape[-2] <= PLAIN_CPU_KEYS:
        return attention_weights(query, key, mask, scale) @ value
    return scaled_dot_product_attention(query, key, value, mask, scale=scale)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """The attention weights, which fused kernels do not return: softmax(Q K^T scale).

    Args:
        query: (B, H, N, K)
        key: (B, H, M, K)
        mask: bool, broadcastable to (B, H, N, M), or None.
        scale: Factor on the scores, 1 / sqrt(K).

    Returns:
        (B, H, N, M), in the queries' dtype. Each row sums to 1 up to rounding, or is all zero where the mask
        allows nothing.
    """
    scores = (query * scale) @ key.transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1)
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return weights.masked_fill(~mask.any(-1, keepdim=True), 0.0)
