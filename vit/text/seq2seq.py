"""The encoder-decoder transformer: ids of a source and of a target -> states of the target -> head."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vit.bundle import save_model
from vit.core import BlockSpec, Encoder, LayerCache
from vit.core.tower import initialise, plain_arguments
from vit.errors import VitError
from vit.positions import SEQUENCES, SequencePositions, make_relative
from vit.text.generation import generate
from vit.text.matching import require_fit, require_ids, token_mask
from vit.text.places import last_and_all, relations_between
from vit.text.tokenizer import Tokenizer

HEADS = ("tied", "own", "none")
USUAL_TOKENS = 512  # of a text, where a model has no table of positions that would say it


class EncoderDecoder(nn.Module):
    """Texts to texts (Vaswani et al. 2017); T5 (Raffel et al. 2020) is `relative` buckets and RMS norms.

    One embedding serves source and target. The encoder is one stack of blocks, the decoder another, whose
    blocks attend to the encoder's states too.

    Args:
        vocabulary: Number of ids.
        block: What the blocks of both stacks share; `cross` is set for the decoder's.
        depth: L of the encoder.
        decoder_depth: L of the decoder; None: `depth`.
        length: The longest text in tokens, and the rows of the position table.
        positions: `learned`, `sinusoidal` or `none`, one table for both stacks.
        relative: As in `TextTransformer`, for each stack; a decoder has no buckets for later keys.
        embedding_scale: Factor on the embeddings (Vaswani et al. 2017, section 3.4).
        embedding_norm: A norm before the first block of each stack.
        final_norm: A norm after the last block of each stack.
        head: `tied`: its matrix is that of the embedding; `own`: a matrix of its own; `none`: no head, and
            `read_token` returns states.
        head_bias: Bias of the head.
        head_scale: Factor on the decoder's states before the head.
        padding: The id of padding.
        start: The first id of every target.
        ends: Ids that end a target; empty: none does.

    Attributes:
        preprocess: Text to ids, int64 (N,) (`vit.text.Tokenizer`); None if unknown.
        labels, thresholds, architecture, source, autocast: As in `vit.core.tower.Tower`.

    Raises:
        ValueError: Arguments that do not fit each other, with both values.
    """

    reads: Literal["image", "text"] = "text"

    def __init__(
        self,
        vocabulary: int,
        block: BlockSpec,
        *,
        depth: int = 6,
        decoder_depth: int | None = None,
        length: int = 512,
        positions: str = "sinusoidal",
        relative: Mapping[str, Any] | None = None,
        embedding_scale: float = 1.0,
        embedding_norm: bool = False,
        final_norm: bool = True,
        head: str = "tied",
        head_bias: bool = False,
        head_scale: float = 1.0,
        padding: int = 0,
        start: int = 0,
        ends: Sequence[int] = (),
    ):
        architecture = plain_arguments("seq2seq", locals())
        super().__init__()
        _check(vocabulary, head, {"padding": (padding,), "start": (start,), "ends": ends})
        self.labels: list[str] = []
        self.thresholds: list[float] = []
        self.preprocess: Any = None
        self.architecture: dict[str, Any] = architecture
        self.source: dict[str, str] = {}
        self.autocast: torch.dtype | None = None
        self.padding, self.start, self.ends, self.length = padding, start, tuple(ends), length
        self.embedding_scale, self.head_scale = embedding_scale, head_scale
        decoder_depth = depth if decoder_depth is None else decoder_depth
        width = block.width

        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positions = None if positions == "none" else SequencePositions(length, width, positions)
        self.dropout = nn.Dropout(block.dropout)
        self.encoder_embedding_norm = block.make_norm(used=embedding_norm)
        self.encoder = Encoder(block, depth, final_norm=final_norm)
        self.encoder_relative = make_relative(SEQUENCES, relative, block, depth)
        self.decoder_embedding_norm = block.make_norm(used=embedding_norm)
        self.decoder = Encoder(replace(block, cross=True), decoder_depth, final_norm=final_norm)
        self.decoder_relative = make_relative(SEQUENCES, _one_way(relative), block, decoder_depth)
        self.head: nn.Module = (
            nn.Identity() if head == "none" else nn.Linear(width, vocabulary, bias=head_bias)
        )
        initialise(self)
        if head == "tied":
            self.head.weight = self.token_embedding.weight

    generate = generate

    @property
    def usual_tokens(self) -> int:
        """Tokens of a long text."""
        return min(self.length, USUAL_TOKENS)

    def save(self, folder: str | Path) -> None:
        """Write the model as a bundle, a folder that `vit.load_model` and every command read.

        Args:
            folder: As in `vit.bundle.save_model`, with its errors.
        """
        save_model(self, folder)

    def forward(self, ids: Tensor, mask: Tensor | None, target: Tensor) -> Tensor:
        """Source ids (B, M), mask (B, M) and target ids (B, N), int64 -> logits (B, N, vocabulary).

        Arguments and errors are those of `encode`.
        """
        return self.read_token(self.encode(ids, mask, target))

    def encode(self, ids: Tensor, mask: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """States of the target, (B, N, D), after the final norm; without one those of the source, (B, M, D).

        Args:
            ids: int64 (B, M), the source.
            mask: bool (B, M), `True` = a token, `False` = padding; None: as the method `mask` says.
            target: int64 (B, N), what the decoder has so far, beginning with `start`; padded at its end.

        Raises:
            ValueError: Ids of another shape, or more of them than positions.
            IndexError: Ids outside the vocabulary.
        """
        mask = self.mask(ids) if mask is None else mask
        depth = len(self.encoder.blocks)
        places = last_and_all(ids)
        relations = relations_between(self.encoder_relative, *places, causal=False, depth=depth)
        states = self.encoder(self.encoder_embedding_norm(self._embed(ids)), mask, relations)
        return states if target is None else self.decode(target, states, mask)

    def decode(
        self,
        target: Tensor,
        states: Tensor,
        mask: Tensor | None = None,
        *,
        known: int = 0,
        caches: Sequence[LayerCache] | None = None,
    ) -> Tensor:
        """States of the target, (B, N, D), after the decoder's final norm.

        Args:
            target: int64 (B, N), its last N ids.
            states: (B, M, D), as `encode` gives them.
            mask: bool (B, M), of the source.
            known: Number of ids of the target before these, which are in `caches`.
            caches: From `vit.core.new_cache`; they grow by N.
        """
        tokens = self.decoder_embedding_norm(self._embed(target, known))
        depth = len(self.decoder.blocks)
        places = last_and_all(target, known + target.shape[1])
        relations = relations_between(self.decoder_relative, *places, causal=True, depth=depth)
        return self.decoder(tokens, None, relations, source=states, source_mask=mask, caches=caches)

    def read_token(self, states: Tensor) -> Tensor:
        """States of the target (..., D) -> logits (..., vocabulary)."""
        return self.head(states * self.head_scale)

    def mask(self, ids: Tensor) -> Tensor:
        """Bool (B, M), `True` = a token, `False` = padding (`vit.text.matching.token_mask`)."""
        return token_mask(ids, self.padding)

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Read texts with this tokenizer: sets `preprocess`, and `padding` to its id of padding.

        Raises:
            VitError: As `vit.text.matching.require_fit`.
        """
        require_fit(tokenizer, self.token_embedding.num_embeddings, self.length, None)
        self.padding = self.architecture["padding"] = tokenizer.padding
        self.preprocess = tokenizer

    def features(self, ids: Tensor, mask: Tensor | None = None, *, exact: bool = False) -> Tensor:
        """An encoder-decoder pools nothing.

        Raises:
            VitError: Always.
        """
        raise VitError(
            "an encoder-decoder gives texts, not vectors: use vit generate, or of T5 the encoder alone, "
            "transformers.T5EncoderModel"
        )

    def _embed(self, ids: Tensor, known: int = 0) -> Tensor:
        """Ids, int64 (B, N) -> (B, N, D); their positions are counted from `known`."""
        require_ids(ids, self.length - known)
        tokens = self.token_embedding(ids) * self.embedding_scale
        if self.positions is not None:
            places = torch.arange(known, known + ids.shape[1], device=ids.device)
            tokens = self.positions(tokens, places.expand_as(ids))
        return self.dropout(tokens)


def _one_way(relative: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Relative positions of a decoder: no buckets for keys after the query, which it does not see."""
    if relative is None or relative.get("kind") != "buckets":
        return relative
    return {**relative, "bidirectional": False}


def _check(vocabulary: int, head: str, ids: Mapping[str, Sequence[int]]) -> None:
    """Refuse an unknown head, and ids outside the vocabulary.

    Raises:
        ValueError: As said.
    """
    if head not in HEADS:
        raise ValueError(f"head is {head!r}, expected one of: {', '.join(HEADS)}")
    for name, found in ids.items():
        if odd := [number for number in found if not 0 <= number < vocabulary]:
            raise ValueError(f"{name} has id {odd[0]}, expected 0 to {vocabulary - 1}: one of the vocabulary")
