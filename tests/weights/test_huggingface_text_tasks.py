"""Heads of text encoders: left out, read, refused, or replaced by what a sentence model says."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vit
from vit.errors import VitError
from vit.text.generation import generate_ids
from vit.weights.huggingface.families.text import Dense
from vit.weights.huggingface.importer import from_folder, from_tensors

from .text_families import batch, theirs_of

PRETRAINING = {
    "ElectraForPreTraining": "electra",
    "ElectraForMaskedLM": "electra",
    "MPNetForMaskedLM": "mpnet",
    "ModernBertForMaskedLM": "modernbert",
    "XLMRobertaForMaskedLM": "xlm-roberta",
    "CamembertForMaskedLM": "camembert",
}
OTHER_TASKS = {
    "ElectraForTokenClassification": "electra",
    "MPNetForQuestionAnswering": "mpnet",
    "ModernBertForTokenClassification": "modernbert",
    "XLMRobertaForMultipleChoice": "xlm-roberta",
    "XLNetForTokenClassification": "xlnet",
    "XLNetForQuestionAnsweringSimple": "xlnet",
}


def base_of(theirs: nn.Module) -> Any:
    return getattr(theirs, theirs.base_model_prefix)


@pytest.mark.parametrize("kind", PRETRAINING)
def test_a_head_of_pretraining_is_left_out(kind: str) -> None:
    theirs = theirs_of(PRETRAINING[kind], kind=kind)
    ours = vit.from_huggingface(theirs)
    assert ours.source["head"] == f"left out, that of {kind}"
    ids, mask = batch(ours.padding, "right")
    with torch.no_grad():
        given = base_of(theirs)(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        assert (ours.encode(ids, mask) - given)[mask].abs().max() < 1e-5


@pytest.mark.parametrize("kind", OTHER_TASKS)
def test_another_task_is_refused_by_its_class(kind: str) -> None:
    theirs = theirs_of(OTHER_TASKS[kind], kind=kind)
    with pytest.raises(VitError, match=f"cannot import a {kind}, expected one of: "):
        vit.from_huggingface(theirs)
    assert vit.from_huggingface(base_of(theirs)).labels == []


@pytest.mark.parametrize("tied", [True, False])
def test_the_language_model_of_xlnet(tied: bool, tmp_path: Path) -> None:
    """Its logits of every token, from memory and from a folder, which stores a tied matrix once."""
    theirs = theirs_of("xlnet", kind="XLNetLMHeadModel", tie_word_embeddings=tied)
    theirs.save_pretrained(tmp_path)
    ids, mask = batch(5, "right")
    with torch.no_grad():
        logits = theirs(ids, attention_mask=mask.long()).logits
        for ours in (vit.from_huggingface(theirs), from_folder(tmp_path)):
            assert (ours.head.weight is ours.token_embedding.weight) is tied
            assert (ours.read_token(ours.encode(ids, mask)) - logits)[mask].abs().max() < 1e-5


@pytest.mark.parametrize(
    ("system", "kind"),
    [
        ("mpnet", "MPNetModel"),
        ("modernbert", "ModernBertForMaskedLM"),
        ("modernbert", "ModernBertForSequenceClassification"),
        ("electra", "ElectraForSequenceClassification"),
        ("xlnet", "XLNetLMHeadModel"),
        ("xlnet", "XLNetForSequenceClassification"),
        ("xlm-roberta", "XLMRobertaModel"),
    ],
)
def test_sentences_are_read_from_the_encoder_alone(system: str, kind: str, tmp_path: Path) -> None:
    theirs = theirs_of(system, kind=kind)
    theirs.save_pretrained(tmp_path)
    dense = Dense(torch.randn(7, theirs.config.hidden_size), torch.randn(7), "tanh")
    ours = from_folder(tmp_path, pool="mean", pooler=None, projections=[dense], unit=True)
    ids, mask = batch(ours.padding, "right")
    encoder = getattr(theirs, theirs.base_model_prefix, theirs)
    with torch.no_grad():
        states = encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        vectors = torch.nn.functional.normalize((mean @ dense.weight.T + dense.bias).tanh(), dim=-1)
        assert (ours(ids, mask) - vectors).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("system", "head", "changes", "said"),
    [
        ("xlnet", False, {"bi_data": True}, "its bi_data is True, which reverses the second half of a batch"),
        ("xlnet", True, {"summary_use_proj": False}, "its summary_use_proj is False"),
        ("electra", False, {"is_decoder": True}, "is_decoder is True"),
        ("mpnet", False, {"relative_attention_num_buckets": 8}, "its relative_attention_num_buckets is 8"),
        ("modernbert", True, {"classifier_activation": "mish"}, "its classifier_activation is mish"),
    ],
)
def test_what_cannot_be_followed_is_named(system: str, head: bool, changes: dict, said: str) -> None:
    with pytest.raises(VitError, match=said):
        vit.from_huggingface(theirs_of(system, head=head, **changes))


def test_configs_of_earlier_versions_of_modernbert() -> None:
    """How often a layer attends to all tokens, and two bases."""
    theirs = theirs_of("modernbert", head=True)
    config = theirs.config.to_dict()
    for name in ("layer_types", "rope_parameters"):
        del config[name]
    old = config | {"global_attn_every_n_layers": 3, "global_rope_theta": 160_000, "local_rope_theta": 1e4}
    ids, mask = batch(3, "right")
    with torch.no_grad():
        ours = from_tensors(old, theirs.state_dict())
        assert (ours(ids, mask) - theirs(ids, mask.long()).logits).abs().max() < 1e-5
    with pytest.raises(VitError, match="its layer_types are chunked_attention, expected 5"):
        from_tensors(config | {"layer_types": ["chunked_attention"]}, theirs.state_dict())


@pytest.mark.parametrize("system", ["mpnet", "xlnet", "modernbert"])
def test_all_parameters_learn(system: str) -> None:
    """Those inside attention too."""
    ours = vit.from_huggingface(theirs_of(system, head=True)).train()
    ids, mask = batch(ours.padding, "right")
    ours(ids, mask, segments=(ids % 2) if system == "xlnet" else None).square().sum().backward()
    without = {name for name, parameter in ours.named_parameters() if parameter.grad is None}
    assert without == ({"query_token"} if system == "xlnet" else set())
    for name, parameter in ours.named_parameters():
        assert name in without or parameter.grad.abs().max() > 0, name


def test_a_model_of_two_streams_does_not_go_on_with_a_text() -> None:
    """Also where it sees one way: its head reads the stream of queries, not that of tokens."""
    ours = vit.from_huggingface(theirs_of("xlnet", kind="XLNetLMHeadModel", attn_type="uni"))
    assert ours.causal
    with pytest.raises(VitError, match="a second stream of queries predicts its tokens"):
        generate_ids(ours, torch.tensor([[6, 7, 8]]))
