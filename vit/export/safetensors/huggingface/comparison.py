"""A folder of transformers read again, and compared with the model that it was written from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.errors import VitError
from vit.export.safetensors.checks import require_equal
from vit.export.safetensors.huggingface.search import Found
from vit.text.matching import is_encoder_decoder
from vit.weights.huggingface.folder import huggingface_model
from vit.weights.huggingface.importer import from_folder

TOKENS = 11  # of the longest text
UNREAD = "pooler"  # what a model without a head may have beside its states


def compare_with_vit(model: Any, folder: Path) -> float:
    """The largest difference from the tower that vit reads from the folder.

    Raises:
        VitError: Results differ.
    """
    again = from_folder(folder) if model.preprocess is None else huggingface_model(folder)
    name, make = "the folder, read again,", _inputs(model)
    largest = require_equal(name, _result(model), _result(again), make)
    if is_encoder_decoder(model) or model.architecture["classes"] or model.preprocess is None:
        return largest
    return max(largest, require_equal(name, model.features, again.features, make))  # pooled


def compare_with_transformers(model: Any, folder: Path, found: Found) -> float:
    """The largest difference from the class that `config.json` names.

    Raises:
        VitError: Results differ, or the folder lacks a tensor.
    """
    import transformers

    kind = getattr(transformers, found.architecture)
    with _quiet(transformers.utils.logging):
        theirs, loaded = kind.from_pretrained(folder, output_loading_info=True)
    missing = [name for name in loaded["missing_keys"] if UNREAD not in name]
    if missing or loaded["unexpected_keys"]:
        odd = ", ".join([*missing, *loaded["unexpected_keys"]][:3])
        raise VitError(f"transformers' {found.architecture} has other tensors than were written: {odd}")
    result = _their_result(theirs.eval(), model, found)
    return require_equal("transformers", _result(model, whole=not _embeds(found)), result, _inputs(model))


@contextmanager
def _quiet(log: Any) -> Iterator[None]:
    """Without progress bars and the report of what a class has beside the file, as a pooler."""
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _embeds(found: Found) -> bool:
    """Whether the class gives pooled features, projected."""
    return found.architecture.endswith("WithProjection")


def _result(model: Any, *, whole: bool = True) -> Callable[..., Tensor]:
    """Inputs -> logits; of a model without a head its states, or where `whole` is False its features."""
    if is_encoder_decoder(model):
        states = model.architecture["head"] == "none"
        return model.encode if states else model
    if model.reads == "image":
        has_head = bool(model.architecture["classes"])
        return (lambda images: model(images, exact=True)) if has_head or not whole else model.encode
    return lambda ids, mask: _of_texts(model, ids, mask, whole=whole)


def _of_texts(model: Any, ids: Tensor, mask: Tensor, *, whole: bool) -> Tensor:
    classes, vocabulary = model.architecture["classes"], model.architecture["vocabulary"]
    if classes and not (model.causal and classes == vocabulary):
        result: Tensor = model(ids, mask, exact=True)
        return result
    if not classes and not whole:
        return model.features(ids, mask, exact=True)
    states = model.encode(ids, mask)
    states = model.read_token(states) if classes else states
    return states * mask[..., None]


def _their_result(theirs: Any, model: Any, found: Found) -> Callable[..., Tensor]:
    """The same of transformers' model."""
    name = "last_hidden_state" if found.task == "encoder" else "logits"
    if _embeds(found):
        name = "image_embeds" if model.reads == "image" else "text_embeds"
    if model.reads == "image":
        return lambda images: getattr(theirs(pixel_values=images), name)
    if is_encoder_decoder(model):
        return lambda ids, mask, target: getattr(
            theirs(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=target), name
        )

    def read(ids: Tensor, mask: Tensor) -> Tensor:
        result: Tensor = getattr(theirs(input_ids=ids, attention_mask=mask.long()), name)
        return result * mask[..., None] if result.ndim == 3 else result

    return read


def _inputs(model: Any) -> Callable[[int], tuple[Tensor, ...]]:
    """Number of inputs -> images, or ids and mask, or these and the ids of a target."""

    def images(count: int) -> tuple[Tensor, ...]:
        noise = torch.Generator().manual_seed(count)
        return (torch.randn(count, model.channels, *model.image_size, generator=noise),)

    def texts(count: int) -> tuple[Tensor, ...]:
        """Row i ends i tokens earlier, by turns of three."""
        noise, longest = torch.Generator().manual_seed(count), min(TOKENS, model.length)
        vocabulary, padding = model.token_embedding.num_embeddings, model.padding
        ids = torch.randint(vocabulary - 1, (count, longest), generator=noise)
        ids = ids + (ids >= padding)  # any but padding
        ends = longest - torch.arange(count) % min(3, longest)
        mask = torch.arange(longest) < ends[:, None]
        end = getattr(model, "end", None)
        if isinstance(end, int):
            ids[torch.arange(count), ends - 1] = end
        ids = ids.masked_fill(~mask, padding)
        if not is_encoder_decoder(model):
            return ids, mask
        target = torch.randint(vocabulary, (count, 5), generator=noise)
        target[:, 0] = model.start
        return ids, mask, target

    return images if model.reads == "image" else texts
