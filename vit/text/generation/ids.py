"""The loop over new tokens, and generation from ids to ids."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from vit.errors import UsageError, VitError
from vit.text.generation.arguments import require_batch, require_integer, require_mask
from vit.text.generation.decoders import decoder_for, require_language_model
from vit.text.generation.sampling import Sampling, Streams
from vit.text.matching import is_encoder_decoder


class Row(Protocol):
    """What becomes of the new tokens of one prompt."""

    def add(self, token: int) -> bool:
        """Take the next token; whether this row is finished."""
        ...


class Ids:
    """New ids of one prompt, up to the first that ends it, which is included.

    Args:
        ends: Ids that end a text.
    """

    def __init__(self, ends: Sequence[int]):
        self.ends = ends
        self.ids: list[int] = []

    def add(self, token: int) -> bool:
        """As `Row.add`."""
        self.ids.append(token)
        return token in self.ends


def generate_ids(
    model: Any,
    ids: Tensor,
    mask: Tensor | None = None,
    *,
    max_tokens: int = 20,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    cached: bool = True,
) -> list[Tensor]:
    """New ids for each row of ids: of a causal model what follows, of an encoder-decoder the target.

    Args:
        model: A causal language model or an encoder-decoder, in eval mode.
        ids: int64 (B, N), padded on either side.
        mask: bool (B, N), `True` = a token; None: as `model.mask` says.
        max_tokens: Most new ids of a row.
        temperature, top_k, top_p, seed: As in `vit.text.generation.Sampling`.
        cached: Whether keys and values are kept, so that a token is one row of work; the ids are the same.

    Returns:
        int64 (up to `max_tokens`,) for each row, without the prompt; where one of `model.ends` came, it is
        the last.

    Raises:
        VitError: The model is no language model; ids or mask are no batch of its ids; a row has no token, or
            more than the model reads; an argument is outside its range.
    """
    require_language_model(model)
    require_batch(ids, model.token_embedding.num_embeddings)
    mask = model.mask(ids) if mask is None else mask
    require_mask(mask, ids)
    prompts = [row[present] for row, present in zip(ids, mask, strict=True)]
    rows = [Ids(model.ends) for _ in prompts]
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    for _ in new_tokens(model, prompts, rows, max_tokens, sampling, cached=cached):
        pass
    return [torch.tensor(row.ids, dtype=torch.int64) for row in rows]


def new_tokens(
    model: Any,
    prompts: Sequence[Tensor],
    rows: Sequence[Row],
    max_tokens: int,
    sampling: Sampling,
    *,
    cached: bool = True,
) -> Iterator[None]:
    """Generate, and yield after each token of the rows that are not finished; those do no more work.

    Args:
        model: As in `generate_ids`.
        prompts: Ids of each prompt, int64 (N,).
        rows: Where the tokens of each prompt go.
        max_tokens: Most new tokens.
        sampling: How they are chosen.
        cached: As in `generate_ids`.

    Raises:
        VitError: As `generate_ids`.
    """
    require_room(model, prompts, max_tokens)
    if not prompts:
        return
    streams = Streams(sampling.seed, [prompt.tolist() for prompt in prompts])
    decoder = decoder_for(model, prompts, cached=cached)
    going = list(range(len(prompts)))  # rows that are not finished
    logits = decoder.start()
    for step in range(max_tokens):
        tokens = sampling.choose(logits, streams.uniform(going, step))
        finished = [rows[row].add(token) for row, token in zip(going, tokens.tolist(), strict=True)]
        yield
        if all(finished) or step + 1 == max_tokens:
            return
        if any(finished):
            left = [place for place, done in enumerate(finished) if not done]
            going = [going[place] for place in left]
            kept = torch.tensor(left, device=tokens.device)
            tokens = tokens[kept]
            decoder.keep(kept)
        logits = decoder.step(tokens)


def name_of(number: int, total: int) -> str:
    """A prompt, counted from 1, in a message."""
    return "the prompt" if total == 1 else f"prompt {number}"


def require_room(model: Any, prompts: Sequence[Tensor], max_tokens: int) -> None:
    """Refuse a prompt without tokens, and texts that do not fit into the model.

    Raises:
        UsageError: `max_tokens` is no whole number, or below 1.
        VitError: As said, with the numbers.
    """
    require_integer("max_tokens", max_tokens)
    if max_tokens < 1:
        raise UsageError(f"max_tokens is {max_tokens}, expected at least 1")
    window = model.length
    for number, prompt in enumerate(prompts, 1):
        which = name_of(number, len(prompts))
        if not len(prompt):
            raise VitError(f"{which} is empty: a prompt needs at least one token")
        if len(prompt) > window:
            raise VitError(f"{which} has {len(prompt)} tokens, and the model reads {window}: shorten it")
        room = window if is_encoder_decoder(model) else window - len(prompt) + 1  # the last is not read again
        if max_tokens > room:
            taken = "" if is_encoder_decoder(model) else f" after the {len(prompt)} of {which}"
            raise VitError(
                f"max_tokens is {max_tokens}, and the model, which reads {window} tokens, has room for "
                f"{room}{taken}: give at most {room}"
            )
