"""BERT, RoBERTa and its multilingual and French kin, DistilBERT, ELECTRA."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vit.core import BlockSpec
from vit.errors import VitError
from vit.text import TextTransformer
from vit.weights.huggingface.config import activation, hidden_width, num_classes
from vit.weights.huggingface.families.family import Family, Task
from vit.weights.huggingface.families.text import (
    layer_after_pooling,
    require_encoder,
    text_tower,
)
from vit.weights.huggingface.names import Names, our_name

ROBERTAS = ("roberta", "xlm-roberta", "camembert")


def build_text(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """The tower, without its weights.

    Args:
        family: The `model_type`.
        config: The content of `config.json`.
        state: Tensors under our names; changed to fit the tower.
        changes: As in `text_tower`.

    Raises:
        VitError: A part that ours has not.
    """
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise VitError(
            f"cannot import this {family}: its position_embedding_type is {kind}, which vit does not have"
        )
    require_encoder(family, config)
    vocabulary, narrow = state["token_embedding.weight"].shape
    distil, padding = family == "distilbert", config.get("pad_token_id", 1 if family in ROBERTAS else 0)
    if family in ROBERTAS and padding is None:
        raise VitError(f"cannot import this {family}: its pad_token_id is None, and positions count from it")
    width = config["dim" if distil else "hidden_size"]
    pooler = None
    if "pooler.0.weight" in state:
        pooler = "relu" if distil else "tanh"
    arguments: dict[str, Any] = {
        "classes": num_classes(state),
        "vocabulary": vocabulary,
        "block": BlockSpec(
            width=width,
            heads=config["n_heads" if distil else "num_attention_heads"],
            mlp_ratio=hidden_width(state) / width,
            norm="post",
            activation=activation(config),
            norm_eps=1e-12 if distil else config.get("layer_norm_eps", 1e-12),
        ),
        "length": len(state["positions.table"]),
        "depth": config["n_layers" if distil else "num_hidden_layers"],
        "count_from": padding if family in ROBERTAS else None,
        "segments": len(state["segments.weight"]) if "segments.weight" in state else 0,
        "padding": 0 if padding is None else padding,
        "embedding_width": narrow if "widen.weight" in state else None,
        "pooler": pooler,
        "projections": layer_after_pooling(state, "gelu"),
    }
    return text_tower(arguments, state, changes)


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
XLM_ROBERTA = Family(prefix="XLMRoberta", reads="text", tasks=TASKS, build=build_text, head=HEAD)
CAMEMBERT = Family(prefix="Camembert", reads="text", tasks=TASKS, build=build_text, head=HEAD)
DISTILBERT = Family(prefix="DistilBert", reads="text", tasks=TASKS, build=build_text, head=HEAD)


ELECTRA_LAYERS = {"embeddings_project": "widen", "classifier.dense": "projections.0"}


def electra_name(name: str) -> str | None:
    """Their name of a tensor -> ours: as of a BERT, but for the layers before and after the blocks."""
    name = name.removeprefix("electra.")
    if name.startswith(("discriminator_predictions.", "generator_predictions.", "generator_lm_head.")):
        return None
    for theirs, ours in ELECTRA_LAYERS.items():
        if name.startswith(f"{theirs}."):
            return ours + name.removeprefix(theirs)
    return our_name(name)


ELECTRA = Family(
    prefix="Electra",
    reads="text",
    tasks=TASKS,
    build=build_text,
    name=electra_name,
    pooler=(),
    head=("head.weight", "projections.0.weight"),
)


def build_mpnet(
    family: str, config: dict[str, Any], state: dict[str, Tensor], changes: Mapping[str, Any]
) -> TextTransformer:
    """The tower, without its weights; arguments and errors as of `build_text`.

    Whatever the config says, transformers counts positions from id 1, and uses 32 buckets.
    """
    buckets = config.get("relative_attention_num_buckets", BUCKETS)
    if buckets < BUCKETS:
        raise VitError(
            f"cannot import this {family}: its relative_attention_num_buckets is {buckets}, and transformers "
            f"reads {BUCKETS}"
        )
    table = "relative.tables.0.weight"
    state[table] = state[table][:BUCKETS]
    relative = {"kind": "buckets", "buckets": BUCKETS, "max_distance": 128}
    arguments = {"relative": relative, "count_from": MPNET_PADDING, "padding": MPNET_PADDING}
    return build_text(family, config, state, {**arguments, **changes})


BUCKETS, MPNET_PADDING = 32, 1
MPNET_NAMES = Names(
    "mpnet",
    "encoder.layer.",
    {
        "attention.attn.q": "attention.query",
        "attention.attn.k": "attention.key",
        "attention.attn.v": "attention.value",
        "attention.attn.o": "attention.output",
        "attention.LayerNorm": "attention_post_norm",
        "intermediate.dense": "mlp.expand",
        "output.dense": "mlp.contract",
        "output.LayerNorm": "mlp_post_norm",
    },
    {
        "embeddings.word_embeddings": "token_embedding",
        "embeddings.position_embeddings.weight": "positions.table",
        "embeddings.LayerNorm": "embedding_norm",
        "encoder.relative_attention_bias": "relative.tables.0",
        "pooler.dense": "pooler.0",
        "classifier.dense": "pooler.0",
        "classifier.out_proj": "head",
    },
    dropped=r"lm_head\.|embeddings\.position_ids",
)
MPNET = Family(
    prefix="MPNet",
    reads="text",
    tasks=TASKS,
    build=build_mpnet,
    name=MPNET_NAMES.ours,
    head=HEAD,
)
