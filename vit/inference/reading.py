"""One image or text as a model reads it: every layer's attention, the states, the logits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.attribution.mass import outlier_patches
from vit.attribution.passes import ForwardPass
from vit.attribution.pieces import sum_by_word
from vit.attribution.query import Query
from vit.core import probabilities
from vit.errors import VitError
from vit.inference.words.vocabulary import Names


@dataclass(frozen=True, eq=False)
class Reading:
    """A forward pass over one input, on the CPU but for `states`.

    N are the tokens of an image, prefix included, or the words of a text. P are the patches, or the words.

    Args:
        model: A tower, or an encoder-decoder.
        inputs: (1, C, height, width), or ids int64 (1, tokens).
        weights: L tensors (H, N, N).
        logits: float32 (classes,).
        states: Final states of the patches, (P, D), or of the tokens of a text, (tokens, D).
        prefix: Number of tokens before the patches.
        word_ids: int64 (tokens,), the word of each token of a text; None for an image.
        seeds: `ForwardPass.seed`: what a query stands for, (1, tokens).
        classes: Names of the classes; empty if unknown, or where there are none.
        next_word: Whether the classes are the next token, which the last piece of a word predicts.
        written: The text that the model wrote, without special tokens.
        shown: What a page shows besides: fields of `vit.viewer.View`.
    """

    model: Any
    inputs: Tensor
    weights: list[Tensor]
    logits: Tensor
    states: Tensor
    prefix: int
    word_ids: Tensor | None
    seeds: Callable[[Query], Tensor]
    classes: Names = ()
    next_word: bool = False
    written: str = ""
    shown: dict[str, Any] = field(default_factory=dict)

    def seed(self, query: Query) -> Tensor:
        """(N,), the weighting of final tokens that `cls`, `mean`, or a word (0, index) stands for."""
        if not isinstance(query, str) and self.word_ids is not None:
            seed = torch.zeros(self.weights[0].shape[-1])
            seed[query[1]] = 1
            return seed
        return self.by_word(self.seeds(query).cpu()[0])

    def checked(self, query: Query) -> Query:
        """The query of a text, a word as (0, index).

        Raises:
            VitError: The text has no such word.
        """
        count = self.weights[0].shape[-1]
        if not isinstance(query, str) and (query[0] != 0 or not 0 <= query[1] < count):
            raise VitError(f"query is word {query[1]}, expected 0 to {count - 1}: the text has {count} words")
        return query

    def by_word(self, values: Tensor) -> Tensor:
        """(..., tokens) -> (..., words), the sum of each word's pieces; of an image, unchanged."""
        return values if self.word_ids is None else sum_by_word(values, self.word_ids)

    def token_of(self, word: int) -> int:
        """The token that stands for a word where one is read: its first; in a language model its last."""
        assert self.word_ids is not None
        return int((self.word_ids == word).nonzero()[-1 if self.next_word else 0])

    def lens(self) -> Tensor:
        """Probabilities (P, classes) of each patch or word read alone.

        Of a word the mean over its pieces; in a language model those of its last piece, what comes next.
        """
        alone = probabilities(self.model, self.model.read_token(self.states).float()).cpu()
        if self.word_ids is None:
            return alone
        if self.next_word:
            return alone[[self.token_of(word) for word in range(self.weights[0].shape[-1])]]
        return sum_by_word(alone.T, self.word_ids).T / torch.bincount(self.word_ids)[:, None]


@torch.no_grad()
def read_image(model: Any, image: Tensor, picture: Image.Image) -> Reading:
    """The reading of one image.

    Args:
        model: In eval mode.
        image: (C, height, width), preprocessed.
        picture: The same image, to display.
    """
    forward = ForwardPass(model, image[None])
    weights = [recording.weights()[0].cpu() for recording in forward.layers()]
    last = forward.last.cpu().float()
    return Reading(
        model,
        inputs=image[None],
        weights=weights,
        logits=forward.logits[0].float().cpu(),
        states=forward.states[0, model.prefix :],
        prefix=model.prefix,
        word_ids=None,
        seeds=forward.seed,
        classes=model.labels,
        shown={
            "grid": forward.grid,
            "picture": picture,
            "prefix": model.prefix,
            "prefix_names": list(model.prefix_names),
            "outliers": outlier_patches(last, model.prefix)[0],
            "norms": last[0, model.prefix :].norm(dim=-1),
        },
    )
