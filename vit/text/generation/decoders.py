"""A causal model and an encoder-decoder behind one interface: ids so far -> logits of the next token."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from vit.core import LayerCache, new_cache
from vit.errors import VitError
from vit.text.matching import is_encoder_decoder, predicts_next


class Decoder(Protocol):
    """Logits of the next token, row by row of a batch."""

    def start(self) -> Tensor:
        """Logits (B, V) of the first new token."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after one more token in each row, int64 (B,)."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone, int64 (B',)."""
        ...


class Causal:
    """The prompt and what follows it are one sequence.

    Rows are padded on the left, so that the newest token is the last of each row.

    Args:
        model: `vit.text.TextTransformer`, causal, with a head that gives the next token.
        prompts: The ids of each row, int64 (N,), at least one.
        cached: Whether keys and values are kept; otherwise everything is computed again for each token.
    """

    def __init__(self, model: Any, prompts: Sequence[Tensor], *, cached: bool = True):
        self.model = model
        longest = max(map(len, prompts))
        self.ids = torch.stack([_left_padded(prompt, longest, model.padding) for prompt in prompts])
        self.mask = torch.stack(
            [_left_padded(torch.ones_like(prompt), longest, 0).bool() for prompt in prompts]
        )
        self.caches = new_cache(len(model.encoder.blocks)) if cached else None

    @torch.inference_mode()
    def start(self) -> Tensor:
        """As `Decoder.start`."""
        return self._logits(self.ids)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """As `Decoder.step`."""
        self.ids = torch.cat([self.ids, tokens[:, None]], 1)
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=True)
        return self._logits(self.ids if self.caches is None else tokens[:, None])

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        """As `Decoder.keep`."""
        self.ids, self.mask = self.ids[rows], self.mask[rows]
        keep_rows(self.caches, rows)

    def _logits(self, ids: Tensor) -> Tensor:
        with precision(self.model):
            states = self.model.encode(ids, self.mask, caches=self.caches)
        return self.model.read_token(states[:, -1].to(weight_of(self.model).dtype))


class EncodedSource:
    """The prompt is the source of an encoder-decoder, and the target begins with `start`.

    Args:
        model: `vit.text.seq2seq.EncoderDecoder`.
        prompts: The ids of each source, int64 (M,), at least one.
        cached: As in `Causal`.
    """

    def __init__(self, model: Any, prompts: Sequence[Tensor], *, cached: bool = True):
        self.model = model
        pad = torch.nn.utils.rnn.pad_sequence
        self.source = pad(list(prompts), batch_first=True, padding_value=model.padding)
        self.mask = pad([torch.ones_like(prompt) for prompt in prompts], batch_first=True).bool()
        self.target = self.source.new_full((len(prompts), 1), model.start)
        self.states: Tensor | None = None
        self.caches = new_cache(len(model.decoder.blocks)) if cached else None

    @torch.inference_mode()
    def start(self) -> Tensor:
        """As `Decoder.start`."""
        with precision(self.model):
            self.states = self.model.encode(self.source, self.mask)
        return self._logits(0)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """As `Decoder.step`."""
        self.target = torch.cat([self.target, tokens[:, None]], 1)
        return self._logits(0 if self.caches is None else self.target.shape[1] - 1)

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        """As `Decoder.keep`."""
        assert self.states is not None
        self.target, self.mask, self.states = self.target[rows], self.mask[rows], self.states[rows]
        keep_rows(self.caches, rows)

    def _logits(self, known: int) -> Tensor:
        with precision(self.model):
            states = self.model.decode(
                self.target[:, known:], self.states, self.mask, known=known, caches=self.caches
            )
        return self.model.read_token(states[:, -1].to(weight_of(self.model).dtype))


def decoder_for(model: Any, prompts: Sequence[Tensor], *, cached: bool = True) -> Decoder:
    """The decoder of a model's kind; see `require_language_model`."""
    kind = EncodedSource if is_encoder_decoder(model) else Causal
    device = weight_of(model).device
    return kind(model, [prompt.to(device) for prompt in prompts], cached=cached)


def require_language_model(model: Any) -> None:
    """Refuse a model whose head does not give the next token, or one in training mode.

    Raises:
        VitError: With the reason.
    """
    if is_encoder_decoder(model):
        reason = "" if isinstance(model.head, torch.nn.Linear) else "it has no head"
    elif getattr(model, "reads", None) != "text":
        reason = "it reads images"
    elif not model.causal:
        reason = "its tokens see those after them"
    elif model.query_token is not None:
        reason = "a second stream of queries predicts its tokens"
    elif not predicts_next(model):
        classes, vocabulary = model.architecture["classes"], model.token_embedding.num_embeddings
        reason = f"its head gives {classes} classes, and its vocabulary has {vocabulary} ids"
    else:
        reason = ""
    if reason:
        raise VitError(
            f"this model does not generate texts ({reason}): expected a causal language model such as GPT-2, "
            "or an encoder-decoder such as T5"
        )
    if model.training:
        raise VitError("the model is in training mode, in which dropout is random: call model.eval() first")


def keep_rows(caches: Sequence[LayerCache] | None, rows: Tensor) -> None:
    """Keep these rows of the batch in every cache."""
    for layer in caches or ():
        layer.own.keep_rows(rows)
        layer.source.keep_rows(rows)


def precision(model: Any) -> AbstractContextManager[Any]:
    """Autocast in the model's `autocast` dtype, where it has one."""
    if model.autocast is None:
        return nullcontext()
    return torch.autocast(weight_of(model).device.type, model.autocast)


def weight_of(model: Any) -> Tensor:
    """A weight of the model, which has its device and dtype."""
    return model.token_embedding.weight


def _left_padded(row: Tensor, length: int, value: int) -> Tensor:
    return torch.nn.functional.pad(row, (length - len(row), 0), value=value)
