"""Scaled dot-product multi-head attention: the one place in vit where attention is computed."""

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from vit.core.cache import KeyValues
from vit.core.masks import broadcast_mask
from vit.core.norms import make_norm
from vit.core.packing import Packing
from vit.core.relations import Relation, join_masks

# Up to this many keys, two plain matrix products are faster than the fused kernel in half precision on a CPU,
# above all in the backward pass (measured in docs/performance.md).
PLAIN_CPU_KEYS = 640


class Recording(NamedTuple):
    """What determines the attention weights of one call.

    Args:
        query: (B, H, N, K), after its norm and rotation.
        key: (B, H, M, K), likewise.
        mask: bool, broadcastable to (B, H, N, M), or None.
        scale: Factor on the scores.
        bias: Added to the scores after `scale`, broadcastable to (B, H, N, M), or None.
    """

    query: Tensor
    key: Tensor
    mask: Tensor | None
    scale: float
    bias: Tensor | None = None

    def weights(self) -> Tensor:
        """(B, H, N, M), at least float32, even where the model computed in half precision."""
        dtype = torch.promote_types(self.query.dtype, torch.float32)
        with torch.autocast(self.query.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.to(dtype)
            return attention_weights(self.query.to(dtype), self.key.to(dtype), self.mask, self.scale, bias)


# The tensors are the values (B, H, M, K) and their weighted sums (B, H, N, K).
Recorder = Callable[[Recording, Tensor, Tensor], None]


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2).

    Args:
        width: D, of the queries' tokens and of the output.
        heads: H.
        head_width: K; None: `width // heads`.
        scale: Factor on the scores; None: 1 / sqrt(K).
        qkv_bias: Bias on the query, key and value projections: one flag for all, or three.
        output_bias: Bias on the output projection.
        qk_norm: A norm over K on queries and keys (Dehghani et al. 2023, section 2).
        mixed_norm: A norm over all heads before the output projection (Wang et al. 2022, "Foundation
            transformers", section 2).
        norm_kind: Kind of these norms, a name in `vit.core.norms.NORMS`.
        norm_eps: Epsilon of these norms.

    Attributes:
        recorders: By thread id, what is called in each forward pass of that thread with its `Recording`, the
            values (B, H, M, K) and their weighted sums (B, H, N, K). Empty by default, which costs nothing.
            `vit.core.tape.watch_attention` adds one for the duration of a `with` block.

    Raises:
        ValueError: `heads` is below 1, or `width` is no multiple of it and there is no `head_width`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        head_width: int | None = None,
        scale: float | None = None,
        qkv_bias: bool | Sequence[bool] = True,
        output_bias: bool = True,
        qk_norm: bool = False,
        mixed_norm: bool = False,
        norm_kind: str = "layer",
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        if heads < 1 or (head_width is None and width % heads):
            raise ValueError(f"width is {width}, expected a multiple of heads = {heads}")
        self.heads = heads
        head_width = width // heads if head_width is None else head_width
        self.scale = head_width**-0.5 if scale is None else scale
        query_bias, key_bias, value_bias = [qkv_bias] * 3 if isinstance(qkv_bias, bool) else qkv_bias
        inner = heads * head_width
        self.query = nn.Linear(width, inner, bias=query_bias)
        self.key = nn.Linear(width, inner, bias=key_bias)
        self.value = nn.Linear(width, inner, bias=value_bias)
        self.query_norm = make_norm(head_width, norm_eps, kind=norm_kind, used=qk_norm)
        self.key_norm = make_norm(head_width, norm_eps, kind=norm_kind, used=qk_norm)
        self.mixed_norm = make_norm(inner, norm_eps, kind=norm_kind) if mixed_norm else None
        self.output = nn.Linear(inner, width, bias=output_bias)
        self.recorders: dict[int, Recorder] = {}

    def forward(
        self,
        tokens: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        packing: Packing | None = None,
        *,
        relation: Relation | None = None,
        cache: KeyValues | None = None,
    ) -> Tensor:
        """Let `tokens` attend to `context`.

        Args:
            tokens: (B, N, D), the source of the queries.
            context: (B, M, D), the source of keys and values. None: `tokens` (self-attention).
            mask: bool, True = may be attended to: (B, M), or any shape that broadcasts to (B, H, N, M).
                A query that may attend to nothing gets zeros.
            packing: Positions of packed tokens in the padded batch; `tokens` and the result are then (T, D),
                and `context` stays padded.
            relation: Rotation, bias and mask by position; None: none.
            cache: Keys and values of the tokens before `context`, which grow by its own; M counts all then.
                A fixed cache that is filled is used as it is, whatever `context` is.

        Raises:
            TypeError: A mask that is not bool.
            ValueError: A mask of another shape.

        Returns:
            (B, N, D)
        """
        relation = Relation() if relation is None else relation
        if context is None and cache is None:
            query, key, value = project(tokens, self.query, self.key, self.value)  # (B, N, H K) each
            key, value = self._keys_values(key, value, packing, relation)
        else:
            query = self.query(tokens)
            key, value = self._context(tokens if context is None else context, relation, cache)
        query = self.query_norm(self._split(query, packing))
        if relation.rotation is not None:
            query = relation.rotation(query)
        allowed = broadcast_mask(mask, query.shape[0], query.shape[2], key.shape[2])
        by_position = broadcast_mask(relation.mask, query.shape[0], query.shape[2], key.shape[2])
        allowed = join_masks(allowed, by_position)
        bias = relation.bias(query) if callable(relation.bias) else relation.bias
        mixed = attend(query, key, value, allowed, self.scale, bias)  # (B, H, N, K)
        if self.recorders and (recorder := self.recorders.get(get_ident())):
            recorder(Recording(query, key, allowed, self.scale, bias), value, mixed)
        joined = mixed.transpose(1, 2).flatten(2)  # (B, N, H K)
        if packing is not None:
            joined = packing.pack(joined)
        return self.output(joined if self.mixed_norm is None else self.mixed_norm(joined))

    def _context(self, context: Tensor, relation: Relation, cache: KeyValues | None) -> tuple[Tensor, Tensor]:
        """Keys and values of a context, (B, H, M, K) each, after those in the cache."""
        if cache is not None and (known := cache.known()) is not None:
            return known
        key, value = self._keys_values(self.key(context), self.value(context), None, relation)
        return (key, value) if cache is None else cache.extend(key, value)

    def _keys_values(
        self, key: Tensor, value: Tensor, packing: Packing | None, relation: Relation
    ) -> tuple[Tensor, Tensor]:
        """(B, M, H K) twice -> (B, H, M, K) twice: the keys normed and rotated."""
        key, value = self.key_norm(self._split(key, packing)), self._split(value, packing)
        return (key if relation.rotation is None else relation.rotation(key)), value

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; a factor on the scores that a digest of the model must tell apart."""
        usual = (self.query.out_features // self.heads) ** -0.5
        return "" if self.scale == usual else f"scale={self.scale}"

    def _split(self, tokens: Tensor, packing: Packing | None) -> Tensor:
        """(B, N, H K), or packed (T, H K) -> (B, H, N, K)."""
        tokens = tokens if packing is None else packing.unpack(tokens)
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def project(tokens: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """What each layer makes of the tokens, (..., D) -> (..., K) each, by one multiplication where that pays.

    It copies the weights, which inference on a CPU does not make up for. Layers of another kind (quantized,
    with adapters) or with hooks compute for themselves.
    """
    cpu_inference = tokens.device.type == "cpu" and not torch.is_grad_enabled()
    plain = [type(layer) is nn.Linear and not layer._forward_hooks for layer in layers]
    if cpu_inference or not all(plain) or any(layer._forward_pre_hooks for layer in layers):
        return tuple(layer(tokens) for layer in layers)
    weight, sizes = torch.cat([layer.weight for layer in layers]), [layer.out_features for layer in layers]
    biases = tuple(weight.new_zeros(one.out_features) if one.bias is None else one.bias for one in layers)
    bias = None if all(layer.bias is None for layer in layers) else torch.cat(biases)
    return linear(tokens, weight, bias).split(sizes, -1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    bias: Tensor | None = None,
) -> Tensor:
    """softmax(Q K^T scale + bias) V by the fastest path.

    (B, H, N, K), (B, H, M, K) twice -> (B, H, N, K). All paths agree to the precision of the dtype; the plain
    one rounds the scores to it, so it is left to scores that are scaled by 1 / sqrt(K) and have no bias.
    """
    half_on_cpu = query.device.type == "cpu" and query.dtype.itemsize < 4
    if half_on_cpu and bias is None and scale < 1 and key.shape[-2] <= PLAIN_CPU_KEYS:
        return attention_weights(query, key, mask, scale) @ value
    if bias is None:
        return scaled_dot_product_attention(query, key, value, mask, scale=scale)
    bias = bias.to(query.dtype)
    if mask is None:
        return scaled_dot_product_attention(query, key, value, bias, scale=scale)
    some = mask.any(-1, keepdim=True)  # a row of -inf alone would give NaN
    bias = bias.masked_fill(~mask & some, -torch.inf)
    return scaled_dot_product_attention(query, key, value, bias, scale=scale).masked_fill(~some, 0.0)


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, scale: float, bias: Tensor | None = None
) -> Tensor:
    """The attention weights, which fused kernels do not return: softmax(Q K^T scale + bias).

    Args:
        query: (B, H, N, K)
        key: (B, H, M, K)
        mask: bool, broadcastable to (B, H, N, M), or None.
        scale: Factor on the scores, usually 1 / sqrt(K).
        bias: Added to the scores, broadcastable to (B, H, N, M), or None.

    Returns:
        (B, H, N, M), in the queries' dtype. Each row sums to 1 up to rounding, or is all zero where the mask
        allows nothing.
    """
    scores = (query * scale) @ key.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    if mask is None:
        return scores.softmax(-1)
    some = mask.any(-1, keepdim=True)
    weights = scores.masked_fill(~mask & some, -torch.inf).softmax(-1)
    return weights.masked_fill(~some, 0.0)
