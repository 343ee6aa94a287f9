"""ModernBERT."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vit.core import BlockSpec
from vit.errors import VitError
from vit.text import TextTransformer
from vit.weights.huggingface.config import hidden_width, named_activation, num_classes
from vit.weights.huggingface.families.family import Family
from vit.weights.huggingface.families.text import (
    activation_after_pooling,
    layer_after_pooling,
    require,
    text_tower,
)
from vit.weights.huggingface.names import Names

FULL, SLIDING = "full_attention", "sliding_attention"
BASES = {FULL: ("global_rope_theta", 160_000.0), SLIDING: ("local_rope_theta", 10_000.0)}


def build_modernbert(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """The tower, without its weights.

    Args:
        family: The `model_type`.
        config: The content of `config.json`, of any version of transformers.
        state: Tensors under our names; changed to fit the tower.
        changes: As in `text_tower`.

    Raises:
        VitError: A field that cannot be followed.
    """
    _split(state)
    require(family, config, "classifier_pooling", "cls", "mean", missing="cls")
    vocabulary, width = state["token_embedding.weight"].shape
    kinds = _layer_types(family, config)
    classes, padding = num_classes(state), config.get("pad_token_id", 50283)
    arguments: dict[str, Any] = {
        "classes": classes,
        "vocabulary": vocabulary,
        "block": BlockSpec(
            width=width,
            heads=config["num_attention_heads"],
            mlp_ratio=hidden_width(state) / width,
            norm="pre",
            norm_kind="layer" if config.get("norm_bias") else "layer_no_bias",
            activation=named_activation(config, "hidden_activation", "gelu"),
            gated=True,
            qkv_bias=bool(config.get("attention_bias")),
            output_bias=bool(config.get("attention_bias")),
            mlp_bias=bool(config.get("mlp_bias")),
            norm_eps=config.get("norm_eps", 1e-5),
        ),
        "length": config.get("max_position_embeddings", 8192),
        "depth": len(kinds),
        "positions": "none",
        "relative": {
            "kind": "rotary",
            "temperature": [_base(family, config, kind) for kind in kinds],
            "window": [
                config.get("local_attention", 128) // 2 if kind == SLIDING else None for kind in kinds
            ],
        },
        "padding": 0 if padding is None else padding,
        "first_norm": False,
        "encoder_norm": True,
        "pool": config.get("classifier_pooling", "cls") if classes else "cls",
    }
    if classes:
        after = activation_after_pooling(
            family, {"classifier_activation": "gelu"} | config, "classifier_activation"
        )
        arguments |= {"projections": layer_after_pooling(state, after), "head_norm": True}
    return text_tower(arguments, state, changes)


def _split(state: dict[str, Tensor]) -> None:
    """One matrix for queries, keys and values, and one for gate and hidden channels, become ours."""
    parts: dict[str, tuple[str, ...]] = {
        "attention.qkv": ("attention.query", "attention.key", "attention.value")
    }
    parts |= {"mlp.gate_and_expand": ("mlp.gate", "mlp.expand")}
    for joined, ours in parts.items():
        for name in [name for name in state if joined in name]:
            for part, tensor in zip(ours, state.pop(name).chunk(len(ours)), strict=True):
                state[name.replace(joined, part)] = tensor.clone()


def _layer_types(family: str, config: dict[str, Any]) -> list[str]:
    """Whether each layer attends to all tokens; earlier versions say how often."""
    every, depth = config.get("global_attn_every_n_layers", 3), config["num_hidden_layers"]
    kinds = config.get("layer_types") or [SLIDING if layer % every else FULL for layer in range(depth)]
    if len(kinds) != depth or set(kinds) - BASES.keys():
        raise VitError(
            f"cannot import this {family}: its layer_types are {', '.join(map(str, kinds))}, expected "
            f"{depth}, each {FULL} or {SLIDING}"
        )
    return list(kinds)


def _base(family: str, config: dict[str, Any], kind: str) -> float:
    """The base of the rotary frequencies of a kind of layer."""
    said = (config.get("rope_parameters") or {}).get(kind) or config.get("rope_scaling") or {}
    if said.get("rope_type", said.get("type", "default")) != "default":
        raise VitError(
            f"cannot import this {family}: its rope_parameters have {kind} of rope_type "
            f"{said.get('rope_type', said.get('type'))}, and vit has default"
        )
    field, usual = BASES[kind]
    base = said.get("rope_theta", config.get(field))
    return float(usual if base is None else base)


NAMES = Names(
    "model",
    "layers.",
    {
        "attn.Wqkv": "attention.qkv",
        "attn.Wo": "attention.output",
        "attn_norm": "attention_norm",
        "mlp_norm": "mlp_norm",
        "mlp.Wi": "mlp.gate_and_expand",
        "mlp.Wo": "mlp.contract",
    },
    {
        "embeddings.tok_embeddings": "token_embedding",
        "embeddings.norm": "embedding_norm",
        "final_norm": "encoder.norm",
        "head.dense": "projections.0",
        "head.norm": "head_norm",
        "classifier": "head",
    },
)
MODERNBERT = Family(
    prefix="ModernBert",
    reads="text",
    tasks={"Model": "encoder", "ForMaskedLM": "pretraining", "ForSequenceClassification": "classifier"},
    build=build_modernbert,
    name=NAMES.ours,
    pooler=(),
    head=("head.weight", "head_norm.weight"),
    heads=("classifier.", "head.", "decoder."),
)
