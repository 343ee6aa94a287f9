"""GPT-2 (Radford et al. 2019)."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vit.core import BlockSpec
from vit.errors import VitError
from vit.text import TextTransformer
from vit.weights.huggingface.config import end_ids, hidden_width, named_activation, num_classes
from vit.weights.huggingface.families.family import Family, Task

BLOCK = re.compile(r"^h\.(\d+)\.(.*)\.(weight|bias)$")
IN_BLOCK = {
    "ln_1": "attention_norm",
    "ln_2": "mlp_norm",
    "attn.c_attn": "attention.fused",
    "attn.c_proj": "attention.output",
    "mlp.c_fc": "mlp.expand",
    "mlp.c_proj": "mlp.contract",
}
TRANSPOSED = ("fused.weight", "output.weight", "expand.weight", "contract.weight")  # (before, after) there
AROUND = {
    "wte.weight": "token_embedding.weight",
    "wpe.weight": "positions.table",
    "ln_f.weight": "encoder.norm.weight",
    "ln_f.bias": "encoder.norm.bias",
    "lm_head.weight": "head.weight",
    "score.weight": "head.weight",
}
BUFFERS = re.compile(r"\.attn\.(masked_)?bias$")  # the causal mask, in files of early versions


def name(theirs: str) -> str | None:
    """As `Family.name`."""
    theirs = theirs.removeprefix("transformer.")
    if BUFFERS.search(theirs):
        return None
    block = BLOCK.match(theirs)
    if block:
        return f"encoder.blocks.{block[1]}.{IN_BLOCK.get(block[2], block[2])}.{block[3]}"
    return AROUND.get(theirs, theirs)


def build(
    kind: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """As `Family.build`."""
    if config.get("add_cross_attention"):
        raise VitError(
            f"cannot import this {kind}: add_cross_attention is true, and vit has it in no causal model"
        )
    for ours in [ours for ours in state if ours.endswith(TRANSPOSED)]:
        state[ours] = state[ours].T
    depth = config["n_layer"]
    for layer in range(depth):
        _split(state, f"encoder.blocks.{layer}.attention")
        if config.get("scale_attn_by_inverse_layer_idx"):
            for part in ("weight", "bias"):
                query = f"encoder.blocks.{layer}.attention.query.{part}"
                state[query] = state[query] / (layer + 1)
    vocabulary, width = state["token_embedding.weight"].shape
    classes = num_classes(state)
    if classes:
        state["head.bias"] = torch.zeros_like(state["head.weight"][:, 0])
    ends = end_ids(config, vocabulary)
    padding = config.get("pad_token_id")
    arguments: dict[str, Any] = {
        "classes": classes,
        "vocabulary": vocabulary,
        "block": BlockSpec(
            width=width,
            heads=config["n_head"],
            mlp_ratio=hidden_width(state) / width,
            scale=None if config.get("scale_attn_weights", True) else 1.0,
            activation=named_activation(config, "activation_function", "gelu_new"),
            norm_eps=config.get("layer_norm_epsilon", 1e-5),
        ),
        "length": len(state["positions.table"]),
        "depth": depth,
        "causal": True,
        # Without an id of its own, padding is the end of a text.
        "padding": (ends or [vocabulary - 1])[0] if padding is None else padding,
        "ends": ends,
        "embedding_norm": False,
        "encoder_norm": True,
        "pool": "last",
        "tied": classes == vocabulary and torch.equal(state["head.weight"], state["token_embedding.weight"]),
    }
    return TextTransformer(**{**arguments, **changes})


def _split(state: dict[str, Tensor], attention: str) -> None:
    """Query, key and value of the layer that computes all three."""
    for part in ("weight", "bias"):
        fused = state.pop(f"{attention}.fused.{part}")
        for ours, piece in zip(("query", "key", "value"), fused.chunk(3), strict=True):
            state[f"{attention}.{ours}.{part}"] = piece


TASKS: dict[str, Task] = {
    "Model": "encoder",
    "LMHeadModel": "language",
    "ForSequenceClassification": "classifier",
}
GPT2 = Family(
    prefix="GPT2", reads="text", tasks=TASKS, build=build, name=name, pooler=(), heads=("lm_head.", "score.")
)
