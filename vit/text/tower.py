"""The text transformer: ids -> tokens -> core -> head."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize

from vit.core import Encoder, SequencePositions, make_pool

POOLERS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class Neighbours(nn.Module):
    """Adds to each token what a convolution makes of it and those beside it.

    What a convolutional tokenizer is to pictures: attention that starts from nothing need not find out first
    that words are read in order (Hassani et al. 2021, whose compact transformers read texts too).

    Args:
        width: D.
        size: Tokens that the convolution reads, an odd number.
        dropout: Of what is added, while training.
        norm_eps: Epsilon of the norm in front.

    Raises:
        ValueError: An even size, or one below 1.
    """

    def __init__(self, width: int, size: int, *, dropout: float = 0.0, norm_eps: float = 1e-6):
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"neighbours is {size}, expected an odd number of tokens")
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.conv = nn.Conv1d(width, width, size, padding=size // 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, N, D) and bool (B, N), True = a token that is there -> (B, N, D). Others are read as zeros."""
        there = self.norm(tokens) * mask[..., None]
        found = self.conv(there.transpose(1, 2)).transpose(1, 2)
        return tokens + self.dropout(gelu(found))


class TextTransformer(nn.Module):
    """Texts to logits, on the blocks of the image tower (Devlin et al. 2019, "BERT", for the defaults).

    A batch is one tensor of ids, padded on either side; the mask follows from it.

    Args:
        classes: Number of classes; 0 leaves the head out, and `forward` returns the pooled features (B, D).
        vocabulary: Number of ids.
        length: Rows of the position table, and so the longest text in tokens.
        width: D.
        depth: L.
        heads: H.
        mlp_ratio: Hidden width of the MLPs over D.
        norm: Where the blocks' norms stand, `pre` or `post`.
        activation: Of the MLPs, as `vit.core.Mlp` names them.
        positions: `learned` or `sinusoidal`.
        count_from: Which row of the table a token gets. None: that of its place, from 0 (BERT). A number:
            tokens that are no padding are counted, the first gets the row after it, and padding that row
            itself (RoBERTa, with its padding id 1).
        segments: Number of segment embeddings; 0 is none.
        padding: The id that stands for no token.
        embedding_norm: LayerNorm before the first block.
        neighbours: Tokens that a convolution before the first block reads around each one, itself included
            (`Neighbours`); 1 is none.
        encoder_norm: LayerNorm after the last block.
        pool: `cls`, the first token; `mean` of the tokens, special ones included; `cls_mean` or `attention`.
        pooler: A linear map and `tanh` or `relu` between pool and head; None is none.
        unit: Scale pooled features to length 1 where there is no head.
        qkv_bias: Bias on the query, key and value projections: on all or none, or one word for each.
        output_bias: Bias on the other projections of the blocks.
        layer_scale: Initial value of LayerScale; None is none.
        drop_path: Stochastic depth of the last block.
        dropout: Dropout of tokens, branches and what the head reads.
        norm_eps: Epsilon of all norms.

    Attributes:
        labels: Class names, in the order of the logits; empty where nobody gave any.
        preprocess: Text to ids, int64 (N,) (`vit.text.Tokenizer`); None where nobody gave one.
        prefix: 0: the tokens of a text are all shown.
        pool_kind: As `pool`.
        architecture: The arguments as plain values, with `tower` = `text`; empty where nobody kept them.
        autocast: Half-precision dtype that `forward` computes matrix products in; None, the default,
            is the dtype of the weights.

    Raises:
        ValueError: Arguments that do not fit each other, with both values.
    """

    prefix = 0

    def __init__(
        self,
        classes: int,
        vocabulary: int,
        *,
        length: int = 512,
        width: int = 384,
        depth: int = 6,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        norm: str = "post",
        activation: str = "gelu",
        positions: str = "learned",
        count_from: int | None = None,
        segments: int = 0,
        padding: int = 0,
        embedding_norm: bool = True,
        neighbours: int = 1,
        encoder_norm: bool = False,
        pool: str = "cls",
        pooler: str | None = None,
        unit: bool = False,
        qkv_bias: bool | Sequence[bool] = True,
        output_bias: bool = True,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        norm_eps: float = 1e-12,
    ):
        super().__init__()
        if pooler is not None and pooler not in POOLERS:
            raise ValueError(f"pooler is {pooler!r}, expected None or one of: {', '.join(POOLERS)}")
        if not 0 <= padding < vocabulary:
            raise ValueError(
                f"padding is id {padding}, expected 0 to {vocabulary - 1}: one of the vocabulary"
            )
        self.labels: list[str] = []
        self.preprocess: Any = None
        self.architecture: dict[str, Any] = {}
        self.autocast: torch.dtype | None = None
        self.padding = padding
        self.count_from = count_from
        self.pool_kind = pool
        self.unit = unit

        self.words = nn.Embedding(vocabulary, width)
        self.segments = nn.Embedding(segments, width) if segments else None
        self.positions = SequencePositions(length, width, positions)
        self.embedding_norm = nn.LayerNorm(width, eps=norm_eps) if embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.neighbours = (
            None if neighbours == 1 else Neighbours(width, neighbours, dropout=dropout, norm_eps=norm_eps)
        )
        self.encoder = Encoder(
            width,
            depth,
            heads,
            mlp_ratio=mlp_ratio,
            norm=norm,
            activation=activation,
            qkv_bias=qkv_bias,
            output_bias=output_bias,
            layer_scale=layer_scale,
            drop_path=drop_path,
            dropout=dropout,
            final_norm=encoder_norm,
            norm_eps=norm_eps,
        )
        self.pool = make_pool(pool, width, heads, mlp_ratio=mlp_ratio, norm_eps=norm_eps)
        read = 2 * width if pool == "cls_mean" else width
        self.pooler = (
            nn.Identity() if pooler is None else nn.Sequential(nn.Linear(read, read), POOLERS[pooler]())
        )
        self.head = nn.Linear(read, classes) if classes else nn.Identity()
        self._initialise()

    @property
    def length(self) -> int:
        """The longest text in tokens."""
        return len(self.positions.table) - (0 if self.count_from is None else self.count_from + 1)

    def forward(self, ids: Tensor, mask: Tensor | None = None, *, segments: Tensor | None = None) -> Tensor:
        """Ids, int64 (B, N) -> logits (B, classes). Arguments and errors are those of `encode`."""
        mask = self.present(ids) if mask is None else mask
        if self.autocast is None:
            return self.read(self.encode(ids, mask, segments=segments), mask)
        with torch.autocast(ids.device.type, self.autocast):
            states = self.encode(ids, mask, segments=segments)
        return self.read(states.float(), mask)

    def read(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the head makes of final tokens: (B, N, D), as `encode` gives them -> logits (B, classes)."""
        return self._classify(self.pool(states, self.prefix, mask))

    def read_token(self, tokens: Tensor) -> Tensor:
        """What the head makes of a token when that is all it reads (the "logit lens").

        (..., D), of those that `encode` gives -> logits (..., classes).
        """
        alone = self.pool(tokens.reshape(-1, 1, tokens.shape[-1]), 0)  # each a sequence of its own
        return self._classify(alone).unflatten(0, tokens.shape[:-1])

    def encode(self, ids: Tensor, mask: Tensor | None = None, *, segments: Tensor | None = None) -> Tensor:
        """Ids to final tokens, (B, N, D).

        Args:
            ids: int64 (B, N).
            mask: bool (B, N), True = a token that is there; None: all but the padding's id.
            segments: int64 (B, N), which segment each token is of; None: the first.

        Raises:
            ValueError: Ids of another shape, or more of them than positions; segments where there are none.
            IndexError: Ids outside the vocabulary.
        """
        mask = self.present(ids) if mask is None else mask
        return self.encoder(self.embed(ids, mask, segments=segments), mask)

    def embed(self, ids: Tensor, mask: Tensor | None = None, *, segments: Tensor | None = None) -> Tensor:
        """Ids, int64 (B, N) -> (B, N, D), what enters the first block. Errors are those of `encode`."""
        if ids.ndim != 2 or ids.is_floating_point():
            raise ValueError(
                f"ids have shape {tuple(ids.shape)} and {ids.dtype}, expected (B, N), torch.int64"
            )
        if ids.shape[1] > self.length:
            raise ValueError(
                f"the text has {ids.shape[1]} tokens, expected at most {self.length}: cut it, or give the "
                "model a longer table of positions"
            )
        tokens = self.words(ids)
        if self.segments is not None:
            tokens = tokens + (self.segments.weight[0] if segments is None else self.segments(segments))
        elif segments is not None:
            raise ValueError("segments are given, and this model has no segment embeddings: leave them out")
        places = None
        if self.count_from is not None:
            there = ids != self.padding
            places = there.cumsum(1) * there + self.count_from
        tokens = self.dropout(self.embedding_norm(self.positions(tokens, places)))
        if self.neighbours is None:
            return tokens
        return self.neighbours(tokens, self.present(ids) if mask is None else mask)

    def present(self, ids: Tensor) -> Tensor:
        """Which ids are tokens and no padding: bool (B, N)."""
        return ids != self.padding

    def grid(self, ids: Tensor) -> tuple[int, int]:
        """A text is one row of tokens."""
        return 1, ids.shape[1]

    def _classify(self, pooled: Tensor) -> Tensor:
        if self.unit and isinstance(self.head, nn.Identity):
            return normalize(self.pooler(pooled), dim=-1)
        return self.head(self.dropout(self.pooler(pooled)))

    def _initialise(self) -> None:
        """As the image tower: matrices by Glorot & Bengio (2010), a zero head; small words."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
        if isinstance(self.head, nn.Linear):
            nn.init.zeros_(self.head.weight)
