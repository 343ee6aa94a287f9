"""The text transformer: ids -> tokens -> core -> head."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vit.bundle import save_model
from vit.core import BlockSpec, Encoder, LayerCache, Relation, make_pool
from vit.core.norms import make_norm
from vit.core.pooling import make_pooler
from vit.core.tower import final_states, initialise, plain_arguments
from vit.positions import SEQUENCES, SequencePositions, make_relative
from vit.text.embedding import embed_ids
from vit.text.generation import generate
from vit.text.matching import End, require_fit, require_padding, token_mask
from vit.text.neighbours import make_neighbours
from vit.text.places import last_and_all, relations_between
from vit.text.projection import Projection, make_projections
from vit.text.tokenizer import Tokenizer


class TextTransformer(nn.Module):
    """Texts to logits, on the blocks of the image tower. It has the interface of `vit.core.Tower`.

    A batch is one tensor of ids, padded on either side; `mask` finds the tokens. BERT (Devlin et al. 2019)
    is a post-norm `block`, `embedding_norm` and no `encoder_norm`; GPT-2 (Radford et al. 2019) is `causal`,
    pre-norm, reads the `last` token, and has a class for each id of the vocabulary.

    Args:
        classes: Number of classes; 0: no head, and `forward` returns the pooled features (B, D).
        vocabulary: Number of ids.
        block: What all blocks share.
        length: Rows of the position table: the longest text in tokens.
        depth: L.
        causal: Whether a token attends to itself and to those before it alone.
        positions: `learned`, `sinusoidal`, or `none`: no table of positions.
        relative: What attention knows of positions: `kind`, a name in `vit.positions.SEQUENCES`, and the
            options of its class; None: nothing.
        count_from: How position ids are counted. None: from 0, padding included (BERT). A number: tokens that
            are no padding are counted from the number after it, and padding has this number itself (RoBERTa,
            whose padding id is 1).
        segments: Number of segment embeddings; 0 is none.
        count_padding: Whether a causal model without `count_from` counts padding too (CLIP); otherwise only
            tokens are counted, so that padding may stand on the left where texts are generated.
        padding: The id of padding.
        end: The id that ends a text, or `highest`, the highest id of a text (`vit.text.matching.token_mask`):
            pools read nothing after the first of them, which without a mask is padding; None: none.
        ends: Ids that end a text that a causal model generates.
        embedding_width: Channels of token and segment embeddings, which a linear layer brings to D (ELECTRA);
            None: D.
        embedding_norm: LayerNorm before the first block.
        first_norm: Whether the first block has its norm before attention (not in ModernBERT, where
            `embedding_norm` is it).
        neighbours: Tokens that a convolution before the first block reads around each token, itself included
            (`Neighbours`); 1: no convolution.
        encoder_norm: LayerNorm after the last block.
        pool: A name in `vit.core.pooling.POOLS`: `cls`, the first token; `last`; `mean` of the tokens,
            special ones included; ...
        pool_block: What an attention pool takes from a block; None: `block`.
        pooler: A linear layer and `tanh` or `relu` between pool and head; None: neither.
        projections: Linear layers after the pooler, the `Dense` of sentence-transformers, each as (width,
            activation, bias); `vit.text.projection` has the activations.
        head_norm: A norm after these.
        unit: Scale `features` to length 1; a head reads them unscaled.
        query_token: A learned vector from which a token is predicted (`vit.text.two_streams`).
        drop_path: Stochastic depth of the last block.
        tied: Whether the head's matrix is that of the embedding.

    Attributes:
        preprocess: Text to ids, int64 (N,) (`vit.text.Tokenizer`); None if unknown.
        prefix: 0: all tokens of a text are shown.
        labels: As in `vit.core.tower.Tower`, as are all others.

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
        causal: bool = False,
        positions: str = "learned",
        relative: Mapping[str, Any] | None = None,
        count_from: int | None = None,
        count_padding: bool = False,
        segments: int = 0,
        padding: int = 0,
        end: End | None = None,
        ends: Sequence[int] = (),
        embedding_width: int | None = None,
        embedding_norm: bool = True,
        first_norm: bool = True,
        neighbours: int = 1,
        encoder_norm: bool = False,
        pool: str = "cls",
        pool_block: BlockSpec | None = None,
        pooler: str | None = None,
        projections: Sequence[Projection] = (),
        head_norm: bool = False,
        unit: bool = False,
        query_token: bool = False,
        drop_path: float = 0.0,
        tied: bool = False,
    ):
        architecture = plain_arguments("text", locals())
        super().__init__()
        require_padding(padding, vocabulary)
        self.labels: list[str] = []
        self.thresholds: list[float] = []
        self.preprocess: Any = None
        self.architecture: dict[str, Any] = architecture
        self.source: dict[str, str] = {}
        self.autocast: torch.dtype | None = None
        self.padding = padding
        self.end, self.ends = end, tuple(ends)
        self.causal = causal
        self.longest = length
        self.count_from = count_from
        self.skip_padding = causal and not count_padding
        self.pool_kind = pool
        self.unit = unit
        width = block.width

        narrow = width if embedding_width is None else embedding_width
        self.token_embedding = nn.Embedding(vocabulary, narrow)
        self.segments = nn.Embedding(segments, narrow) if segments else None
        self.positions = None if positions == "none" else SequencePositions(length, narrow, positions)
        self.relative = make_relative(SEQUENCES, relative, block, depth)
        norm = partial(make_norm, eps=block.norm_eps, kind=block.norm_kind)
        self.embedding_norm = norm(narrow, used=embedding_norm)
        self.widen = None if embedding_width is None else nn.Linear(narrow, width)
        self.dropout = nn.Dropout(block.dropout)
        self.query_token = nn.Parameter(torch.randn(width) * width**-0.5) if query_token else None
        self.neighbours = make_neighbours(neighbours, block)
        self.encoder = Encoder(block, depth, drop_path=drop_path, final_norm=encoder_norm)
        if not first_norm:
            self.encoder.blocks[0].attention_norm = nn.Identity()
        self.pool = make_pool(pool, pool_block or block)
        pooled = 2 * width if pool == "cls_mean" else width
        self.pooler = make_pooler(pooler, pooled) or nn.Identity()
        # None where there are none, so that a model prints as before.
        self.projections = make_projections(projections, pooled)
        pooled = projections[-1][0] if projections else pooled
        self.head_norm = norm(pooled) if head_norm else None
        self.head: nn.Module = nn.Linear(pooled, classes) if classes else nn.Identity()
        initialise(self)
        if tied:
            self.head.weight = self.token_embedding.weight

    generate = generate

    def extra_repr(self) -> str:
        """See `torch.nn.Module`; what a digest of the model must tell apart."""
        said = {"causal": self.causal, "end": self.end, "skip_padding": self.skip_padding}
        return ", ".join(f"{name}={value}" for name, value in said.items() if value not in (False, None))

    @property
    def length(self) -> int:
        """The longest text in tokens."""
        return self.longest - (0 if self.count_from is None else self.count_from + 1)

    usual_tokens = length

    def save(self, folder: str | Path) -> None:
        """Write the model as a bundle, a folder that `vit.load_model` and every command read.

        Args:
            folder: As in `vit.bundle.save_model`, with its errors.
        """
        save_model(self, folder)

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
            ids, mask, segments: As in `encode`, with its errors.
            exact: Compute in the weights' dtype, without autocast.
        """
        mask = self.mask(ids) if mask is None else mask
        states = final_states(self, ids, exact=exact, mask=mask, segments=segments)
        return self.read(states, self._read_mask(ids, mask))

    def features(self, ids: Tensor, mask: Tensor | None = None, *, exact: bool = False) -> Tensor:
        """Ids -> pooled features (B, F): what the head reads, of length 1 with `unit`; as `forward`."""
        mask = self.mask(ids) if mask is None else mask
        pooled = self._pooled(final_states(self, ids, exact=exact, mask=mask), self._read_mask(ids, mask))
        return normalize(pooled, dim=-1) if self.unit else pooled

    def read(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """States (B, N, D), as `encode` gives them -> logits (B, classes)."""
        return self._classify(self._pooled(states, mask))

    def read_token(self, tokens: Tensor) -> Tensor:
        """Logits of states that are read one at a time (the "logit lens"): (..., D) -> (..., classes)."""
        alone = self.pool(tokens.reshape(-1, 1, tokens.shape[-1]), 0)  # each a sequence of its own
        return self._classify(self._after_pool(alone)).unflatten(0, tokens.shape[:-1])

    def encode(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        segments: Tensor | None = None,
        caches: Sequence[LayerCache] | None = None,
    ) -> Tensor:
        """Ids to final tokens, (B, N, D).

        Args:
            ids: int64 (B, N).
            mask: bool (B, N), `True` = a token, `False` = padding; None: as the method `mask` says. With
                `caches` bool (B, M), of all tokens so far.
            segments: int64 (B, N), the segment of each token, with `caches` (B, M); None: all in the first.
            caches: Of the M - N tokens before these in a causal model (`vit.core.new_cache`); they grow by N.

        Raises:
            ValueError: Ids of another shape, or more of them than positions; segments where there are none.
            IndexError: Ids outside the vocabulary.
        """
        mask = self.mask(ids) if mask is None else mask
        tokens = self.embed(ids, mask, segments=segments)
        relations = self.relations(ids, mask.shape[1], segments=segments)
        return self.encoder(tokens, mask, relations, caches=caches)

    def embed(self, ids: Tensor, mask: Tensor | None = None, *, segments: Tensor | None = None) -> Tensor:
        """Ids, int64 (B, N) -> (B, N, D), the input of the first block; arguments and errors as `encode`."""
        return embed_ids(self, ids, self.mask(ids) if mask is None else mask, segments)

    def relations(
        self, ids: Tensor, total: int | None = None, *, segments: Tensor | None = None
    ) -> Sequence[Relation] | None:
        """What each layer's attention knows of the positions of these tokens; None: nothing.

        Args:
            ids: int64 (B, N), the last of `total` tokens.
            total: M, the number of keys; None: N.
            segments: int64 (B, M), as in `encode`.
        """
        queries, keys = last_and_all(ids, total)
        depth = len(self.encoder.blocks)
        return relations_between(self.relative, queries, keys, segments, causal=self.causal, depth=depth)

    def mask(self, ids: Tensor) -> Tensor:
        """Bool (B, N), `True` = a token, `False` = padding, as `vit.text.matching.token_mask` finds them."""
        return token_mask(ids, self.padding, self.end)

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Read texts with this tokenizer: sets `preprocess`, and `padding` to its id of padding.

        Raises:
            VitError: As `vit.text.matching.require_fit`.
        """
        counted = None if self.count_from is None else self.padding
        require_fit(tokenizer, self.token_embedding.num_embeddings, self.length, counted)
        self.padding = self.architecture["padding"] = tokenizer.padding
        self.preprocess = tokenizer

    def grid(self, ids: Tensor) -> tuple[int, int]:
        """A text is one row of tokens."""
        return 1, ids.shape[1]

    def _read_mask(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What pools read: bool (B, N)."""
        return mask if self.end is None else mask & token_mask(ids, self.padding, self.end)

    def _pooled(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._after_pool(self.pool(states, self.prefix, mask))

    def _after_pool(self, pooled: Tensor) -> Tensor:
        """(B, D) -> (B, F), what the head reads."""
        pooled = self.pooler(pooled)
        if self.projections is not None:
            pooled = self.projections(pooled)
        return pooled if self.head_norm is None else self.head_norm(pooled)

    def _classify(self, pooled: Tensor) -> Tensor:
        if self.unit and isinstance(self.head, nn.Identity):
            return normalize(pooled, dim=-1)
        return self.head(self.dropout(pooled))
