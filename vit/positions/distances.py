"""Relative-position keys, as in Transformer-XL and XLNet."""

from functools import partial

import torch
from torch import Tensor, nn

from vit.core.relations import Relation, window_mask
from vit.positions.rotary import frequencies


class DistanceKeys(nn.Module):
    """Each distance has a key: a layer's projection of its sines and cosines (Dai et al. 2019, section 3.3).

    The score of a pair gets (query + a learned vector) times the key of its distance. With `segments` it also
    gets (query + another) times one of two keys, as both tokens are of one segment or not (Yang et al. 2019,
    "XLNet", section 2.5). A constant of a row changes no weights: without segments all tokens are of one.

    Args:
        width: D, the sines and cosines of a distance; an even number.
        heads: H.
        head_width: K.
        depth: L.
        scale: Factor on the scores; None: 1 / sqrt(K).
        max_distance: Greater distances count as this one; None: all are told apart.
        window: Positions to each side that a token attends to; None: all.
        segments: Whether segments are read.

    Raises:
        ValueError: An odd width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        depth: int,
        *,
        scale: float | None = None,
        max_distance: int | None = None,
        window: int | None = None,
        segments: bool = False,
    ):
        super().__init__()
        if width % 2:
            raise ValueError(f"width is {width}, expected an even number for sines and cosines")
        self.width, self.max_distance, self.window, self.reads_segments = (
            width,
            max_distance,
            window,
            segments,
        )
        self.scale = head_width**-0.5 if scale is None else scale
        self.keys = nn.ModuleList(nn.Linear(width, heads * head_width, bias=False) for _ in range(depth))
        self.query = nn.Parameter(torch.zeros(depth, heads, head_width))
        sizes = (depth, 2, heads, head_width)
        self.segment_keys = nn.Parameter(torch.randn(sizes) * head_width**-0.5) if segments else None
        self.segment_query = nn.Parameter(torch.zeros(depth, heads, head_width)) if segments else None

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; what a digest of the model must tell apart."""
        return f"scale={self.scale}, max_distance={self.max_distance}, window={self.window}"

    def forward(
        self, queries: Tensor, keys: Tensor, segments: tuple[Tensor, Tensor] | None = None
    ) -> list[Relation]:
        """One relation per layer.

        Args:
            queries: Positions, int64 (B or 1, N), each one of 0 to M - 1.
            keys: Positions, int64 (B or 1, M), likewise.
            segments: Of queries and of keys, int64 (B or 1, N) and (B or 1, M); None: all of one segment.
        """
        max_distance = (
            keys.shape[1] - 1 if self.max_distance is None else min(keys.shape[1] - 1, self.max_distance)
        )
        distance = queries[:, :, None] - keys[:, None, :]
        index = (distance.clamp(-max_distance, max_distance) + max_distance)[:, None]  # (B or 1, 1, N, M)
        apart = None if segments is None else (segments[0][:, :, None] != segments[1][:, None, :])[:, None]
        sinusoids = self._sinusoids(max_distance, keys.device)
        mask = None if self.window is None else window_mask(queries, keys, self.window)
        return [
            Relation(bias=partial(self._scores, layer, sinusoids, index, apart), mask=mask)
            for layer in range(len(self.keys))
        ]

    def _sinusoids(self, max_distance: int, device: torch.device) -> Tensor:
        """Sines, then cosines, of the distances from -`max_distance` to it: float32 (distances, D)."""
        distances = torch.arange(-max_distance, max_distance + 1, device=device).float()
        angle = distances[:, None] * frequencies(self.width // 2, 10_000.0).to(device)
        return torch.cat([angle.sin(), angle.cos()], -1)

    def _scores(
        self, layer: int, sinusoids: Tensor, index: Tensor, apart: Tensor | None, query: Tensor
    ) -> Tensor:
        """What is added to the scores: queries (B, H, N, K) -> (B, H, N, M)."""
        heads = query.shape[1]
        keys = self.keys[layer](sinusoids.to(self.query.dtype)).unflatten(
            -1, (heads, -1)
        )  # (distances, H, K)
        by_distance = (query + self.query[layer][:, None]) @ keys.permute(1, 2, 0).to(query.dtype)
        scores = by_distance.gather(-1, index.expand(*query.shape[:2], -1, -1))
        if apart is not None and self.segment_keys is not None and self.segment_query is not None:
            segment_keys = self.segment_keys[layer].permute(1, 2, 0)  # (H, K, 2)
            by_segment = (query + self.segment_query[layer][:, None]) @ segment_keys.to(query.dtype)
            scores = scores + torch.where(apart, by_segment[..., 1:], by_segment[..., :1])
        return scores * self.scale
