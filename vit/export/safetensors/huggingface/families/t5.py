"""T5 and UMT5."""

import re
from typing import Any

from vit.export.safetensors.architecture import hidden_width
from vit.export.safetensors.huggingface.counterpart import (
    THEIR_ACTIVATIONS,
    Architecture,
    Counterpart,
    NoCounterpart,
    State,
)
from vit.export.safetensors.huggingface.families.bert import AFTER_STATES
from vit.weights.huggingface.families.t5 import AROUND, BIAS, IN_BLOCK, NORMS

OURS = re.compile(r"^(encoder|decoder)\.blocks\.(\d+)\.(.*)\.weight$")
TABLE = re.compile(r"^(encoder|decoder)_relative\.tables\.(\d+)\.weight$")
THEIRS_IN_BLOCK = {ours: theirs for theirs, ours in reversed(IN_BLOCK.items())}  # of two names the first
THEIRS_AROUND = {ours: theirs for theirs, ours in AROUND.items()}


def config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    relative, ends = ours["relative"] or {}, list(ours.get("ends") or [])
    named = THEIR_ACTIVATIONS[ours["activation"]]
    return {
        "vocab_size": ours["vocabulary"],
        "d_model": ours["width"],
        "d_kv": ours["head_width"] or ours["width"] // ours["heads"],
        "d_ff": hidden_width(ours),
        "num_layers": ours["depth"],
        "num_heads": ours["heads"],
        "relative_attention_num_buckets": relative.get("buckets", 32),
        "relative_attention_max_distance": relative.get("max_distance", 128),
        "feed_forward_proj": _proj(named, gated=ours["gated"]),
        "layer_norm_epsilon": ours["norm_eps"],
        "pad_token_id": ours["padding"],
        "eos_token_id": (ends if len(ends) > 1 else ends[0]) if ends else None,
        **_decoder(ours),
    }


def _proj(named: str, *, gated: bool) -> str:
    """The field about the MLP; `gated-gelu` is their name of the one with tanh."""
    return f"gated-{'gelu' if named == 'gelu_pytorch_tanh' else named}" if gated else named


def _decoder(ours: Architecture) -> dict[str, Any]:
    """Fields of an encoder-decoder."""
    if ours["tower"] != "seq2seq":
        return {}
    depth = ours["decoder_depth"]
    return {
        "is_encoder_decoder": True,
        "num_decoder_layers": ours["depth"] if depth is None else depth,
        "decoder_start_token_id": ours["start"],
        "tie_word_embeddings": ours["head"] != "own",
        "scale_decoder_outputs": ours["head_scale"] != 1.0,
    }


def undo(state: State, ours: Architecture) -> None:
    """The tables of an encoder alone have its name; a head that is the embedding is written once."""
    for name in [name for name in state if name.startswith("relative.")]:
        state[f"encoder_{name}"] = state.pop(name)
    if ours.get("head") == "tied":
        state.pop("head.weight", None)


def theirs(ours: str) -> str:
    """Our name of a tensor -> theirs."""
    table = TABLE.match(ours)
    if table:
        return f"{table[1]}.block.{table[2]}.layer.0.{BIAS}.weight"
    block = OURS.match(ours)
    if not block:
        return THEIRS_AROUND.get(ours, ours)
    stack, layer, part = block.groups()
    if part in NORMS[stack]:
        return f"{stack}.block.{layer}.layer.{NORMS[stack].index(part)}.layer_norm.weight"
    return f"{stack}.block.{layer}.layer.{_place(stack, part)}.{THEIRS_IN_BLOCK.get(part, part)}.weight"


def _place(stack: str, part: str) -> int:
    """Self-attention, in a decoder cross-attention, and the MLP."""
    return {"attention": 0, "cross": 1}.get(part.partition(".")[0], len(NORMS[stack]) - 1)


def theirs_gated(ours: str) -> str:
    """Likewise, of a gated MLP, whose hidden layer is wi_1 beside the gate, and not wi."""
    return theirs(ours).replace("DenseReluDense.wi.", "DenseReluDense.wi_1.")


def _t5(kind: str, prefix: str, *, gated: bool, alone: bool) -> Counterpart:
    def checked(ours: Architecture) -> dict[str, Any]:
        found, wanted = ours["tower"], "text" if alone else "seq2seq"
        if ours["gated"] != gated:
            raise NoCounterpart(f"gated is {ours['gated']}, and there it is {gated}")
        if found != wanted:
            raise NoCounterpart(f"the tower is {found!r}, and there it is {wanted!r}")
        return config(ours)

    whole = {"encoder": f"{prefix}Model", "language": f"{prefix}ForConditionalGeneration"}
    return Counterpart(
        kind=kind,
        classes={"encoder": f"{prefix}EncoderModel"} if alone else whole,
        config=checked,
        undo=undo,
        theirs=theirs_gated if gated else theirs,
        base="",
        heads=("",),  # no name has a base model before it
        idle=AFTER_STATES if alone else frozenset(),
    )


T5_KINDS = tuple(
    _t5(kind, prefix, gated=gated, alone=alone)
    for kind, prefix in (("t5", "T5"), ("umt5", "UMT5"))
    for alone in (False, True)
    for gated in (False, True)
)
