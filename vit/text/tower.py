"""The text transformer: ids -> tokens -> core -> head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vit.bundle import save_model
from vit.core import BlockSpec, Encoder, SequencePositions, make_pool
from vit.core.pooler import make_pooler
from vit.core.tower import final_states, plain_arguments
from vit.errors import VitError
from vit.text.neighbours import Neighbours
from vit.text.projection import Projection, make_projections
from vit.text.tokenizer import Tokenizer


class TextTransformer(nn.Module):
    """Texts to logits, on the blocks of the image tower. It has the interface of `vit.core.Tower`.

    A batch is one tensor of ids, padded on either side; `mask` finds the tokens. BERT (Devlin et al. 2019)
    is a post-norm `block`, `embedding_norm` and no `encoder_norm`.

    Args:
        classes: Number of classes; 0: no head, and `forward` returns the pooled features (B, D).
        vocabulary: Number of ids.
        block: What all blocks share.
        length: Rows of the position table: the longest text in tokens.
        depth: L.
        positions: `learned` or `sinusoidal`.
        count_from: How position ids are counted. None: from 0, padding included (BERT). A number: tokens that
            are no padding are counted from the number after it, and padding has this number itself (RoBERTa,
            whose padding id is 1).
        segments: Number of segment embeddings; 0 is none.
        padding: The id of padding.
        embedding_norm: LayerNorm before the first block.
        neighbours: Tokens that a convolution before the first block reads around each token, itself included
            (`Neighbours`); 1: no convolution.
        encoder_norm: LayerNorm after the last block.
        pool: `cls`, the first token; `mean` of the tokens, special ones included; `cls_mean` or `attention`.
        pool_block: What an attention pool takes from a block; None: `block`.
        pooler: A linear layer and `tanh` or `relu` between pool and head; None: neither.
        projections: Linear layers after the pooler, the `Dense` of sentence-transformers, each as (width,
            activation, bias); `vit.text.projection` has the activations.
        unit: Scale `features` to length 1; a head reads them unscaled.
        drop_path: Stochastic depth of the last block.

    Attributes:
        labels: Class names, in the order of the logits; empty if unknown.
        thresholds: As in `vit.core.tower.Tower`; empty for a model that gives one label.
        preprocess: Text to ids, int64 (N,) (`vit.text.Tokenizer`); None if unknown.
        prefix: 0: all tokens of a text are shown.
        pool_kind: As `pool`.
        architecture: The arguments as plain values.
        source: As in `vit.core.tower.Tower`.
        autocast: Half-precision dtype of matrix products in `forward` and `features`; None, the default: the
            dtype of the weights. Pool and head always compute in the dtype of the weights.

    Raises:
        ValueError: Arguments that do not fit each other, with both values.
    """

    reads: Literal["image", "text"] = "text"
    prefix = 0
    prefix_names: tuple[str, ...] = ()

    def __init__(
        self,
        classes: int,
        vocabulary: int,
        block: BlockSpec,
        *,
        length: int = 512,
        depth: int = 6,
        positions: str = "learned",
        count_from: int | None = None,
        segments: int = 0,
        padding: int = 0,
        embedding_norm: bool = True,
        neighbours: int = 1,
        encoder_norm: bool = False,
        pool: str = "cls",
        pool_block: BlockSpec | None = None,
        pooler: str | None = None,
        projections: Sequence[Projection] = (),
        unit: bool = False,
        drop_path: float = 0.0,
    ):
        architecture = plain_arguments("text", locals())
        super().__init__()
        if not 0 <= padding < vocabulary:
            raise ValueError(
                f"padding is id {padding}, expected 0 to {vocabulary - 1}: one of the vocabulary"
            )
        self.labels: list[str] = []
        self.thresholds: list[float] = []
        self.preprocess: Any = None
        self.architecture: dict[str, Any] = architecture
        self.source: dict[str, str] = {}
        self.autocast: torch.dtype | None = None
        self.padding = padding
        self.count_from = count_from
        self.pool_kind = pool
        self.unit = unit
        width = block.width

        self.token_embedding = nn.Embedding(vocabulary, width)
        self.segments = nn.Embedding(segments, width) if segments else None
        self.positions = SequencePositions(length, width, positions)
        self.embedding_norm = block.make_norm(used=embedding_norm)
        self.dropout = nn.Dropout(block.dropout)
        self.neighbours = (
            None
            if neighbours == 1
            else Neighbours(width, neighbours, block.make_norm(), dropout=block.dropout)
        )
        self.encoder = Encoder(block, depth, drop_path=drop_path, final_norm=encoder_norm)
        self.pool = make_pool(pool, pool_block or block)
        pooled = 2 * width if pool == "cls_mean" else width
        self.pooler = make_pooler(pooler, pooled) or nn.Identity()
        # None where there are none, so that a model prints as before.
        self.projections = make_projections(projections, pooled)
        pooled = projections[-1][0] if projections else pooled
        self.head: nn.Module = nn.Linear(pooled, classes) if classes else nn.Identity()
        self._initialise()

    @property
    def length(self) -> int:
        """The longest text in tokens."""
        return len(self.positions.table) - (0 if self.count_from is None else self.count_from + 1)

    def save(self, folder: str | Path) -> None:
        """Write the model as a bundle, a folder that `vit.load_model` and every command read.

        Args:
            folder: As in `vit.bundle.save_model`, with its errors.
        """
        save_model(self, folder)

    @property
    def usual_tokens(self) -> int:
        """Tokens of the longest text."""
        return self.length

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        segments: Tensor | None = None,
        exact: bool = False,
    ) -> Tensor:
        """Ids, int64 (B, N) -> logits (B, classes).

        Args:
            ids: As in `encode`, as are `mask`, `segments` and the errors.
            mask: See `ids`.
            segments: See `ids`.
            exact: Compute in the weights' dtype, without autocast.
        """
        mask = self.mask(ids) if mask is None else mask
        return self.read(final_states(self, ids, exact=exact, mask=mask, segments=segments), mask)

    def features(self, ids: Tensor, mask: Tensor | None = None, *, exact: bool = False) -> Tensor:
        """Ids -> pooled features (B, F): what the head reads, of length 1 with `unit`; as `forward`."""
        mask = self.mask(ids) if mask is None else mask
        pooled = self._pooled(final_states(self, ids, exact=exact, mask=mask), mask)
        return normalize(pooled, dim=-1) if self.unit else pooled

    def read(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """States (B, N, D), as `encode` gives them -> logits (B, classes)."""
        return self._classify(self._pooled(states, mask))

    def read_token(self, tokens: Tensor) -> Tensor:
        """Logits of states that are read one at a time (the "logit lens"): (..., D) -> (..., classes)."""
        alone = self.pool(tokens.reshape(-1, 1, tokens.shape[-1]), 0)  # each a sequence of its own
        return self._classify(self._after_pool(alone)).unflatten(0, tokens.shape[:-1])

    def encode(self, ids: Tensor, mask: Tensor | None = None, *, segments: Tensor | None = None) -> Tensor:
        """Ids to final tokens, (B, N, D).

        Args:
            ids: int64 (B, N).
            mask: bool (B, N), `True` = a token, `False` = padding; None: as the method `mask` says.
            segments: int64 (B, N), the segment of each token; None: the first.

        Raises:
            ValueError: Ids of another shape, or more of them than positions; segments where there are none.
            IndexError: Ids outside the vocabulary.
        """
        mask = self.mask(ids) if mask is None else mask
        return self.encoder(self.embed(ids, mask, segments=segments), mask)

    def embed(self, ids: Tensor, mask: Tensor | None = None, *, segments: Tensor | None = None) -> Tensor:
        """Ids, int64 (B, N) -> (B, N, D), the input of the first block. Errors are those of `encode`."""
        if ids.ndim != 2 or ids.is_floating_point():
            raise ValueError(
                f"ids have shape {tuple(ids.shape)} and {ids.dtype}, expected (B, N), torch.int64"
            )
        if ids.shape[1] > self.length:
            raise ValueError(
                f"the text has {ids.shape[1]} tokens, expected at most {self.length}: cut it, or give the "
                "model a longer table of positions"
            )
        tokens = self.token_embedding(ids)
        if self.segments is not None:
            tokens = tokens + (self.segments.weight[0] if segments is None else self.segments(segments))
        elif segments is not None:
            raise ValueError("segments are given, and this model has no segment embeddings: leave them out")
        position_ids = None
        if self.count_from is not None:
            present = ids != self.padding  # wherever it stands, as in transformers
            position_ids = present.cumsum(1) * present + self.count_from
        tokens = self.dropout(self.embedding_norm(self.positions(tokens, position_ids)))
        if self.neighbours is None:
            return tokens
        return self.neighbours(tokens, self.mask(ids) if mask is None else mask)

    def mask(self, ids: Tensor) -> Tensor:
        """Bool (B, N), `True` = a token, `False` = padding, which stands at the ends of a row.

        An id of padding between tokens is a token: the text spells it out (`[PAD]`). A text that ends with
        it, where the tokenizer adds no token at the end, needs a mask of its own.
        """
        token = (ids != self.padding).int()
        return (token.cumsum(-1) > 0) & (token.flip(-1).cumsum(-1).flip(-1) > 0)

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Read texts with this tokenizer: sets `preprocess`, and `padding` to its id of padding.

        Raises:
            VitError: It has ids that the model has no embedding for, longer results than the model has
                positions, or another id of padding than the model counts positions by.
        """
        rows, largest = self.token_embedding.num_embeddings, tokenizer.largest_id()
        if largest >= rows:
            raise VitError(
                f"the tokenizer has ids up to {largest}, and the model's embeddings end at {rows - 1}: take "
                "the tokenizer that it was trained with, or the model after resize_token_embeddings"
            )
        if tokenizer.length > self.length:
            raise VitError(
                f"the tokenizer gives up to {tokenizer.length} tokens, and the model has {self.length} "
                f"positions: use tokenizer.cut({self.length})"
            )
        if self.count_from is not None and tokenizer.padding != self.padding:
            raise VitError(
                f"the tokenizer pads with id {tokenizer.padding}, and the model counts positions by id "
                f"{self.padding}: take the tokenizer that it was trained with"
            )
        self.padding = self.architecture["padding"] = tokenizer.padding
        self.preprocess = tokenizer

    def grid(self, ids: Tensor) -> tuple[int, int]:
        """A text is one row of tokens."""
        return 1, ids.shape[1]

    def _pooled(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._after_pool(self.pool(states, self.prefix, mask))

    def _after_pool(self, pooled: Tensor) -> Tensor:
        """(B, D) -> (B, F), what the head reads."""
        pooled = self.pooler(pooled)
        return pooled if self.projections is None else self.projections(pooled)

    def _classify(self, pooled: Tensor) -> Tensor:
        if self.unit and isinstance(self.head, nn.Identity):
            return normalize(pooled, dim=-1)
        return self.head(self.dropout(pooled))

    def _initialise(self) -> None:
        """As the image tower: matrices by Glorot & Bengio (2010), a zero head; embeddings of length 1."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
        if isinstance(self.head, nn.Linear):
            nn.init.zeros_(self.head.weight)
