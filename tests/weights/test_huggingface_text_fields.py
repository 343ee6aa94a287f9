"""Every field of a text encoder's config: followed, or refused by name, whatever its value."""

from dataclasses import fields
from typing import Any

import pytest
import torch

import vit
from vit.errors import VitError
from vit.weights.huggingface.importer import from_tensors

from .text_families import FAMILIES, TOLERANCE, batch, theirs_of, transformers

# Values that differ from those of the small configurations. A field of another kind gets them by its type.
VALUES: dict[str, list[Any]] = {
    "hidden_act": ["gelu_new", "relu", "silu", "quick_gelu", "gelu_pytorch_tanh", "tanh", "mish"],
    "activation": ["relu", "gelu_new", "mish"],
    "hidden_activation": ["relu", "silu", "gelu_new", "mish"],
    "ff_activation": ["relu", "silu", "gelu_new", "mish"],
    "classifier_activation": ["relu", "tanh", "silu", "gelu_new", "mish"],
    "summary_activation": ["relu", "gelu", "", "mish"],
    "classifier_pooling": ["mean"],
    "summary_type": ["first", "mean", "cls_index"],
    "attn_type": ["uni"],
    "layer_types": [["full_attention"] * 5, ["sliding_attention"] * 5],
    "rope_parameters": [
        {"full_attention": {"rope_type": "default", "rope_theta": 50.0},
         "sliding_attention": {"rope_type": "default", "rope_theta": 70.0}},
        {"full_attention": {"rope_type": "linear", "rope_theta": 50.0, "factor": 3.0},
         "sliding_attention": {"rope_type": "default", "rope_theta": 70.0}},
    ],
    "problem_type": ["single_label_classification", "multi_label_classification"],
    "position_embedding_type": ["relative_key"],
    "relative_attention_num_buckets": [16, 48],
    "embedding_size": [22, 11],
    "dim": [26],
    "hidden_size": [32],
    "d_model": [26],
    "d_inner": [31],
    "d_head": [11],
    "clamp_len": [0, 2],
    "mem_len": [None, 3],
    "reuse_len": [3],
    "pad_token_id": [None, 0, 4],
    "eos_token_id": [2, 7, [2, 7]],
    "projection_dim": [11],
    "layer_norm_eps": [0.1],
    "norm_eps": [0.1],
    "chunk_size_feed_forward": [1],
    "num_attention_heads": [1],
    "n_heads": [1],
    "n_head": [1],
    "num_hidden_layers": [2],
    "n_layers": [2],
    "n_layer": [2],
    "vocab_size": [41],
    "max_position_embeddings": [23],
    "type_vocab_size": [3],
    "intermediate_size": [31],
    "hidden_dim": [31],
    "local_attention": [2, 7],
}  # fmt: skip
# What says nothing of a result: names, versions, what is returned beside it, how training goes.
NO_PART = {
    "transformers_version", "architectures", "output_hidden_states", "return_dict", "dtype", "id2label",
    "label2id", "is_encoder_decoder", "initializer_range", "initializer_factor",
    "initializer_cutoff_factor", "qa_dropout", "start_n_top", "end_n_top", "tie_word_embeddings",
}  # fmt: skip
# What transformers itself cannot compute; ours may refuse it or not.
THEIRS_FAIL = {
    ("roberta", "pad_token_id"), ("clip", "eos_token_id"), ("mpnet", "relative_attention_num_buckets"),
    ("bert", "add_cross_attention"), ("roberta", "add_cross_attention"), ("electra", "add_cross_attention"),
}  # fmt: skip


def alterations(family: str) -> list[tuple[str, Any]]:
    found = []
    for field in fields(getattr(transformers, FAMILIES[family][2])):
        if field.name in NO_PART:
            continue
        usual = FAMILIES[family][3].get(field.name, field.default)
        if field.name in VALUES:
            found += [(field.name, value) for value in VALUES[field.name] if value != usual]
        elif isinstance(usual, bool):
            found.append((field.name, not usual))
        elif isinstance(usual, float):
            found.append((field.name, 0.5))
        elif isinstance(usual, int):
            found.append((field.name, usual + 1))
    return found


SAME = {"xlm-roberta", "camembert"}  # as roberta: one class in three names
CASES = [
    (family, field, value)
    for family in FAMILIES
    if family not in SAME
    for field, value in alterations(family)
]


@pytest.mark.parametrize(("family", "field", "value"), CASES)
def test_a_field_is_followed_or_refused_by_name(family: str, field: str, value: Any) -> None:
    end = value if field == "eos_token_id" and value == 7 else 36
    ids, mask = batch(1, "right", end=end if family == "clip" else None)
    ids, mask = ids[:1], mask[:1]
    try:
        theirs = theirs_of(family, head=True, **{field: value})
        with torch.no_grad():
            expected = theirs(input_ids=ids, attention_mask=mask.long())[0]
    except (IndexError, ValueError, TypeError, RuntimeError, AttributeError):
        if (family, field) not in THEIRS_FAIL:
            raise
        return
    try:
        ours = vit.from_huggingface(theirs)
    except VitError as refusal:
        said = str(refusal)
        assert field in said or str(value) in said
        return
    with torch.no_grad():
        assert (ours(ids, mask) - expected).abs().max() < TOLERANCE[torch.float32]


def test_the_list_knows_every_family() -> None:
    assert {family for family, _, _ in CASES} == FAMILIES.keys() - SAME
    assert len(CASES) > 150


@pytest.mark.parametrize("family", FAMILIES)
def test_a_field_that_is_missing_has_the_value_of_transformers(family: str) -> None:
    """As `config.json` may leave it out."""
    theirs = theirs_of(family, head=True)
    kind = getattr(transformers, FAMILIES[family][2])
    usual = {field.name: field.default for field in fields(kind)}
    config = theirs.config.to_dict()
    said = {name: value for name, value in config.items() if usual.get(name, theirs) != value}
    assert len(said) < len(config) - 5
    ids, mask = batch(vit.from_huggingface(theirs).padding, "right", end=36 if family == "clip" else None)
    ours = from_tensors(said | {"model_type": kind.model_type}, theirs.state_dict())
    with torch.no_grad():
        assert torch.equal(ours(ids, mask), vit.from_huggingface(theirs)(ids, mask))
    assert ours.padding == vit.from_huggingface(theirs).padding
