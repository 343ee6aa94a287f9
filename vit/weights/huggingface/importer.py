"""Copy a transformers model into ours: ViT, DINOv2, BERT, RoBERTa, DistilBERT.

The library itself is not needed: a config and tensors with names are enough. The names have changed between
its versions; all spellings are brought to ours by one table (`names.py`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vit.errors import VitError
from vit.text import TextTransformer
from vit.vision import VisionTransformer
from vit.weights.huggingface.images import build_vision
from vit.weights.huggingface.names import our_name
from vit.weights.huggingface.tasks import label_names
from vit.weights.huggingface.texts import build_text

FAMILIES = ("vit", "dinov2", "dinov2_with_registers", "bert", "roberta", "distilbert")


def from_huggingface(model: Any) -> VisionTransformer | TextTransformer:
    """Copy the weights of a transformers model: ViT, DINOv2, BERT, RoBERTa, DistilBERT and their classifiers.

    Logits of a classifier are theirs. A model without a head gives states by `encode`, and as `forward` its
    pooled features: the class token after the last norm, or where the family has a pooler, that pooler's.
    Dropout is not copied. The result is in eval mode, on the device and in the dtype of `model`, and shares
    no memory with it.

    Args:
        model: `transformers.AutoModel...from_pretrained(...)`.

    Returns:
        Ours; states and logits differ by at most rounding.

    Raises:
        VitError: Another architecture, or one with a part that ours has not; the part is named.
    """
    config: Any = getattr(model, "config", None)
    if not isinstance(model, nn.Module) or not hasattr(config, "to_dict"):
        raise VitError(f"cannot import a {type(model).__name__}, expected a model of transformers")
    first = next(model.parameters())
    return from_tensors(config.to_dict(), model.state_dict(), dtype=first.dtype).to(first.device)


def from_folder(folder: Path, **changes: Any) -> VisionTransformer | TextTransformer:
    """The model in a folder with Hugging Face's `config.json` and `model.safetensors`.

    Args:
        folder: The folder.
        changes: Arguments of the text tower that the files do not say, such as how sentences are pooled.

    Raises:
        VitError: A file is missing or broken, or the architecture is another.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VitError(f"{folder / 'config.json'} cannot be read ({error})") from None
    file = folder / "model.safetensors"
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise VitError(
            f"{file} cannot be read ({error}): weights are read from model.safetensors, never from a pickle"
        ) from None
    return from_tensors(config, tensors, changes=changes)


def from_tensors(
    config: dict[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    changes: Mapping[str, Any] | None = None,
) -> VisionTransformer | TextTransformer:
    """Ours, in eval mode and of this dtype, from the content of a `config.json` and named tensors.

    Raises:
        VitError: As `from_huggingface`.
    """
    family = config.get("model_type")
    if family not in FAMILIES:
        raise VitError(f"cannot import a model of type {family!r}, expected one of: {', '.join(FAMILIES)}")
    state = {ours: tensor for name, tensor in tensors.items() if (ours := our_name(name)) is not None}
    pictures = family in ("vit", "dinov2", "dinov2_with_registers")
    try:
        model = (
            build_vision(family, config, state)
            if pictures
            else build_text(family, config, state, changes or {})
        )
    except KeyError as missing:
        raise VitError(f"cannot import this {family}: its config or weights lack {missing}") from None
    except ValueError as error:
        raise VitError(f"cannot import this {family}: {error}") from None
    try:
        found = model.to(dtype).load_state_dict(state, strict=False)
    except RuntimeError as error:  # sizes that do not fit
        raise VitError(f"cannot import this {family}: {error}") from None
    if found.missing_keys or found.unexpected_keys:
        lacking, odd = (", ".join(keys[:3]) or "none" for keys in (found.missing_keys, found.unexpected_keys))
        raise VitError(
            f"cannot import this {family}: weights missing: {lacking}; weights without a place: {odd}"
        )
    model.labels = label_names(config, model)
    return model.eval()
