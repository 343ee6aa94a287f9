"""From a transformers model's names of tensors, of any version of the library, to ours."""

import re

BASES = re.compile(
    r"^(vit|deit|dinov2|dinov2_with_registers|beit|data2vec_vision|ijepa|vision_model|bert|roberta|distilbert"
    r"|model)\."
)
LAYER = re.compile(r"^(?:encoder\.|transformer\.)?layers?\.(\d+)\.")

# Of one block: their names, old and new, without the ending .weight or .bias.
IN_BLOCK = {
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.q_proj": "attention.query",
    "attention.k_proj": "attention.key",
    "attention.v_proj": "attention.value",
    "attention.q_lin": "attention.query",
    "attention.k_lin": "attention.key",
    "attention.v_lin": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.o_proj": "attention.output",
    "attention.out_lin": "attention.output",
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.output",
    "layernorm_before": "attention_norm",
    "layernorm_after": "mlp_norm",
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
    "layer_norm1": "attention_norm",
    "layer_norm2": "mlp_norm",
    "attention.output.LayerNorm": "attention_post_norm",
    "output.LayerNorm": "mlp_post_norm",
    "sa_layer_norm": "attention_post_norm",
    "output_layer_norm": "mlp_post_norm",
    "intermediate.dense": "mlp.expand",
    "output.dense": "mlp.contract",
    "mlp.fc1": "mlp.expand",
    "mlp.fc2": "mlp.contract",
    "ffn.lin1": "mlp.expand",
    "ffn.lin2": "mlp.contract",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.expand",
    "mlp.down_proj": "mlp.contract",
    "mlp.weights_out": "mlp.contract",
    "layer_scale1.lambda1": "attention_scale.factor",
    "layer_scale2.lambda1": "mlp_scale.factor",
    "lambda_1": "attention_scale.factor",
    "lambda_2": "mlp_scale.factor",
    "relative_position_bias.relative_position_bias_table": "relative_table",
    "attention.attention.relative_position_bias.relative_position_bias_table": "relative_table",
}
AROUND = {
    "embeddings.patch_embeddings.projection": "tokenizer.project",
    "embeddings.patch_embeddings": "tokenizer.project",
    "embeddings.patch_embedding": "tokenizer.project",
    "embeddings.cls_token": "class_token",
    "embeddings.class_embedding": "class_token",
    "embeddings.distillation_token": "registers",
    "embeddings.register_tokens": "registers",
    "embeddings.position_embeddings": "positions.table",
    "embeddings.position_embedding": "positions.table",
    "shared_position_bias.relative_position_bias_table": "relative_table",
    "encoder.relative_position_bias.relative_position_bias_table": "relative_table",
    "embeddings.word_embeddings": "token_embedding",
    "embeddings.token_type_embeddings": "segments",
    "embeddings.LayerNorm": "embedding_norm",
    "pre_layrnorm": "embedding_norm",
    "layernorm": "encoder.norm",
    "norm": "encoder.norm",
    "post_layernorm": "encoder.norm",
    "pooler.layernorm": "pool_norm",
    "head.probe": "pool.query",
    "head.attention.out_proj": "pool.attention.output",
    "head.layernorm": "pool.mlp_norm",
    "head.mlp.fc1": "pool.mlp.expand",
    "head.mlp.fc2": "pool.mlp.contract",
    "visual_projection": "projection",
    "cls_classifier": "head",
    "distillation_classifier": "other_head",
    "pooler.dense": "pooler.0",
    "pre_classifier": "pooler.0",
    "classifier.dense": "pooler.0",
    "classifier.out_proj": "head",
    "classifier": "head",
}
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
    stem, ending = re.fullmatch(r"(.*?)(\.weight|\.bias)?", name).groups(default="")  # type: ignore[union-attr]
    block = LAYER.match(stem)
    if block:
        part = stem[block.end() :]
        return f"encoder.blocks.{block[1]}.{IN_BLOCK.get(part, part)}{ending}"
    ours = AROUND.get(stem, stem)
    # A table of positions is a parameter in pictures and an embedding's weight in texts.
    return ours if ours == "positions.table" else ours + ending
