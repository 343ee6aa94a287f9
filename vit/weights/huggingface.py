"""Copy a transformers model into ours, or read the files of one: ViT, DINOv2, BERT, RoBERTa, DistilBERT.

The library itself is not needed: a config and tensors with names are enough. The names have changed between
its versions; all spellings are brought to ours by one table.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vit.core import BlockSpec
from vit.errors import VitError
from vit.text import TextTransformer
from vit.vision import VisionTransformer

FAMILIES = ("vit", "dinov2", "dinov2_with_registers", "bert", "roberta", "distilbert")
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
ACTIVATIONS |= {"quick_gelu": "quick_gelu"}

BASES = re.compile(r"^(vit|dinov2|dinov2_with_registers|bert|roberta|distilbert|model)\.")
LAYER = re.compile(r"^(?:encoder\.|transformer\.)?layers?\.(\d+)\.")

# Of one block: their names, old and new, without the ending .weight or .bias.
IN_BLOCK = {
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.q_proj": "attention.query",
    "attention.k_proj": "attention.key",
    "attention.v_proj": "attention.value",
    "attention.q_lin": "attention.query",
    "attention.k_lin": "attention.key",
    "attention.v_lin": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.o_proj": "attention.output",
    "attention.out_lin": "attention.output",
    "layernorm_before": "attention_norm",
    "layernorm_after": "mlp_norm",
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
    "attention.output.LayerNorm": "attention_post_norm",
    "output.LayerNorm": "mlp_post_norm",
    "sa_layer_norm": "attention_post_norm",
    "output_layer_norm": "mlp_post_norm",
    "intermediate.dense": "mlp.expand",
    "output.dense": "mlp.contract",
    "mlp.fc1": "mlp.expand",
    "mlp.fc2": "mlp.contract",
    "ffn.lin1": "mlp.expand",
    "ffn.lin2": "mlp.contract",
    "layer_scale1.lambda1": "attention_scale.factor",
    "layer_scale2.lambda1": "mlp_scale.factor",
}
AROUND = {
    "embeddings.patch_embeddings.projection": "tokenizer.project",
    "embeddings.cls_token": "class_token",
    "embeddings.register_tokens": "registers",
    "embeddings.position_embeddings": "positions.table",
    "embeddings.word_embeddings": "token_embedding",
    "embeddings.token_type_embeddings": "segments",
    "embeddings.LayerNorm": "embedding_norm",
    "layernorm": "encoder.norm",
    "pooler.dense": "pooler.0",
    "pre_classifier": "pooler.0",
    "classifier.dense": "pooler.0",
    "classifier.out_proj": "head",
    "classifier": "head",
}
# What prediction does not need: heads of pretraining, and buffers that follow from the config.
NOT_NEEDED = re.compile(
    r"^(cls\.|lm_head\.|vocab_(transform|layer_norm|projector)\.|decoder\.)|mask_token$|position_ids$"
    r"|token_type_ids$"
)


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
        model = _vision(family, config, state) if pictures else _text(family, config, state, changes or {})
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
    model.labels = _labels(config, model)
    return model.eval()


def our_name(name: str) -> str | None:
    """Their name of a tensor, of any version of the library -> ours; None for what is not needed."""
    name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
    name = BASES.sub("", name)
    if NOT_NEEDED.search(name):
        return None
    stem, ending = re.fullmatch(r"(.*?)(\.weight|\.bias)?", name).groups(default="")  # type: ignore[union-attr]
    block = LAYER.match(stem)
    if block:
        part = stem[block.end() :]
        return f"encoder.blocks.{block[1]}.{IN_BLOCK.get(part, part)}{ending}"
    ours = AROUND.get(stem, stem)
    # A table of positions is a parameter in pictures and an embedding's weight in texts.
    return ours if ours == "positions.table" else ours + ending


def _vision(family: str, config: dict[str, Any], state: dict[str, Tensor]) -> VisionTransformer:
    if config.get("use_swiglu_ffn"):
        raise VitError(f"cannot import this {family}: its MLP is SwiGLU, which vit does not have")
    width = config["hidden_size"]
    sides = _pair(config["image_size"]), _pair(config["patch_size"])
    rows, cols = (side // patch for side, patch in zip(*sides, strict=True))
    classes = _classes(state)
    state["tokenizer.project.weight"] = state["tokenizer.project.weight"].flatten(1)
    # A position of a prefix token is a part of the token itself.
    positions = state["positions.table"][0]
    state["class_token"] = state["class_token"] + positions[:1]
    state["positions.table"] = positions[1:].unflatten(0, (rows, cols))
    dino = family != "vit"
    for name in ("pooler.0.weight", "pooler.0.bias"):
        state.pop(name, None)  # of a ViT without a head: untrained and unused
    return VisionTransformer(
        classes,
        sides[0],
        BlockSpec(
            width=width,
            heads=config["num_attention_heads"],
            mlp_ratio=_hidden(state) / width,
            activation=_activation(config),
            qkv_bias=config.get("qkv_bias", True),
            layer_scale=1.0 if dino else None,
            norm_eps=config["layer_norm_eps"],
        ),
        channels=config.get("num_channels", 3),
        patch_size=sides[1],
        depth=config["num_hidden_layers"],
        registers=config.get("num_register_tokens", 0) if "registers" in state else 0,
        pool="cls_mean" if dino and classes else "cls",
    )


def _text(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise VitError(f"cannot import this {family}: its positions are {kind}, which vit does not have")
    if config.get("is_decoder"):
        raise VitError(f"cannot import this {family}: it is a decoder, and vit reads encoders")
    vocabulary, width = state["token_embedding.weight"].shape
    distil = family == "distilbert"
    pooler = None
    if "pooler.0.weight" in state:
        pooler = "relu" if distil else "tanh"
    padding = config.get("pad_token_id")
    block = BlockSpec(
        width=width,
        heads=config["n_heads" if distil else "num_attention_heads"],
        mlp_ratio=_hidden(state) / width,
        norm="post",
        activation=_activation(config),
        norm_eps=1e-12 if distil else config["layer_norm_eps"],
    )
    arguments: dict[str, Any] = {
        "classes": _classes(state),
        "vocabulary": vocabulary,
        "block": block,
        "length": len(state["positions.table"]),
        "depth": config["n_layers" if distil else "num_hidden_layers"],
        "count_from": padding if family == "roberta" else None,
        "segments": len(state["segments.weight"]) if "segments.weight" in state else 0,
        "padding": 0 if padding is None else padding,
        "pooler": pooler,
        **changes,
    }
    if arguments["pooler"] is None:
        for name in ("pooler.0.weight", "pooler.0.bias"):
            state.pop(name, None)
    return TextTransformer(**arguments)


def _activation(config: dict[str, Any]) -> str:
    name = config.get("hidden_act", config.get("activation", "gelu"))
    if name not in ACTIVATIONS:
        raise VitError(
            f"cannot import a model with the activation {name}, expected one of: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def _hidden(state: dict[str, Tensor]) -> int:
    """The hidden width of the MLPs: the families say it in different words, the weights in one."""
    return len(state["encoder.blocks.0.mlp.expand.weight"])


def _classes(state: dict[str, Tensor]) -> int:
    return len(state["head.weight"]) if "head.weight" in state else 0


def _labels(config: dict[str, Any], model: VisionTransformer | TextTransformer) -> list[str]:
    """Class names, where the model has a head; `LABEL_0`, ... where the config has none."""
    if not isinstance(model.head, nn.Linear):
        return []
    names = {int(index): str(name) for index, name in (config.get("id2label") or {}).items()}
    return [names.get(index, f"LABEL_{index}") for index in range(model.head.out_features)]


def _pair(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
