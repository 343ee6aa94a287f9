"""One forward pass whose attention can be had while it runs."""

from collections.abc import Iterator

from torch import Tensor

from vit.attribution.query import Query, seed_row
from vit.core import POOL, Recording, watch_attention
from vit.towers import Tower


class Forward:
    """One forward pass, layer by layer, so that no layer's queries and keys need be kept.

    Args:
        model: In eval mode.
        images: (B, C, height, width); of texts, their ids (B, N) without padding.

    Attributes:
        grid: (rows, cols) of patches.
        last: (B, N, D), after the last block.
        states: (B, N, D), after the final norm.
        logits: (B, classes), the model's own.
        pool: The attention pool's recording, if there is one.
    """

    grid: tuple[int, int]
    last: Tensor
    states: Tensor
    logits: Tensor

    def __init__(self, model: Tower, images: Tensor):
        self.model, self.images = model, images
        self.pool: Recording | None = None

    def layers(self) -> Iterator[Recording]:
        """Yield each layer's recording, first layer first; what stands above is there when it is exhausted.

        Raises:
            RuntimeError: A block attended more than once, or not through `vit.core.Attention`.
        """
        seen: list[tuple[int, Recording]] = []

        def visit(slot: int, recording: Recording, values: Tensor, mixed: Tensor) -> None:
            seen.append((slot, recording))

        with watch_attention(self.model, visit):
            tokens = self.model.embed(self.images)
            self.grid = self.model.grid(self.images)
            for layer, block in enumerate(self.model.encoder.blocks):
                tokens = block(tokens)
                require_depth(len(seen), 1, f"block {layer}")
                yield seen.pop()[1]
            self.last, self.states = tokens, self.model.encoder.norm(tokens)
            self.logits = self.model.read(self.states)
            self.pool = dict(seen).get(POOL)

    def seed(self, query: Query) -> Tensor:
        """The weighting of final tokens that a query stands for, (1 or B, N); after `layers`."""
        row = None if self.pool is None else self.pool.weights().mean(1)[:, 0]
        return seed_row(query, self.grid, self.model.prefix, pool=self.model.pool_kind, pool_row=row)


def require_depth(found: int, expected: int, what: str) -> None:
    """Refuse a pass that recorded other layers than the model has."""
    if found != expected:
        raise RuntimeError(
            f"{what} recorded {found} layers of attention, expected {expected}: "
            "each block's attention must be vit.core.Attention"
        )
