"""BERT, RoBERTa, DistilBERT, ELECTRA, MPNet."""

from dataclasses import replace
from typing import Any

from vit.export.safetensors.architecture import hidden_width
from vit.export.safetensors.huggingface.counterpart import (
    FAR,
    Architecture,
    Counterpart,
    NoCounterpart,
    State,
    activation,
    nothing,
    text_fields,
)
from vit.weights.huggingface.families.bert import ELECTRA_LAYERS, MPNET_NAMES
from vit.weights.huggingface.names import (
    BERT_AROUND,
    BERT_BLOCK,
    DISTILBERT_AROUND,
    DISTILBERT_BLOCK,
    Names,
)

# What a class without a head leaves to its user: how states are pooled, and what follows.
AFTER_STATES = frozenset({"pool", "unit", "projections"})
LAYER = "encoder.layer."
HEAD = ("classifier.",)
POOLERS = {"distilbert": "relu"}  # the others have tanh


def bert_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    if not ours["segments"]:
        raise NoCounterpart("segments is 0, and there it is 1 or more")
    return text_fields(ours) | {"type_vocab_size": ours["segments"]}


def electra_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    return bert_config(ours) | {"embedding_size": ours["embedding_width"] or ours["width"]}


def mpnet_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    buckets = (ours["relative"] or {}).get("buckets", 32)
    return text_fields(ours) | {"relative_attention_num_buckets": buckets}


def distilbert_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    return {
        "vocab_size": ours["vocabulary"],
        "dim": ours["width"],
        "n_layers": ours["depth"],
        "n_heads": ours["heads"],
        "hidden_dim": hidden_width(ours),
        "activation": activation(ours),
        "max_position_embeddings": ours["length"],
        "pad_token_id": ours["padding"],
        "sinusoidal_pos_embds": False,
    }


def without_pooling(state: State, ours: Architecture) -> None:
    """A model without a head leaves out the layers after pooling."""
    for name in [name for name in state if name.startswith("projections.")]:
        del state[name]


def _text(
    kind: str,
    prefix: str,
    config: Any,
    names: Names,
    *,
    head: Names | None = None,
    heads: tuple[str, ...] = HEAD,
) -> tuple[Counterpart, Counterpart]:
    """A model without a head, and a classifier, whose names differ where its head has two layers."""
    encoder = Counterpart(
        kind=kind,
        classes={"encoder": f"{prefix}Model"},
        config=config,
        undo=without_pooling,
        theirs=names.theirs,
        base=names.base,
        heads=heads,
        idle=AFTER_STATES,
    )

    def with_layer(ours: Architecture) -> dict[str, Any]:
        fields: dict[str, Any] = config(ours)
        if ours["pooler"] is None and kind != "electra":
            wanted, near = POOLERS.get(kind, "tanh"), ours["norm"] == "post"
            raise NoCounterpart(f"pooler is None, and there it is {wanted!r}", 1 if near else FAR)
        return fields

    classes = {"classifier": f"{prefix}ForSequenceClassification"}
    return encoder, replace(
        encoder, classes=classes, config=with_layer, undo=nothing, theirs=(head or names).theirs
    )


def _with_layer(names: Names, layer: str) -> Names:
    """The names of a model whose head is a layer and then the classes."""
    first = {"classifier.dense": layer, "classifier.out_proj": "head"}  # of two names the first is written
    return replace(names, around=first | dict(names.around))


ROBERTA_NAMES = Names("roberta", LAYER, BERT_BLOCK, BERT_AROUND)
DISTILBERT_NAMES = Names("distilbert", "transformer.layer.", DISTILBERT_BLOCK, DISTILBERT_AROUND)
ELECTRA_NAMES = Names("electra", LAYER, BERT_BLOCK, ELECTRA_LAYERS | BERT_AROUND)

BERTS: tuple[Counterpart, ...] = (
    *_text("bert", "Bert", bert_config, Names("bert", LAYER, BERT_BLOCK, BERT_AROUND)),
    *_text("roberta", "Roberta", bert_config, ROBERTA_NAMES, head=_with_layer(ROBERTA_NAMES, "pooler.0")),
    *_text(
        "distilbert",
        "DistilBert",
        distilbert_config,
        DISTILBERT_NAMES,
        head=replace(DISTILBERT_NAMES, around={"pre_classifier": "pooler.0"} | DISTILBERT_AROUND),
        heads=("classifier.", "pre_classifier."),
    ),
    *_text(
        "electra", "Electra", electra_config, ELECTRA_NAMES, head=_with_layer(ELECTRA_NAMES, "projections.0")
    ),
    *_text("mpnet", "MPNet", mpnet_config, MPNET_NAMES, head=_with_layer(MPNET_NAMES, "pooler.0")),
)
