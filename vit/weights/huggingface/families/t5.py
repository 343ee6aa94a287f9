"""T5 (Raffel et al. 2020), mT5 (Xue et al. 2021), UMT5 (Chung et al. 2023)."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vit.core import BlockSpec
from vit.errors import VitError
from vit.text import TextTransformer
from vit.text.seq2seq import EncoderDecoder
from vit.weights.huggingface.config import ACTIVATIONS, end_ids, hidden_width
from vit.weights.huggingface.families.family import Family, Task

# Positions are distances, so texts of any length can be read; the tokenizer's own limit is smaller.
LENGTH = 32_768
BLOCK = re.compile(r"^(encoder|decoder)\.block\.(\d+)\.layer\.(\d)\.(.*)\.weight$")
NORMS = {
    "encoder": ("attention_norm", "mlp_norm"),
    "decoder": ("attention_norm", "cross_norm", "mlp_norm"),
}
IN_BLOCK = {
    "DenseReluDense.wi": "mlp.expand",
    "DenseReluDense.wi_0": "mlp.gate",
    "DenseReluDense.wi_1": "mlp.expand",
    "DenseReluDense.wo": "mlp.contract",
}
IN_BLOCK |= {
    f"{theirs}.{letter}": f"{ours}.{part}"
    for theirs, ours in (("SelfAttention", "attention"), ("EncDecAttention", "cross"))
    for letter, part in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "output"))
}
BIAS = "SelfAttention.relative_attention_bias"
AROUND = {
    "shared.weight": "token_embedding.weight",
    "encoder.final_layer_norm.weight": "encoder.norm.weight",
    "decoder.final_layer_norm.weight": "decoder.norm.weight",
    "lm_head.weight": "head.weight",
}
COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # of the embedding
# Files of early versions have it, and no version reads it.
UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def name(theirs: str) -> str | None:
    """As `Family.name`."""
    if theirs == UNUSED:
        return None
    block = BLOCK.match(theirs)
    if not block:
        return AROUND.get(theirs, theirs)
    stack, layer, place, part = block.groups()
    if part == BIAS:
        return f"{stack}_relative.tables.{layer}.weight"
    if part == "layer_norm" and int(place) < len(NORMS[stack]):
        return f"{stack}.blocks.{layer}.{NORMS[stack][int(place)]}.weight"
    return f"{stack}.blocks.{layer}.{IN_BLOCK.get(part, part)}.weight"


def build(
    kind: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer | EncoderDecoder:
    """As `Family.build`: an encoder-decoder, or a text tower where there is an encoder alone."""
    if config.get("is_decoder"):
        raise VitError(f"cannot import this {kind}: is_decoder is true, and vit reads its encoder as one")
    _join_embeddings(kind, state)
    vocabulary, width = state["token_embedding.weight"].shape
    shared: dict[str, Any] = {
        "block": _block(kind, config, width, hidden_width(state)),
        "depth": config["num_layers"],
        "length": LENGTH,
        "positions": "none",
        "relative": _relative(kind, config),
        "padding": config.get("pad_token_id") or 0,
        "embedding_norm": False,
    }
    if any(ours.startswith("decoder.") for ours in state):
        return EncoderDecoder(vocabulary, **shared, **_decoder(kind, config, state, width))
    for ours in [ours for ours in state if ours.startswith("encoder_relative.")]:
        state[ours.removeprefix("encoder_")] = state.pop(ours)
    arguments = {**shared, "encoder_norm": True, "pool": "mean", **changes}
    return TextTransformer(0, vocabulary, **arguments)


def _join_embeddings(kind: str, state: dict[str, Tensor]) -> None:
    """Leave one embedding: ours serves source and target."""
    for copy in COPIES:
        table = state.pop(copy, None)
        if table is not None and not torch.equal(state.setdefault("token_embedding.weight", table), table):
            raise VitError(
                f"cannot import this {kind}: {copy} is not shared.weight, and vit has one embedding"
            )


def _block(kind: str, config: dict[str, Any], width: int, hidden: int) -> BlockSpec:
    activation, gated = _mlp(kind, config)
    return BlockSpec(
        width=width,
        heads=config["num_heads"],
        mlp_ratio=hidden / width,
        head_width=config["d_kv"],
        scale=1.0,
        norm_kind="rms",
        activation=activation,
        gated=gated,
        qkv_bias=False,
        output_bias=False,
        norm_eps=config.get("layer_norm_epsilon", 1e-6),
    )


def _mlp(kind: str, config: dict[str, Any]) -> tuple[str, bool]:
    """The activation, and whether the MLP is gated: `feed_forward_proj`, or the two fields made of it."""
    said = config.get("feed_forward_proj", "relu" if kind == "t5" else "gated-gelu")
    usual = "gelu_new" if said == "gated-gelu" else said.removeprefix("gated-")
    activation = config.get("dense_act_fn", usual)
    if activation not in ACTIVATIONS:
        raise VitError(
            f"cannot import this {kind}: feed_forward_proj is {said}, with the activation {activation}, "
            f"expected one of: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[activation], config.get("is_gated_act", said.startswith("gated-"))


def _relative(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    buckets = config.get("relative_attention_num_buckets", 32)
    max_distance = config.get("relative_attention_max_distance", 128)
    if buckets < 4 or max_distance <= buckets // 2:
        raise VitError(
            f"cannot import this {kind}: relative_attention_num_buckets is {buckets} and "
            f"relative_attention_max_distance {max_distance}, expected at least 4, and more than half of it"
        )
    return {"kind": "buckets", "buckets": buckets, "max_distance": max_distance, "shared": kind != "umt5"}


def _decoder(kind: str, config: dict[str, Any], state: dict[str, Tensor], width: int) -> dict[str, Any]:
    """Arguments of the decoder and the head."""
    head, table = state.get("head.weight"), state["token_embedding.weight"]
    tied = head is not None and torch.equal(head, table)
    start, depth = config.get("decoder_start_token_id"), config.get("num_decoder_layers")
    # A config of a version before 5 says it by `tie_word_embeddings`; mT5 never scales.
    scaled = config.get("scale_decoder_outputs", config.get("tie_word_embeddings") is not False)
    return {
        "decoder_depth": config["num_layers"] if depth is None else depth,
        "head": "none" if head is None else "tied" if tied else "own",
        "head_scale": width**-0.5 if scaled and kind != "mt5" and head is not None else 1.0,
        "start": (config.get("pad_token_id") or 0) if start is None else start,
        "ends": end_ids(config, len(table)),
    }


TASKS: dict[str, Task] = {
    "Model": "encoder",
    "EncoderModel": "encoder",
    "ForConditionalGeneration": "language",
}
T5, MT5, UMT5 = (
    Family(prefix=prefix, reads="text", tasks=TASKS, build=build, name=name, pooler=(), heads=("lm_head.",))
    for prefix in ("T5", "MT5", "UMT5")
)
