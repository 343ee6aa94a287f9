"""What the vision and the text families say in the same words: activation, hidden width, classes."""

from typing import Any

from torch import Tensor

from vit.errors import VitError

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
ACTIVATIONS |= {"quick_gelu": "quick_gelu", "silu": "silu", "swish": "silu"}
GENERATION = ("eos_token_id", "decoder_start_token_id")  # what generation_config.json may say instead


def activation(config: dict[str, Any]) -> str:
    """Our name of the activation.

    Raises:
        VitError: We have not got it.
    """
    name = config.get("hidden_act", config.get("activation", "gelu"))
    if name not in ACTIVATIONS:
        raise VitError(
            f"cannot import a model with the activation {name}, expected one of: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def named_activation(config: dict[str, Any], field: str, usual: str) -> str:
    """Our name of the activation that a field says.

    Raises:
        VitError: We have not got it.
    """
    name = config.get(field, usual)
    if name not in ACTIVATIONS:
        raise VitError(
            f"cannot import a model whose {field} is {name}, expected one of: {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def end_ids(config: dict[str, Any], vocabulary: int) -> list[int]:
    """The ids that end a text: `eos_token_id`, those that the vocabulary has."""
    said = config.get("eos_token_id")
    ids = [] if said is None else said if isinstance(said, list) else [said]
    return [number for number in ids if 0 <= number < vocabulary]


def with_generation(config: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The config, with the ids of a `generation_config.json` in the place of its own."""
    return config | {name: said[name] for name in GENERATION if said.get(name) is not None}


def hidden_width(state: dict[str, Tensor]) -> int:
    """The hidden width of the MLPs: the families say it in different words, the weights in one."""
    return len(state["encoder.blocks.0.mlp.expand.weight"])


def num_classes(state: dict[str, Tensor]) -> int:
    """Of the head; 0 where there is none."""
    return len(state["head.weight"]) if "head.weight" in state else 0
