"""Copy a transformers model into ours, of the families in `vit.weights.huggingface.families`.

The library itself is not needed: a config and tensors with names are enough. The names have changed between
its versions; all spellings are brought to ours by one table (`names.py`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vit.errors import VitError
from vit.text import TextTransformer
from vit.vision import VisionTransformer
from vit.weights.huggingface.checkpoint import license_of, read_config, read_json, read_tensors, source_of
from vit.weights.huggingface.config import with_generation
from vit.weights.huggingface.families import FAMILIES, Family, Task
from vit.weights.huggingface.inputs import add_preprocess
from vit.weights.huggingface.loaded import check_whole, class_of, folder_of
from vit.weights.huggingface.names import without_base
from vit.weights.huggingface.refused import reason
from vit.weights.huggingface.tasks import check_head, label_names, needed, task_of, thresholds
from vit.weights.wrappers import unwrapped

EMBEDDING = "token_embedding.weight"


def from_huggingface(model: Any, processor: Any = None) -> VisionTransformer | TextTransformer:
    """Copy the weights of a transformers model of a family in `FAMILIES`: ViT, DINOv3, CLIP, BERT, T5, ...

    Logits of a classifier are theirs; where their pipelines take a sigmoid (one label, or
    `multi_label_classification`), ours has `thresholds`. A model without a head gives states by `encode`, and
    as `forward` its pooled features: the class token after the last norm, or where the model has a pooler,
    that pooler's. A head of pretraining (`BertForMaskedLM`) is left out, and `source["head"]` says so. Of a
    model of images and texts (`CLIPModel`) the image half is read, as `source["half"]` says: its features are
    `image_embeds`, not normalised.
    Dropout is not copied. The result is in eval mode, on the device and in the dtype of `model`, and shares
    no memory with it.

    Args:
        model: `transformers.AutoModel...from_pretrained(...)`, also inside `torch.compile` or `DataParallel`.
        processor: Its image processor, or its fast tokenizer. None: what the files say that the model was
            loaded from, where they are on this machine; for images otherwise the family's usual
            preprocessing at the config's `image_size`. A text model without either has `preprocess` None.
            False: `preprocess` is None.

    Returns:
        Ours; states and logits differ by at most rounding.

    Raises:
        VitError: Another architecture or task, one with a part that ours has not, weights that are sharded,
            offloaded or quantized, or a processor that cannot be followed; the part is named.
    """
    model = unwrapped(model)
    architecture = class_of(model)
    check_whole(model)
    first = next(model.parameters())
    generation = getattr(model, "generation_config", None)
    config = with_generation(model.config.to_dict(), {} if generation is None else generation.to_dict())
    tensors = {name.replace("_orig_mod.", ""): tensor for name, tensor in model.state_dict().items()}
    ours = from_tensors(config, tensors, dtype=first.dtype, architecture=architecture).to(first.device)
    folder = folder_of(model)
    add_preprocess(config["model_type"], ours, processor, folder)
    if folder is not None:
        ours.source |= {"word": f"hf:{model.name_or_path}"} | license_of(folder)
    return ours


def from_folder(folder: Path, **changes: Any) -> VisionTransformer | TextTransformer:
    """The model in a folder with Hugging Face's `config.json` and `model.safetensors`, also in parts.

    Args:
        folder: The folder.
        changes: Arguments of the text tower that the files do not say, such as how sentences are pooled. With
            any of them the encoder alone is read, whatever head the files have.

    Raises:
        VitError: A file is missing or broken, or the architecture is another.
    """
    config = with_generation(read_config(folder), read_json(folder / "generation_config.json", {}))
    model = from_tensors(config, read_tensors(folder), changes=changes)
    model.source |= source_of(folder)
    return model


def from_tensors(
    config: dict[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    changes: Mapping[str, Any] | None = None,
    architecture: str | None = None,
) -> VisionTransformer | TextTransformer:
    """Ours, in eval mode and of this dtype, from the content of a `config.json` and named tensors.

    Args:
        config: The content of `config.json`.
        tensors: By their names, of any version of transformers.
        dtype: Of the result.
        changes: As in `from_folder`.
        architecture: The class of transformers; None: what the config says.

    Raises:
        VitError: As `from_huggingface`.
    """
    model, state, task = described(config, tensors, dtype=dtype, changes=changes, architecture=architecture)
    _load(config["model_type"], model.to(dtype), state)
    if task == "classifier":
        classes = len(state["head.weight"])
        model.labels, model.thresholds = label_names(config, classes), thresholds(config, classes)
    if task == "pretraining":
        model.source["head"] = f"left out, that of {architecture or config['architectures'][0]}"
    return model.eval()


class Described(NamedTuple):
    """A tower with initial weights, the tensors that belong into it under our names, and what it is for."""

    model: VisionTransformer | TextTransformer
    state: dict[str, Tensor]
    task: Task


def described(
    config: dict[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    changes: Mapping[str, Any] | None = None,
    architecture: str | None = None,
) -> Described:
    """What `from_tensors` makes, before its weights are loaded; arguments and errors are the same."""
    kind = config.get("model_type")
    if kind not in FAMILIES:
        why = "vit.from_timm(model.timm_model) imports it" if kind == "timm_wrapper" else reason(kind)
        hint = f": {why}" if why else ""
        raise VitError(
            f"cannot import a model of type {kind!r}{hint}, expected one of: {', '.join(FAMILIES)}"
        )
    family = FAMILIES[kind]
    architecture = architecture or next(iter(config.get("architectures") or ()), None)
    task = "encoder" if changes else task_of(family, architecture, [without_base(name) for name in tensors])
    state = {
        ours: tensor.to(dtype)
        for name, tensor in tensors.items()
        if needed(family, task, without_base(name)) and (ours := family.name(name)) is not None
    }
    if task == "language" and config.get("tie_word_embeddings", True) and EMBEDDING in state:
        state.setdefault("head.weight", state[EMBEDDING])  # files have it once
    if task in ("classifier", "language"):
        check_head(kind, family, state, task)
    return Described(_built(kind, family, config, state, changes or {}), state, task)


def _built(
    kind: str, family: Family, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> VisionTransformer | TextTransformer:
    """The tower without its weights; `state`, under our names, is changed to fit it."""
    try:
        model: VisionTransformer | TextTransformer = family.build(kind, config, state, changes)
    except KeyError as missing:
        raise VitError(f"cannot import this {kind}: its config or weights lack {missing}") from None
    except VitError:
        raise
    except ValueError as error:
        raise VitError(f"cannot import this {kind}: {error}") from None
    return model


def _load(kind: str, model: VisionTransformer | TextTransformer, state: dict[str, Tensor]) -> None:
    """Fill the tower.

    Raises:
        VitError: Tensors are missing, too many, or of other sizes.
    """
    try:
        found = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # sizes that do not fit
        raise VitError(f"cannot import this {kind}: {error}") from None
    if found.missing_keys or found.unexpected_keys:
        lacking, odd = (", ".join(keys[:3]) or "none" for keys in (found.missing_keys, found.unexpected_keys))
        raise VitError(
            f"cannot import this {kind}: weights missing: {lacking}; weights without a place: {odd}"
        )
