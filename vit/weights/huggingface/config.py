"""What the vision and the text families say in the same words: activation, hidden width, classes."""

from typing import Any

from torch import Tensor

from vit.errors import VitError

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
ACTIVATIONS |= {"quick_gelu": "quick_gelu"}


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


def hidden_width(state: dict[str, Tensor]) -> int:
    """The hidden width of the MLPs: the families say it in different words, the weights in one."""
    return len(state["encoder.blocks.0.mlp.expand.weight"])


def num_classes(state: dict[str, Tensor]) -> int:
    """Of the head; 0 where there is none."""
    return len(state["head.weight"]) if "head.weight" in state else 0
