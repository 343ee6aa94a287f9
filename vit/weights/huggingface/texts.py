"""The text tower of a transformers config: BERT, RoBERTa, DistilBERT."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vit.core import BlockSpec
from vit.errors import VitError
from vit.text import TextTransformer
from vit.weights.huggingface.config import activation, hidden_width, num_classes


def build_text(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """The tower, without its weights; `state`, under our names, is changed to fit it."""
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
        mlp_ratio=hidden_width(state) / width,
        norm="post",
        activation=activation(config),
        norm_eps=1e-12 if distil else config["layer_norm_eps"],
    )
    arguments: dict[str, Any] = {
        "classes": num_classes(state),
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
