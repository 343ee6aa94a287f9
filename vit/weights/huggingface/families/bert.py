"""BERT, RoBERTa, DistilBERT."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from vit.core import BlockSpec
from vit.errors import VitError
from vit.text import TextTransformer
from vit.text.projection import Projection
from vit.weights.huggingface.config import activation, hidden_width, num_classes
from vit.weights.huggingface.families.family import Family, Task


class Dense(NamedTuple):
    """A linear layer after pooling, with its activation's name in `vit.text.projection`.

    Args:
        weight: (width after, width before).
        bias: (width after,), or None.
        activation: The name.
    """

    weight: Tensor
    bias: Tensor | None
    activation: str


def build_text(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """The tower, without its weights.

    Args:
        family: The `model_type`.
        config: The content of `config.json`.
        state: Tensors under our names; changed to fit the tower.
        changes: Arguments of the tower that `config` does not say; `projections` are `Dense` layers, whose
            tensors are put into `state`.

    Raises:
        VitError: A part that ours has not.
    """
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise VitError(f"cannot import this {family}: its positions are {kind}, which vit does not have")
    if config.get("is_decoder"):
        raise VitError(f"cannot import this {family}: it is a decoder, and vit reads encoders")
    vocabulary, width = state["token_embedding.weight"].shape
    distil = family == "distilbert"
    pooler = None
    if "pooler.0.weight" in state:
        pooler = "relu" if distil else "tanh"
    padding = config.get("pad_token_id")
    block = BlockSpec(
        width=width,
        heads=config["n_heads" if distil else "num_attention_heads"],
        mlp_ratio=hidden_width(state) / width,
        norm="post",
        activation=activation(config),
        norm_eps=1e-12 if distil else config["layer_norm_eps"],
    )
    arguments: dict[str, Any] = {
        "classes": num_classes(state),
        "vocabulary": vocabulary,
        "block": block,
        "length": len(state["positions.table"]),
        "depth": config["n_layers" if distil else "num_hidden_layers"],
        "count_from": padding if family == "roberta" else None,
        "segments": len(state["segments.weight"]) if "segments.weight" in state else 0,
        "padding": 0 if padding is None else padding,
        "pooler": pooler,
        **changes,
    }
    arguments["projections"] = _projections(arguments.get("projections", ()), state)
    if arguments["pooler"] is None:
        for name in ("pooler.0.weight", "pooler.0.bias"):
            state.pop(name, None)
    return TextTransformer(**arguments)


def _projections(layers: Sequence[Dense], state: dict[str, Tensor]) -> list[Projection]:
    """Arguments of the layers; their tensors go into `state`, under the names of `make_projections`."""
    for index, layer in enumerate(layers):
        place = f"projections.{2 * index}"  # an activation follows each
        state[f"{place}.weight"] = layer.weight
        if layer.bias is not None:
            state[f"{place}.bias"] = layer.bias
    return [(len(layer.weight), layer.activation, layer.bias is not None) for layer in layers]


TASKS: dict[str, Task] = {
    "Model": "encoder",
    "ForMaskedLM": "pretraining",
    "ForPreTraining": "pretraining",
    "ForCausalLM": "pretraining",
    "LMHeadModel": "pretraining",
    "ForNextSentencePrediction": "pretraining",
    "ForSequenceClassification": "classifier",
}
HEAD = ("head.weight", "pooler.0.weight")
BERT = Family(prefix="Bert", reads="text", tasks=TASKS, build=build_text, pooler=(), head=HEAD)
# A RoBERTa has both its own pooler and that of its head.
ROBERTA = Family(prefix="Roberta", reads="text", tasks=TASKS, build=build_text, head=HEAD)
DISTILBERT = Family(prefix="DistilBert", reads="text", tasks=TASKS, build=build_text, head=HEAD)
