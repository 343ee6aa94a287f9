"""ModernBERT."""

from collections.abc import Mapping
from typing import Any

import torch

from vit.export.safetensors.architecture import hidden_width, mlp_bias, qkv_biases
from vit.export.safetensors.huggingface.counterpart import (
    Architecture,
    Counterpart,
    NoCounterpart,
    State,
    activation,
)
from vit.export.safetensors.huggingface.families.bert import AFTER_STATES
from vit.weights.huggingface.families.modernbert import FULL, NAMES, SLIDING
from vit.weights.huggingface.families.text import AFTER_POOLING

JOINED = {
    "attention.qkv": ("attention.query", "attention.key", "attention.value"),
    "mlp.gate_and_expand": ("mlp.gate", "mlp.expand"),
}


def config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    if ours["causal"]:
        raise NoCounterpart("causal is True, and there it is False")
    relative = ours["relative"] or {}
    windows = _by_layer(relative.get("window"), ours["depth"])
    bases = _by_layer(relative.get("temperature", 10_000.0), ours["depth"])
    kinds = [FULL if window is None else SLIDING for window in windows]
    rotations = {
        kind: {"rope_type": "default", "rope_theta": float(base)}
        for kind, base in zip(reversed(kinds), reversed(bases), strict=True)
    }
    after = ours["projections"][0] if ours["projections"] else (ours["width"], "gelu", False)
    spans = [window for window in windows if window is not None]
    return {
        "vocab_size": ours["vocabulary"],
        "hidden_size": ours["width"],
        "num_hidden_layers": ours["depth"],
        "num_attention_heads": ours["heads"],
        "intermediate_size": hidden_width(ours),
        "hidden_activation": activation(ours),
        "max_position_embeddings": ours["length"],
        "norm_eps": ours["norm_eps"],
        "norm_bias": ours["norm_kind"] == "layer",
        "attention_bias": any(qkv_biases(ours)),
        "mlp_bias": mlp_bias(ours),
        "pad_token_id": ours["padding"],
        "layer_types": kinds,
        "rope_parameters": rotations,
        **_before_5(kinds, rotations),
        **({"local_attention": 2 * spans[0]} if spans else {}),
        "classifier_pooling": ours["pool"] if ours["pool"] in ("cls", "mean") else "cls",
        "classifier_activation": _after_pooling(after[1]),
        "classifier_bias": after[2],
    }


def undo(state: State, ours: Architecture) -> None:
    """One matrix for queries, keys and values, and one for gate and hidden channels."""
    for joined, parts in JOINED.items():
        for first in [name for name in state if f".{parts[0]}." in name]:
            names = [first.replace(parts[0], part) for part in parts]
            if state.keys() >= set(names):
                state[first.replace(parts[0], joined)] = torch.cat([state.pop(name) for name in names])


def _before_5(kinds: list[str], rotations: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in which versions of transformers before 5 say the same."""
    every = next((n for n in range(1, len(kinds) + 1) if kinds == _alternating(n, len(kinds))), None)
    said = {} if every is None else {"global_attn_every_n_layers": every}
    names = {FULL: "global_rope_theta", SLIDING: "local_rope_theta"}
    return said | {names[kind]: rotation["rope_theta"] for kind, rotation in rotations.items()}


def _alternating(every: int, depth: int) -> list[str]:
    return [SLIDING if layer % every else FULL for layer in range(depth)]


def _by_layer(said: Any, depth: int) -> list[Any]:
    """One value for each layer."""
    return list(said) if isinstance(said, list | tuple) else [said] * depth


def _after_pooling(ours: str) -> str:
    """Their name of an activation after pooling."""
    return next((theirs for theirs, name in AFTER_POOLING.items() if name == ours), "gelu")


MODERNBERT = Counterpart(
    kind="modernbert",
    classes={"encoder": "ModernBertModel", "classifier": "ModernBertForSequenceClassification"},
    config=config,
    undo=undo,
    theirs=NAMES.theirs,
    base="model",
    heads=("classifier.", "head."),
    idle=AFTER_STATES,
)
