"""XLNet."""

from collections.abc import Mapping
from typing import Any

import torch
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

# No config says a limit, and there is none but memory; a tokenizer's own goes before it.
LENGTH = 4096
POOLS = {"last": "last", "first": "cls", "mean": "mean", "cls_index": "last"}


def build_xlnet(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """The tower, without its weights.

    Memories (`mem_len`, `reuse_len`, `use_mems_eval`) change what a next call reads, not this one's result,
    and are not kept. Where theirs pools padding (`last` of a text padded on the right, `first` of one padded
    on the left, `mean`), ours pools the tokens.

    Args:
        family: The `model_type`.
        config: The content of `config.json`.
        state: Tensors under our names; changed to fit the tower.
        changes: As in `text_tower`.

    Raises:
        VitError: A field that cannot be followed.
    """
    require(family, config, "attn_type", "bi", "uni", missing="bi")
    if config.get("bi_data"):
        raise VitError(
            f"cannot import this {family}: its bi_data is True, which reverses the second half of a batch: a "
            "text's result would depend on its place in it"
        )
    vocabulary, width = state["token_embedding.weight"].shape
    depth, one_way = config["n_layer"], config.get("attn_type") == "uni"
    _reshape(state, depth)
    head = _language(state) if LANGUAGE in state else _summary(family, config, state)
    max_distance, padding = config.get("clamp_len", -1), config.get("pad_token_id", 5)
    arguments: dict[str, Any] = {
        "classes": num_classes(state),
        "vocabulary": vocabulary,
        "block": BlockSpec(
            width=width,
            heads=config["n_head"],
            mlp_ratio=hidden_width(state) / width,
            norm="post",
            activation=named_activation(config, "ff_activation", "gelu"),
            qkv_bias=(True, False, False),
            output_bias=False,
            mlp_bias=True,
            norm_eps=config.get("layer_norm_eps", 1e-12),
        ),
        "length": LENGTH,
        "depth": depth,
        "causal": one_way,
        "positions": "none",
        "relative": {
            "kind": "distances",
            "segments": True,
            "max_distance": max_distance if max_distance > 0 else None,
            # Without memories, a window as long as a text leaves a token itself alone.
            "window": 0 if one_way and config.get("same_length") else None,
        },
        "padding": 0 if padding is None else padding,
        "embedding_norm": False,
        "pool": "last",
        "query_token": True,
        **head,
    }
    return text_tower(arguments, state, changes)


def _language(state: dict[str, Tensor]) -> dict[str, Any]:
    """Arguments of a head that gives a token."""
    state["head.bias"] = state.pop(LANGUAGE)
    return {"tied": torch.equal(state["head.weight"], state["token_embedding.weight"])}


def _summary(family: str, config: dict[str, Any], state: dict[str, Tensor]) -> dict[str, Any]:
    """Arguments of what a classifier reads; none where there is none."""
    if "head.weight" not in state:
        return {}
    require(family, config, "summary_type", *POOLS, missing="last")
    said = config.get("summary_activation", "tanh")
    if said and "projections.0.weight" not in state:
        raise VitError(
            f"cannot import this {family}: its summary_use_proj is False, with summary_activation {said}, "
            "and vit has an activation after a layer alone"
        )
    after = "identity"
    if said:
        after = activation_after_pooling(family, {"summary_activation": said}, "summary_activation")
    pool = POOLS[config.get("summary_type", "last")]
    return {"pool": pool, "projections": layer_after_pooling(state, after)}


def _reshape(state: dict[str, Tensor], depth: int) -> None:
    """Tensors by head, (D, H, K), become matrices, and vectors added to queries those of the whole stack.

    Their queries have no bias, and each term of a score adds a vector of its own to them. Ours have that of
    the term of content as their bias, and the others less that.
    """
    state["query_token"] = state["query_token"].flatten()
    by_layer: dict[str, list[Tensor]] = {"query": [], "segment_query": [], "segment_keys": []}
    for layer in range(depth):
        block = f"encoder.blocks.{layer}"
        part = {name: state.pop(f"{block}.rel_attn.{name}") for name in PARTS}
        for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v")):
            state[f"{block}.attention.{ours}.weight"] = part[theirs].flatten(1).T.contiguous()
        state[f"{block}.attention.query.bias"] = part["r_w_bias"].flatten()
        state[f"{block}.attention.output.weight"] = part["o"].flatten(1)
        state[f"relative.keys.{layer}.weight"] = part["r"].flatten(1).T.contiguous()
        by_layer["query"].append(part["r_r_bias"] - part["r_w_bias"])
        by_layer["segment_query"].append(part["r_s_bias"] - part["r_w_bias"])
        by_layer["segment_keys"].append(part["seg_embed"])
    state |= {f"relative.{name}": torch.stack(tensors) for name, tensors in by_layer.items()}


PARTS = ("q", "k", "v", "o", "r", "r_w_bias", "r_r_bias", "r_s_bias", "seg_embed")
LANGUAGE = "lm_loss.bias"  # what only a language model has
NAMES = Names(
    "transformer",
    "layer.",
    {
        "rel_attn.layer_norm": "attention_post_norm",
        "ff.layer_1": "mlp.expand",
        "ff.layer_2": "mlp.contract",
        "ff.layer_norm": "mlp_post_norm",
    },
    {
        "word_embedding": "token_embedding",
        "mask_emb": "query_token",
        "sequence_summary.summary": "projections.0",
        "logits_proj": "head",
        "lm_loss.weight": "head.weight",
    },
)
XLNET = Family(
    prefix="XLNet",
    reads="text",
    tasks={"Model": "encoder", "LMHeadModel": "language", "ForSequenceClassification": "classifier"},
    build=build_xlnet,
    name=NAMES.ours,
    pooler=(),
    heads=("logits_proj.", "sequence_summary.", "lm_loss."),
)
