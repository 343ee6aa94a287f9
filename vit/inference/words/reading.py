"""One text as a model reads it, and what it wrote after it, word by word."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vit.attribution.joint import joint_layers
from vit.attribution.passes import ForwardPass
from vit.attribution.pieces import in_words
from vit.attribution.query import Query
from vit.core import record_attention
from vit.errors import VitError
from vit.inference.reading import Reading
from vit.inference.words.vocabulary import class_names
from vit.inference.words.words import Words, added_text, joined, text_words, written_words
from vit.text.generation import generate_ids
from vit.text.matching import is_encoder_decoder, predicts_next

TARGET_TOKENS = 20  # that an encoder-decoder writes, if nothing else is said

CAUSAL = "A word attends to itself and to those before it alone."
NEXT = "From its state the model chooses the word after it."
WRITTEN = "Underlined words are the model's own."


class NoRoom(VitError):
    """The model has no room for as many tokens after a text."""


@torch.no_grad()
def read_text(model: Any, text: str, *, merge: bool = True, max_tokens: int | None = None) -> Reading:
    """The reading of one text, word by word: attention to a word is summed, from a word averaged.

    Args:
        model: In eval mode, with `preprocess`.
        text: The text.
        merge: Whether word pieces are merged to words; otherwise every token is a word. Special tokens are
            words of their own.
        max_tokens: Most tokens that a language model writes after the text, or as the target of it; None:
            none, and `TARGET_TOKENS` of an encoder-decoder.

    Raises:
        NoRoom: The model has no room for `max_tokens` after the text.
        VitError: `max_tokens`, and the model writes no texts.
    """
    if is_encoder_decoder(model):
        return _read_both(model, text, merge, TARGET_TOKENS if max_tokens is None else max_tokens)
    language = predicts_next(model)
    words = text_words(model.preprocess, text, merge=merge, ends=model.ends if language else ())
    before, count = words.ids, len(words.names)
    if max_tokens is not None:
        words = joined(words, _written(model, before, max_tokens, merge))
    ids = _batch(model, words.ids)
    forward = ForwardPass(model, ids)
    weights = [in_words(recording.weights()[0].cpu(), words.word_ids) for recording in forward.layers()]
    shown: dict[str, Any] = {"grid": None, "tokens": words.names, "special": words.special}
    if getattr(model, "causal", False):
        notes = [CAUSAL, NEXT] if language else [CAUSAL]
        shown["note"] = " ".join(notes if max_tokens is None else [*notes, WRITTEN])
    if max_tokens is not None:
        shown["written"] = [word >= count for word in range(len(words.names))]
    return Reading(
        model,
        inputs=ids,
        weights=weights,
        logits=forward.logits[0].float().cpu(),
        states=forward.states[0],
        prefix=0,
        word_ids=words.word_ids,
        seeds=forward.seed,
        written=added_text(model.preprocess, before, words.ids),
        classes=class_names(model),
        next_word=language,
        shown=shown,
    )


def _written(model: Any, before: list[int], max_tokens: int, merge: bool) -> Words:
    """The words that a causal model writes after these ids, without the token that ends a text."""
    _require_room(model, len(before), max_tokens)
    ids = _batch(model, before)
    new = generate_ids(model, ids, torch.ones_like(ids, dtype=torch.bool), max_tokens=max_tokens)[0].tolist()
    new = new[:-1] if new and new[-1] in model.ends else new
    return written_words(model.preprocess, new, before=before, merge=merge)


def _read_both(model: Any, text: str, merge: bool, max_tokens: int) -> Reading:
    """The reading of a source and of the target that an encoder-decoder writes for it."""
    source = text_words(model.preprocess, text, merge=merge)
    ids = _batch(model, source.ids)
    mask = torch.ones_like(ids, dtype=torch.bool)
    _require_room(model, 1, max_tokens)
    new = generate_ids(model, ids, mask, max_tokens=max_tokens)[0].tolist()
    new = new[:-1] if new and new[-1] in model.ends else new
    name = model.preprocess.name_of(model.start)
    start = Words([model.start], torch.zeros(1, dtype=torch.int64), [name], [True])
    words = joined(source, joined(start, written_words(model.preprocess, new, merge=merge)))
    with record_attention(model) as tape:
        states = model.encode(ids, mask, _batch(model, [model.start, *new]))
    weights = [in_words(layer[0].cpu(), words.word_ids) for layer in joint_layers(tape)]
    depths, first = (tape.depths["encoder"], tape.depths["decoder"]), len(source.names)

    def seeds(query: Query) -> Tensor:
        """What the head reads is the last token of the target; the mean is that of the target."""
        tokens, target = len(words.ids), len(source.ids)
        if query == "cls":
            return one_hot(torch.tensor([tokens - 1]), tokens).float()
        if query == "mean":
            return (torch.arange(tokens) >= target).float()[None] / (tokens - target)
        return one_hot(torch.tensor([query[1]]), tokens).float()

    return Reading(
        model,
        inputs=ids,
        weights=weights,
        logits=model.read_token(states[0, -1]).float().cpu(),
        states=states[0],
        prefix=0,
        word_ids=words.word_ids,
        seeds=seeds,
        written=model.preprocess.decode(new).strip(),
        next_word=True,
        shown={
            "grid": None,
            "tokens": words.names,
            "special": words.special,
            "written": [word > first for word in range(len(words.names))],
            "target": first,
            "note": _note(*depths),
        },
    )


def _note(encoder: int, decoder: int) -> str:
    """How the layers of both stacks stand in one matrix."""
    return (
        f"{_layers(0, encoder)} the encoder's: words of the source attend to each other, and those of the "
        f"target keep to themselves. {_layers(encoder, decoder)} the decoder's: a word of the target attends "
        f"half to the source, and half to itself and to those before it. {NEXT}"
    )


def _layers(first: int, count: int) -> str:
    return f"Layer {first} is" if count == 1 else f"Layers {first} to {first + count - 1} are"


def _batch(model: Any, ids: list[int]) -> Tensor:
    return torch.tensor([ids], device=next(model.parameters()).device)


def _require_room(model: Any, known: int, max_tokens: int) -> None:
    """Refuse more tokens than the model can read again.

    Raises:
        NoRoom: With the numbers.
    """
    room = getattr(model, "length", max_tokens + known) - known
    if room < 1:
        raise NoRoom(
            f"the text fills the {known} tokens that the model reads, so it cannot go on with it: give a "
            "shorter text, or leave max_tokens out"
        )
    if max_tokens > room:
        raise NoRoom(
            f"max_tokens is {max_tokens}, and the model, which reads {room + known} tokens, has room for "
            f"{room} after {known}: give at most {room}, or a shorter text"
        )
