"""From a transformers model's names of tensors, of any version of the library, to ours."""

import re

BASES = re.compile(r"^(vit|dinov2|dinov2_with_registers|bert|roberta|distilbert|model)\.")
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
    "layernorm_before": "attention_norm",
    "layernorm_after": "mlp_norm",
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
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
    "layer_scale1.lambda1": "attention_scale.factor",
    "layer_scale2.lambda1": "mlp_scale.factor",
}
AROUND = {
    "embeddings.patch_embeddings.projection": "tokenizer.project",
    "embeddings.cls_token": "class_token",
    "embeddings.register_tokens": "registers",
    "embeddings.position_embeddings": "positions.table",
    "embeddings.word_embeddings": "token_embedding",
    "embeddings.token_type_embeddings": "segments",
    "embeddings.LayerNorm": "embedding_norm",
    "layernorm": "encoder.norm",
    "pooler.dense": "pooler.0",
    "pre_classifier": "pooler.0",
    "classifier.dense": "pooler.0",
    "classifier.out_proj": "head",
    "classifier": "head",
}
# What prediction does not need: heads of pretraining, and buffers that follow from the config.
NOT_NEEDED = re.compile(
    r"^(cls\.|lm_head\.|vocab_(transform|layer_norm|projector)\.|decoder\.)|mask_token$|position_ids$"
    r"|token_type_ids$"
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
