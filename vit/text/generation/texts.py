"""From prompts to texts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vit.errors import UsageError, VitError
from vit.text.generation.decoders import require_language_model
from vit.text.generation.ids import name_of, new_tokens
from vit.text.generation.sampling import Sampling
from vit.text.generation.writing import Writing
from vit.text.matching import is_encoder_decoder
from vit.text.tokenizer import Tokenizer


def generate(
    model: Any,
    prompt: str | Sequence[str],
    *,
    max_tokens: int = 20,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | Sequence[str] = (),
    seed: int | None = None,
) -> str | list[str]:
    """Texts that follow prompts; of an encoder-decoder, its answers to them.

    Args:
        model: A causal language model or an encoder-decoder, in eval mode, with its tokenizer (`preprocess`).
        prompt: A text, or a list of texts.
        max_tokens: Most new tokens; fewer where one of `model.ends` or a stop word comes before.
        temperature: 0: the most probable token each time; above: tokens are drawn (`Sampling`).
        top_k: Draw among this many tokens; None: all.
        top_p: Draw among the most probable tokens that have this probability together; None: all.
        stop: A word, or words, that end a text and are no part of it; they may span tokens.
        seed: The same seed, prompt and model give the same text, whatever else is in the list. None: a drawn
            text differs each time.

    Returns:
        The new text, without the prompt and without special tokens; for a list, a list in its order.

    Raises:
        VitError: The model is no language model or has no tokenizer, or a prompt is empty, or does not fit
            into the model together with `max_tokens`; an argument is outside its range.
    """
    prompts: list[Any] = list(prompt) if isinstance(prompt, (list, tuple)) else [prompt]
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    ids, texts = _begin(model, prompts, stop)
    for _ in new_tokens(model, ids, texts, max_tokens, sampling):
        pass
    return texts[0].text if isinstance(prompt, str) else [text.text for text in texts]


def stream(
    model: Any,
    prompt: str,
    *,
    max_tokens: int = 20,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | Sequence[str] = (),
    seed: int | None = None,
) -> Iterator[str]:
    """The text of `generate` in pieces, each as soon as it is certain: whole characters, no stop word.

    Arguments and errors are those of `generate`; errors come before the first piece.

    Yields:
        Pieces that are not empty; together they are the text.
    """
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    ids, (text,) = _begin(model, [prompt], stop)
    for _ in new_tokens(model, ids, [text], max_tokens, sampling):
        if piece := text.take():
            yield piece
    text.finish()
    if piece := text.take():
        yield piece


def tokenizer_of(model: Any) -> Tokenizer:
    """The tokenizer of a model that generates texts.

    Raises:
        VitError: The model is no language model, or has no tokenizer.
    """
    require_language_model(model)
    if model.preprocess is None:
        raise VitError(
            "model.preprocess is None, and texts need a tokenizer: load the model with its files, "
            "vit.load_model('hf:FOLDER'), pass the tokenizer to vit.from_huggingface, or use "
            "vit.text.generation.generate_ids"
        )
    tokenizer: Tokenizer = model.preprocess
    return tokenizer


def _begin(
    model: Any, prompts: Sequence[str], stop: str | Sequence[str]
) -> tuple[list[Tensor], list[Writing]]:
    """The ids of each prompt, and its text, which is empty.

    Raises:
        VitError: As `generate`.
    """
    tokenizer = tokenizer_of(model)
    if not isinstance(stop, (str, Sequence)):
        raise UsageError(f"stop is {stop!r}, expected a word or a list of words")
    words = [stop] if isinstance(stop, str) else list(stop)
    for what, given in (("prompt", prompts), ("stop word", words)):
        if odd := [each for each in given if not isinstance(each, str)]:
            raise VitError(
                f"a {what} is of type {type(odd[0]).__name__}, expected a text: ids are for "
                "vit.text.generation.generate_ids"
            )
    if "" in words:
        raise UsageError("a stop word is empty, expected at least one character")
    ids = [
        _prompt_ids(model, tokenizer, text, name_of(number, len(prompts)))
        for number, text in enumerate(prompts, 1)
    ]
    return ids, [Writing(_decoder(model, tokenizer, row), model.ends, words) for row in ids]


def _prompt_ids(model: Any, tokenizer: Tokenizer, text: str, name: str) -> Tensor:
    """The ids of a prompt, whole; `name` is for messages.

    What a tokenizer puts after a text is left out where the model is to go on with it.

    Raises:
        VitError: It is empty, or longer than the tokenizer reads.
    """
    if not text:
        raise VitError(f"{name} is empty: a prompt needs at least one token")
    pieces = tokenizer.pieces(text)
    if len(pieces.ids) < pieces.total:
        raise VitError(f"{name} has {pieces.total} tokens, and the model reads {len(pieces.ids)}: shorten it")
    stop = len(pieces.ids)
    if not is_encoder_decoder(model):
        while stop and pieces.words[stop - 1] is None and pieces.ids[stop - 1] in model.ends:
            stop -= 1
    return torch.tensor(pieces.ids[:stop], dtype=torch.int64)


def _decoder(model: Any, tokenizer: Tokenizer, prompt: Tensor) -> Callable[[Sequence[int]], str]:
    """From new ids to text.

    After a prompt, tokens are decoded together with it: a tokenizer may drop the space before a first word.
    """
    if is_encoder_decoder(model):
        return tokenizer.decode
    before = prompt.tolist()
    known = tokenizer.decode(before)

    def decode(ids: Sequence[int]) -> str:
        text = tokenizer.decode([*before, *ids])
        return text[len(known) :] if text.startswith(known) else tokenizer.decode(ids)

    return decode
