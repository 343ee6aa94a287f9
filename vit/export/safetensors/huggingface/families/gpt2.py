"""GPT-2."""

import re
from typing import Any

import torch

from vit.export.safetensors.architecture import hidden_width
from vit.export.safetensors.huggingface.counterpart import Architecture, Counterpart, State, activation
from vit.weights.huggingface.families.gpt2 import AROUND, IN_BLOCK, TRANSPOSED
from vit.weights.huggingface.names import OUR_BLOCK

THEIRS_IN_BLOCK = {ours: theirs for theirs, ours in IN_BLOCK.items()}
THEIRS_AROUND = {ours: theirs for theirs, ours in AROUND.items()} | {"head.weight": "lm_head.weight"}
CLASSIFIER = {"head.weight": "score.weight"}
ENDING = re.compile(r"^(.*)\.(weight|bias)$")


def config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    ends = list(ours["ends"])
    return {
        "vocab_size": ours["vocabulary"],
        "n_embd": ours["width"],
        "n_layer": ours["depth"],
        "n_head": ours["heads"],
        "n_inner": hidden_width(ours),
        "n_positions": ours["length"],
        # Theirs is written out, and ours is torch's.
        "activation_function": activation(ours),
        "layer_norm_epsilon": ours["norm_eps"],
        "scale_attn_weights": ours["scale"] is None,
        "pad_token_id": ours["padding"],
        "eos_token_id": (ends if len(ends) > 1 else ends[0]) if ends else None,
        "bos_token_id": None,
        "tie_word_embeddings": bool(ours["tied"]),
    }


def undo(state: State, ours: Architecture) -> None:
    """Queries, keys and values from one layer, matrices the other way round, and a head without a bias."""
    for query in [name for name in state if ".attention.query." in name]:
        names = [query.replace("query", part) for part in ("query", "key", "value")]
        if state.keys() >= set(names):
            state[query.replace("query", "fused")] = torch.cat([state.pop(name) for name in names])
    for name in [name for name in state if name.endswith(TRANSPOSED)]:
        state[name] = state[name].T
    if "head.bias" in state and not state["head.bias"].any():
        del state["head.bias"]
    if ours["tied"]:
        state.pop("head.weight", None)


def theirs(ours: str) -> str:
    """Our name of a tensor -> theirs, without the base model's."""
    block = OUR_BLOCK.match(ours)
    if not block:
        return THEIRS_AROUND.get(ours, ours)
    part = ENDING.match(block[2])
    return f"h.{block[1]}.{THEIRS_IN_BLOCK.get(part[1], part[1])}.{part[2]}" if part else ours


def theirs_of_classifier(ours: str) -> str:
    """Likewise, where the head gives classes."""
    return CLASSIFIER.get(ours) or theirs(ours)


GPT2 = Counterpart(
    kind="gpt2",
    classes={"encoder": "GPT2Model", "language": "GPT2LMHeadModel"},
    config=config,
    undo=undo,
    theirs=theirs,
    base="transformer",
    heads=("lm_head.",),
)
GPT2_CLASSIFIER = Counterpart(
    kind="gpt2",
    classes={"classifier": "GPT2ForSequenceClassification"},
    config=config,
    undo=undo,
    theirs=theirs_of_classifier,
    base="transformer",
    heads=("score.",),
)
