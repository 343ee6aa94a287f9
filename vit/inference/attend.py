"""`vit.attend`: from a model and images or texts to maps over patches or tokens."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vit.attribution.explain import Target, check_method, explain, method_for
from vit.attribution.query import parse_query
from vit.core import attention_slots
from vit.errors import VitError
from vit.inference.words.matrix import word_matrix
from vit.inference.words.reading import read_text
from vit.inference.words.vocabulary import next_token
from vit.inference.words.words import text_words
from vit.inputs.texts import require_tokenizer
from vit.text.matching import is_encoder_decoder, predicts_next


def attend(
    model: Any,
    images: Tensor | Sequence[str],
    method: str = "rollout",
    target: Target = None,
    query: str | int | tuple[int, int] = "cls",
    **options: Any,
) -> Tensor:
    """How much each patch of an image, or each token of a text, counts: for a class, or for a query alone.

    Args:
        model: A model of vit (`vit.load_model`, `vit.from_timm`, `vit.from_huggingface`), in eval mode.
        images: float, (B, C, height, width), preprocessed; any size that the patches tile. Text models
            take B strings.
        method: One of

            - `raw`: one layer's weights. Options: `layer` (default -1, the last), `head` (default None, all),
              `fusion`.
            - `rollout` (Abnar & Zuidema 2020): attention through all layers. Options: `fusion` of heads
              (default `mean`), `discard` (share of the smallest weights set to zero, default 0).
            - `grad_rollout` (Gildenblat 2020): rollout of gradient times attention. Option: `discard`.
            - `relevance` (Chefer et al. 2021, generic attention explainability).
            - `legrad` (Bousselham et al. 2024).
            - `libra` (Mehri et al. 2025, LibraGrad): what each patch's pixels, or each token's embedding, add
              to the logit, by balanced gradients. Option: `baseline` (default `blank`: near the image's mean
              color, the tokenizer's blank; `mean`, `local`, `none`).
            - `libra_fullgrad` (likewise, FullGrad+): what the states of all layers and the biases add.
            - `occlusion` (Zeiler & Fergus 2014): the fall of the logit when patches are covered. Slow.
              Option: `window` (patches per side of the cover; default: the mean over 1, 2 and 3).
            - `rise` (Petsiuk et al. 2018): random masks, for images only. Slow. Option: `samples` (1000).
            - `auto`: `libra_fullgrad`, with a convolutional tokenizer `libra`, and `rollout` for a model
              without classes and for an encoder-decoder.

        target: The class to explain, for all but `raw` and `rollout`: a label, an index, a tensor of indices
            (B,), or None, the class that the model predicts for each sample. Of a causal language model a
            token: a word that is one, or an id.
        query: Whose attention: `cls`, what the head reads (its pooling, in a model without a class token);
            `mean` of the patches; or a patch, (row, col) or "ROW,COL"; for texts a token, counted from 0 with
            the special tokens. Methods that explain a class explain the logits of that reading: of one patch
            read alone, its "logit lens".
        options: Of the method, as above. Of an encoder-decoder, to which `raw` and `rollout` apply, also
            `max_tokens` (20): it writes a target, and maps have the tokens of the source and then those of
            the target. Layers are the encoder's and then the decoder's, whose rows of the target are half
            attention to the source and half self-attention (`vit.attribution.joint`).

    Returns:
        (B, rows, cols), at least float32; for texts (B, N), with N the tokens of the longest text, special
        ones included, and zeros after the shorter ones. `raw` and `rollout`: shares of a row that sums to 1
        with those of the prefix tokens. Others: in units of the logit (`rise`: the probability), not scaled.

    Raises:
        VitError: An unknown method, class, query or option, or a method that this model cannot serve.
        ValueError: Images that the model cannot read.
        RuntimeError: Another number of layers was recorded than the model has.
    """
    attention_slots(model)  # refuses a model of another library
    method = method_for(model, method)
    if model.reads == "text":
        return _attend_texts(model, images, method, target, query, options)
    if not isinstance(images, Tensor) or isinstance(query, int):
        raise VitError("this is an image model: pass a tensor (B, C, height, width), and a query of patches")
    return explain(model, images, method, target, query, **options).maps


def _attend_texts(
    model: Any,
    texts: Tensor | Sequence[str],
    method: str,
    target: Target,
    query: str | int | tuple[int, int],
    options: dict[str, Any],
) -> Tensor:
    """One text at a time: padding would count as tokens."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise VitError("this is a text model: pass a list of strings")
    if not texts:
        raise VitError("vit.attend was given 0 texts, expected at least one")
    token, tokenizer = token_query(query), require_tokenizer(model.preprocess)
    if is_encoder_decoder(model):
        return _attend_pairs(model, list(texts), method, target, token, options)
    device = next(model.parameters()).device
    target = next_token(model, target)
    ends = model.ends if predicts_next(model) else ()
    maps = []
    for index, text in enumerate(texts):
        ids = torch.tensor([text_words(tokenizer, text, ends=ends).ids], device=device)
        single = target[index : index + 1] if isinstance(target, Tensor) and target.ndim else target
        maps.append(explain(model, ids, method, single, token, **options).maps[0, 0])
    return pad_sequence(maps, batch_first=True)


def _attend_pairs(
    model: Any,
    texts: list[Any],
    method: str,
    target: Target,
    query: str | tuple[int, int],
    options: dict[str, Any],
) -> Tensor:
    """Source and target of one text at a time."""
    max_tokens = options.pop("max_tokens", None)
    check_method(model, method, target, options)
    maps = []
    for text in texts:
        reading = read_text(model, text, merge=False, max_tokens=max_tokens)
        matrix = word_matrix(reading.weights, method, options)
        maps.append(reading.seed(reading.checked(parse_query(query))).to(matrix) @ matrix)
    return pad_sequence(maps, batch_first=True)


def token_query(query: str | int | tuple[int, int]) -> str | tuple[int, int]:
    """A token's number as a position in the text's only row; other queries unchanged."""
    if isinstance(query, str) and query.isdecimal():
        query = int(query)
    return (0, query) if isinstance(query, int) else query
