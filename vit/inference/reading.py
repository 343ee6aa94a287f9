"""One image or text as a model reads it: every layer's attention, the states, the logits."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.attribution.mass import outlier_patches
from vit.attribution.passes import ForwardPass
from vit.attribution.pieces import in_words, merge_pieces, sum_by_word
from vit.attribution.query import Query
from vit.core import Tower, probabilities


@dataclass(frozen=True, eq=False)
class Reading:
    """A forward pass over one input, on the CPU but for `states`.

    N are the tokens of an image, prefix included, or the words of a text. P are the patches, or the words.

    Args:
        model: The model.
        inputs: (1, C, height, width), or ids int64 (1, tokens).
        weights: L tensors (H, N, N).
        logits: float32 (classes,).
        states: Final states of the patches, (P, D), or of the tokens of a text, (tokens, D).
        prefix: Number of tokens before the patches.
        word_ids: int64 (tokens,), the word of each token of a text; None for an image.
        forward: The pass.
        shown: What a page shows besides: fields of `vit.viewer.View`.
    """

    model: Tower
    inputs: Tensor
    weights: list[Tensor]
    logits: Tensor
    states: Tensor
    prefix: int
    word_ids: Tensor | None
    forward: ForwardPass
    shown: dict[str, Any] = field(default_factory=dict)

    def seed(self, query: Query) -> Tensor:
        """(N,), the weighting of final tokens that `cls`, `mean`, or a word (0, index) stands for."""
        if not isinstance(query, str) and self.word_ids is not None:
            seed = torch.zeros(self.weights[0].shape[-1])
            seed[query[1]] = 1
            return seed
        return self.by_word(self.forward.seed(query).cpu()[0])

    def by_word(self, values: Tensor) -> Tensor:
        """(..., tokens) -> (..., words), the sum of each word's pieces; of an image, unchanged."""
        return values if self.word_ids is None else sum_by_word(values, self.word_ids)

    def lens(self) -> Tensor:
        """Probabilities (P, classes) of each patch or word read alone; the mean over a word's pieces."""
        alone = probabilities(self.model, self.model.read_token(self.states).float()).cpu()
        if self.word_ids is None:
            return alone
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
        forward=forward,
        shown={
            "grid": forward.grid,
            "picture": picture,
            "prefix": model.prefix,
            "prefix_names": list(model.prefix_names),
            "outliers": outlier_patches(last, model.prefix)[0],
            "norms": last[0, model.prefix :].norm(dim=-1),
        },
    )


@torch.no_grad()
def read_text(model: Any, text: str, *, merge: bool = True) -> Reading:
    """The reading of one text, word by word: attention to a word is summed, from a word averaged.

    Args:
        model: In eval mode, with `preprocess`.
        text: The text.
        merge: Whether word pieces are merged to words; otherwise every token is a word. Special tokens are
            words of their own.
    """
    pieces = model.preprocess.pieces(text)
    ids = torch.tensor([pieces.ids], device=next(model.parameters()).device)
    word_ids = merge_pieces(pieces.words) if merge else torch.arange(len(pieces.ids))
    forward = ForwardPass(model, ids)
    weights = [in_words(recording.weights()[0].cpu(), word_ids) for recording in forward.layers()]
    special = [words[0] is None for words in _by_word(pieces.words, word_ids)]
    names = [
        tokens[0] if is_special else pieces.text[spans[0][0] : spans[-1][1]].strip()
        for spans, tokens, is_special in zip(
            _by_word(pieces.spans, word_ids), _by_word(pieces.tokens, word_ids), special, strict=True
        )
    ]
    return Reading(
        model,
        inputs=ids,
        weights=weights,
        logits=forward.logits[0].float().cpu(),
        states=forward.states[0],
        prefix=0,
        word_ids=word_ids,
        forward=forward,
        shown={"grid": None, "tokens": names, "special": special},
    )


def _by_word(items: Iterable[Any], word_ids: Tensor) -> list[list[Any]]:
    """The items of each word's tokens."""
    words: list[list[Any]] = [[] for _ in range(int(word_ids.max()) + 1)]
    for item, word in zip(items, word_ids.tolist(), strict=True):
        words[word].append(item)
    return words
