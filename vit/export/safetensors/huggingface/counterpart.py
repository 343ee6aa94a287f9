"""What the export must know of a family of transformers: the importer's tables, read the other way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vit.errors import VitError
from vit.export.safetensors.architecture import hidden_width
from vit.weights.huggingface.config import ACTIVATIONS

State = dict[str, Tensor]
Architecture = Mapping[str, Any]

# Our names of activations -> theirs; of two the one that is computed as ours is.
THEIR_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
THEIR_ACTIVATIONS["gelu_tanh"] = "gelu_pytorch_tanh"


FAR = 100


class NoCounterpart(VitError):
    """A family cannot be what a tower is; the message says why.

    Args:
        message: The argument, its value in the tower, and its value there.
        distance: Number of arguments that differ; the default: the family is another kind of model.
    """

    def __init__(self, message: str, distance: int = FAR):
        super().__init__(message)
        self.distance = distance


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """A family of transformers that a tower may be written as.

    Args:
        kind: The `model_type`.
        classes: The class of transformers, by what a model is for: `encoder`, `classifier`, `language`.
        config: The arguments of a tower -> fields of `config.json`.
        undo: Brings tensors under our names to the shapes that the family's files have, in place: what the
            importer's `build` does to them, backwards.
        theirs: Our name of a tensor -> theirs, without the name of the base model.
        base: The name of the base model, before the names of its tensors in a model with a head.
        heads: Beginnings of their names that have no base model before them.
        always: Whether the base model's name stands before names in a model without a head too.
        idle: Arguments of the tower that say nothing about what the class computes.
    """

    kind: str
    classes: Mapping[str, str]
    config: Callable[[Architecture], dict[str, Any]]
    undo: Callable[[State, Architecture], None]
    theirs: Callable[[str], str]
    base: str
    heads: tuple[str, ...] = ("classifier.",)
    always: bool = False
    idle: frozenset[str] = frozenset()

    def tensors(self, weights: State, architecture: Architecture, task: str) -> State:
        """The tensors of a file, by their names.

        Args:
            weights: Of the tower, under our names.
            architecture: Its arguments.
            task: A key of `classes`.

        Raises:
            NoCounterpart: The family has no place for a tensor.
        """
        state = dict(weights)
        self.undo(state, architecture)
        named = {self.theirs(name): tensor.contiguous() for name, tensor in state.items()}
        if placeless := sorted(named.keys() & weights.keys()):  # a name that the tables do not have
            raise NoCounterpart(f"{placeless[0]} is a tensor, and there it is none", 1 + len(placeless))
        if task == "encoder" and not self.always:
            return named
        return {
            name if name.startswith(self.heads) else f"{self.base}.{name}": tensor
            for name, tensor in named.items()
        }


def activation(ours: Architecture) -> str:
    """Their name of the activation."""
    return THEIR_ACTIVATIONS[ours["activation"]]


def block_fields(ours: Architecture) -> dict[str, Any]:
    """The fields of `config.json` about blocks, under the names that most families give them."""
    return {
        "hidden_size": ours["width"],
        "num_hidden_layers": ours["depth"],
        "num_attention_heads": ours["heads"],
        "intermediate_size": hidden_width(ours),
        "hidden_act": activation(ours),
        "layer_norm_eps": ours["norm_eps"],
    }


def text_fields(ours: Architecture) -> dict[str, Any]:
    """The same of a text encoder, with those of its embedding."""
    return block_fields(ours) | {
        "vocab_size": ours["vocabulary"],
        "max_position_embeddings": ours["length"],
        "pad_token_id": ours["padding"],
    }


def nothing(state: State, ours: Architecture) -> None:
    """For a family whose tensors have the shapes of ours."""
