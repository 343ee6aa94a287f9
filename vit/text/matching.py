"""Whether a tokenizer, or a batch of ids, fits a model, and which ids are tokens."""

from typing import Any, Literal

from torch import Tensor, nn

from vit.errors import VitError
from vit.text.tokenizer import Tokenizer

End = int | Literal["highest"]


def require_fit(tokenizer: Tokenizer, rows: int, length: int, counted: int | None) -> None:
    """Refuse a tokenizer that a model was not made for.

    Args:
        tokenizer: The tokenizer.
        rows: Rows of the model's token embedding.
        length: The longest text of the model, in tokens.
        counted: The id of padding that the model counts positions by; None: it does not.

    Raises:
        VitError: It has ids that the model has no embedding for, longer results than the model has positions,
            or another id of padding than the model counts positions by.
    """
    largest = tokenizer.largest_id()
    if largest >= rows:
        raise VitError(
            f"the tokenizer has ids up to {largest}, and the model's embeddings end at {rows - 1}: take the "
            "tokenizer that it was trained with, or the model after resize_token_embeddings"
        )
    if tokenizer.length > length:
        raise VitError(
            f"the tokenizer gives up to {tokenizer.length} tokens, and the model has {length} positions: use "
            f"tokenizer.cut({length})"
        )
    if counted is not None and tokenizer.padding != counted:
        raise VitError(
            f"the tokenizer pads with id {tokenizer.padding}, and the model counts positions by id "
            f"{counted}: take the tokenizer that it was trained with"
        )


def require_ids(ids: Tensor, length: int) -> None:
    """Refuse what is no batch of ids, int64 (B, N), of at most `length` tokens.

    Raises:
        ValueError: As said.
    """
    if ids.ndim != 2 or ids.is_floating_point():
        raise ValueError(f"ids have shape {tuple(ids.shape)} and {ids.dtype}, expected (B, N), torch.int64")
    if ids.shape[1] > length:
        raise ValueError(
            f"the text has {ids.shape[1]} tokens, expected at most {length}: cut it, or give the model a "
            "longer table of positions"
        )


def require_padding(padding: int, vocabulary: int) -> None:
    """Refuse an id of padding that is none of the vocabulary's.

    Raises:
        ValueError: As said.
    """
    if not 0 <= padding < vocabulary:
        raise ValueError(f"padding is id {padding}, expected 0 to {vocabulary - 1}: one of the vocabulary")


def token_mask(ids: Tensor, padding: int, end: End | None = None) -> Tensor:
    """Bool (B, N), `True` = a token, `False` = padding.

    Padding stands at the ends of a row. An id of padding between tokens is a token: the text spells it out
    (`[PAD]`). A text that ends with it, where the tokenizer adds no token at the end, needs another mask.

    Args:
        ids: int64 (B, N).
        padding: The id of padding.
        end: The id that ends a text: what follows the first of them is padding, whatever it is; `highest`:
            the highest id of each row; None: none.
    """
    if end is not None:
        last = ids.amax(-1, keepdim=True) if end == "highest" else end
        ends = (ids == last).long()
        return ends.cumsum(-1) - ends == 0
    token = (ids != padding).int()
    return (token.cumsum(-1) > 0) & (token.flip(-1).cumsum(-1).flip(-1) > 0)


def is_encoder_decoder(model: Any) -> bool:
    """Whether a model has a decoder, which attends to the states of its encoder."""
    return getattr(model, "decoder", None) is not None


def predicts_next(model: Any) -> bool:
    """Whether a tower is a language model: causal, and its head has a logit for each id as the next token."""
    return bool(
        getattr(model, "causal", False)
        and model.pool_kind == "last"
        and not model.labels
        and getattr(model, "query_token", None) is None  # otherwise a second stream predicts it
        and isinstance(model.head, nn.Linear)
        and model.head.out_features == model.token_embedding.num_embeddings
    )
