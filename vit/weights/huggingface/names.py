"""A transformers model's names of tensors and ours: from any version's to ours, and from ours to a file's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

BASES = re.compile(
    r"^(vit|deit|dinov2|dinov2_with_registers|beit|data2vec_vision|ijepa|vision_model|bert|roberta|distilbert"
    r"|model)\."
)
LAYER = re.compile(r"^(?:encoder\.|transformer\.)?layers?\.(\d+)\.")
OUR_BLOCK = re.compile(r"^encoder\.blocks\.(\d+)\.(.*)$")
ENDINGS = r"(.*?)(\.weight|\.bias)?"


@dataclass(frozen=True)
class Names:
    """The names in the files of a family, as a table that is read in both directions.

    Args:
        base: The name of the base model in a model with a head.
        layer: What stands before the number of a layer.
        in_block: Of one block: their names and ours, both with or both without `.weight` or `.bias`.
        around: Of all else, likewise.
        dropped: What is not needed: a regular expression that matches the beginning of a name.
    """

    base: str
    layer: str
    in_block: Mapping[str, str]
    around: Mapping[str, str]
    dropped: str = r"(?!)"

    def ours(self, theirs: str) -> str | None:
        """Their name of a tensor -> ours; None for what is not needed."""
        pattern = rf"^(?:{re.escape(self.base)}\.)?(?:{re.escape(self.layer)}(\d+)\.)?{ENDINGS}$"
        index, stem, ending = re.fullmatch(pattern, theirs).groups()  # type: ignore[union-attr]
        if index is None and re.match(self.dropped, stem + (ending or "")):
            return None
        found = _translated(self.around if index is None else self.in_block, stem, ending or "")
        return found if index is None else f"encoder.blocks.{index}.{found}"

    def theirs(self, ours: str) -> str:
        """Our name of a tensor -> theirs, without the base model's."""
        block = OUR_BLOCK.match(ours)
        stem, ending = re.fullmatch(ENDINGS, block[2] if block else ours).groups(default="")  # type: ignore[union-attr]
        found = _translated(self._back[0 if block else 1], stem, ending)
        return f"{self.layer}{block[1]}.{found}" if block else found

    @cached_property
    def _back(self) -> tuple[dict[str, str], dict[str, str]]:
        """Both tables the other way; of several names the first."""
        tables = (self.in_block, self.around)
        within, around = (
            {ours: theirs for theirs, ours in reversed(list(table.items()))} for table in tables
        )
        return within, around


def _translated(table: Mapping[str, str], stem: str, ending: str) -> str:
    """A name in the table, as a whole or without its ending; itself where it is not in it."""
    whole = stem + ending
    return table.get(whole) or table.get(stem, stem) + ending


# Of one block: their names, without the ending .weight or .bias.
ATTENTION = {
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.output.dense": "attention.output",
}
MLP = {"intermediate.dense": "mlp.expand", "output.dense": "mlp.contract"}
FULLY_CONNECTED = {"mlp.fc1": "mlp.expand", "mlp.fc2": "mlp.contract"}
NORMS = {"layernorm_before": "attention_norm", "layernorm_after": "mlp_norm"}
DINO_NORMS = {"norm1": "attention_norm", "norm2": "mlp_norm"}
DINO_SCALES = {
    "layer_scale1.lambda1": "attention_scale.factor",
    "layer_scale2.lambda1": "mlp_scale.factor",
}
VIT_BLOCK = ATTENTION | MLP | NORMS
# The other two layers of a gated MLP are one in files, "weights_in".
DINOV2_BLOCK = ATTENTION | FULLY_CONNECTED | DINO_NORMS | DINO_SCALES
DINOV2_GATED_BLOCK = ATTENTION | {"mlp.weights_out": "mlp.contract"} | DINO_NORMS | DINO_SCALES
DINOV3_BLOCK = {
    "attention.q_proj": "attention.query",
    "attention.k_proj": "attention.key",
    "attention.v_proj": "attention.value",
    "attention.o_proj": "attention.output",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.expand",
    "mlp.down_proj": "mlp.contract",
} | (DINO_NORMS | DINO_SCALES)
BEIT_BLOCK = VIT_BLOCK | {
    "lambda_1": "attention_scale.factor",
    "lambda_2": "mlp_scale.factor",
    "attention.attention.relative_position_bias.relative_position_bias_table": "relative_table",
}
CLIP_BLOCK = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.output",
    "layer_norm1": "attention_norm",
    "layer_norm2": "mlp_norm",
} | FULLY_CONNECTED
BERT_BLOCK = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_post_norm",
    "intermediate.dense": "mlp.expand",
    "output.dense": "mlp.contract",
    "output.LayerNorm": "mlp_post_norm",
}
DISTILBERT_BLOCK = {
    "attention.q_lin": "attention.query",
    "attention.k_lin": "attention.key",
    "attention.v_lin": "attention.value",
    "attention.out_lin": "attention.output",
    "sa_layer_norm": "attention_post_norm",
    "output_layer_norm": "mlp_post_norm",
    "ffn.lin1": "mlp.expand",
    "ffn.lin2": "mlp.contract",
}
# What versions of the library have in memory, and no file of the hub has.
OTHER_BLOCK = {"relative_position_bias.relative_position_bias_table": "relative_table"}
IN_BLOCK = (
    BEIT_BLOCK | DINOV2_BLOCK | DINOV2_GATED_BLOCK | DINOV3_BLOCK | CLIP_BLOCK | BERT_BLOCK | DISTILBERT_BLOCK
)
IN_BLOCK |= OTHER_BLOCK

# Of all else. A table of positions is a parameter, and in texts and in CLIP the weight of an embedding.
GRID = {
    "embeddings.patch_embeddings.projection": "tokenizer.project",
    "embeddings.cls_token": "class_token",
    "embeddings.position_embeddings": "positions.table",
    "layernorm": "encoder.norm",
    "pooler.dense": "pooler.0",
    "classifier": "head",
}
DEIT_AROUND = GRID | {"embeddings.distillation_token": "registers"}
DISTILLED_AROUND = {"cls_classifier": "head", "distillation_classifier": "other_head"} | DEIT_AROUND
DINOV2_AROUND = GRID | {"embeddings.register_tokens": "registers"}
DINOV3_AROUND = {
    "embeddings.patch_embeddings": "tokenizer.project",
    "embeddings.cls_token": "class_token",
    "embeddings.register_tokens": "registers",
    "norm": "encoder.norm",
}
BEIT_AROUND = GRID | {
    "encoder.relative_position_bias.relative_position_bias_table": "relative_table",
    "pooler.layernorm": "pool_norm",
}
CLIP_AROUND = {
    "embeddings.patch_embedding": "tokenizer.project",
    "embeddings.class_embedding": "class_token",
    "embeddings.position_embedding.weight": "positions.table",
    "pre_layrnorm": "embedding_norm",
    "post_layernorm": "encoder.norm",
    "visual_projection": "projection",
    "head.probe": "pool.query",
    "head.attention.out_proj": "pool.attention.output",
    "head.layernorm": "pool.mlp_norm",
    "head.mlp.fc1": "pool.mlp.expand",
    "head.mlp.fc2": "pool.mlp.contract",
    "classifier": "head",
}
BERT_AROUND = {
    "embeddings.word_embeddings": "token_embedding",
    "embeddings.position_embeddings.weight": "positions.table",
    "embeddings.token_type_embeddings": "segments",
    "embeddings.LayerNorm": "embedding_norm",
    "pooler.dense": "pooler.0",
    "classifier": "head",
}
ROBERTA_AROUND = BERT_AROUND | {"classifier.dense": "pooler.0", "classifier.out_proj": "head"}
DISTILBERT_AROUND = BERT_AROUND | {"pre_classifier": "pooler.0"}
OTHER_AROUND = {"shared_position_bias.relative_position_bias_table": "relative_table"}
AROUND = DISTILLED_AROUND | DINOV2_AROUND | DINOV3_AROUND | BEIT_AROUND | CLIP_AROUND
AROUND |= ROBERTA_AROUND | DISTILBERT_AROUND | OTHER_AROUND
# What prediction does not need: heads of pretraining, and buffers that follow from the config.
NOT_NEEDED = re.compile(
    r"^(cls\.|lm_head\.|vocab_(transform|layer_norm|projector)\.|decoder\.)|mask_token$|position_ids$"
    r"|token_type_ids$|relative_position_index$"
)


def without_base(name: str) -> str:
    """Their name of a tensor without the prefix of the base model."""
    return BASES.sub("", name)


def our_name(name: str) -> str | None:
    """Their name of a tensor, of any version of the library -> ours; None for what is not needed."""
    name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
    name = without_base(name)
    if NOT_NEEDED.search(name):
        return None
    stem, ending = re.fullmatch(ENDINGS, name).groups(default="")  # type: ignore[union-attr]
    block = LAYER.match(stem)
    if block:
        return f"encoder.blocks.{block[1]}.{_translated(IN_BLOCK, stem[block.end() :], ending)}"
    return _translated(AROUND, stem, ending)
