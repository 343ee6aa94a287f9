"""The text encoders of CLIP and SigLIP."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vit.core import BlockSpec
from vit.errors import VitError
from vit.text import TextTransformer
from vit.weights.huggingface.config import hidden_width, named_activation
from vit.weights.huggingface.families.family import Family, Task
from vit.weights.huggingface.families.text import layer_after_pooling, text_tower
from vit.weights.huggingface.names import Names

LEGACY_END = 2  # of configs before transformers 4.31, whose models read the highest id of a text


def build_clip_text(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """The tower, without its weights; its features are the token that ends a text, projected where theirs is.

    Args:
        family: The `model_type`.
        config: The content of `config.json`, of the text encoder.
        state: Tensors under our names; changed to fit the tower.
        changes: As in `text_tower`.

    Raises:
        VitError: A field that cannot be followed.
    """
    vocabulary, width = state["token_embedding.weight"].shape
    end, padding = config.get("eos_token_id", 49407), config.get("pad_token_id")
    if not isinstance(end, int):
        raise VitError(f"cannot import this {family}: its eos_token_id is {end}, expected one id")
    arguments: dict[str, Any] = {
        "classes": 0,
        "vocabulary": vocabulary,
        "block": BlockSpec(
            width=width,
            heads=config["num_attention_heads"],
            mlp_ratio=hidden_width(state) / width,
            activation=named_activation(config, "hidden_act", "quick_gelu"),
            norm_eps=config.get("layer_norm_eps", 1e-5),
        ),
        "length": len(state["positions.table"]),
        "depth": config["num_hidden_layers"],
        "causal": True,
        "count_padding": True,
        "padding": padding if padding is not None and padding < vocabulary else 0,
        "end": "highest" if end == LEGACY_END else end,
        "embedding_norm": False,
        "encoder_norm": True,
        "pool": "last",
        "projections": layer_after_pooling(state, "identity"),
    }
    return text_tower(arguments, state, changes)


TASKS: dict[str, Task] = {"TextModel": "encoder", "TextModelWithProjection": "encoder"}
NAMES = Names(
    "text_model",
    "encoder.layers.",
    {
        "self_attn.q_proj": "attention.query",
        "self_attn.k_proj": "attention.key",
        "self_attn.v_proj": "attention.value",
        "self_attn.out_proj": "attention.output",
        "layer_norm1": "attention_norm",
        "layer_norm2": "mlp_norm",
        "mlp.fc1": "mlp.expand",
        "mlp.fc2": "mlp.contract",
    },
    {
        "embeddings.token_embedding": "token_embedding",
        "embeddings.position_embedding.weight": "positions.table",
        "final_layer_norm": "encoder.norm",
        "text_projection": "projections.0",
    },
    dropped=r"embeddings\.position_ids",
)
CLIP_TEXT = Family(
    prefix="CLIP",
    reads="text",
    tasks=TASKS,
    build=build_clip_text,
    name=NAMES.ours,
    heads=(),
)
