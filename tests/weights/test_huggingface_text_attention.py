"""Recorded attention, maps and bundles of imported text encoders."""

from pathlib import Path

import pytest
import torch

import vit
from vit.text import train_tokenizer

from .text_families import FAMILIES, SYSTEMS, batch, theirs_of

TEXTS = ["a good film", "a bad film", "the cat sat on the mat"] * 3
TOKENIZER = train_tokenizer(TEXTS, vocabulary=37, length=9)


@pytest.mark.parametrize(
    "system", ["modernbert", "ModernBERT, odd window", "mpnet", "xlnet", "electra", "clip"]
)
def test_recorded_attention_is_theirs(system: str) -> None:
    theirs = theirs_of(system)
    theirs.set_attn_implementation("eager")
    ours = vit.from_huggingface(theirs)
    ids, mask = batch(ours.padding, "right")
    with torch.no_grad(), vit.record_attention(ours) as tape:
        ours.encode(ids, mask)
        given = theirs(input_ids=ids, attention_mask=mask.long(), output_attentions=True).attentions
    found = tape.weights()
    assert len(found) == len(given) > 2
    for one, other in zip(found, given, strict=True):
        rows = mask[:, None].expand(one.shape[:3])  # those of tokens
        assert (one - other)[rows].abs().max() < 1e-5
        assert one.std() > 1e-3


@pytest.mark.parametrize("method", ["relevance", "grad_rollout", "legrad"])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "clip"])
def test_maps_of_a_class(family: str, method: str) -> None:
    ours = vit.from_huggingface(theirs_of(family, head=True))
    ours.preprocess = TOKENIZER
    maps = vit.attend(ours, TEXTS[:3], method=method, target=2)
    assert maps.shape == (3, max(len(TOKENIZER(text)) for text in TEXTS))
    assert maps.isfinite().all()
    assert maps.std() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_of_attention(family: str) -> None:
    ours = vit.from_huggingface(theirs_of(family))
    ours.preprocess = TOKENIZER
    maps = vit.attend(ours, TEXTS[:3], method="rollout")
    torch.testing.assert_close(maps.sum(-1), torch.ones(3))


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("head", [False, True])
def test_a_bundle_gives_equal_outputs(system: str, head: bool, tmp_path: Path) -> None:
    theirs = theirs_of(system, head=head)
    ours = vit.from_huggingface(theirs)
    ours.preprocess = TOKENIZER
    ours.save(tmp_path / "model")
    again = vit.load_model(tmp_path / "model")
    ids, mask = batch(ours.padding, "right", end=36)
    with torch.no_grad():
        assert torch.equal(again(ids, mask), ours(ids, mask))
        assert torch.equal(again.encode(ids), ours.encode(ids))
    assert again.labels == ours.labels


def test_a_bundle_of_a_language_model(tmp_path: Path) -> None:
    ours = vit.from_huggingface(theirs_of("xlnet", kind="XLNetLMHeadModel"))
    ours.preprocess = TOKENIZER
    ours.save(tmp_path / "model")
    again = vit.load_model(tmp_path / "model")
    ids, _ = batch(ours.padding, "right")
    with torch.no_grad():
        assert torch.equal(again.read_token(again.encode(ids)), ours.read_token(ours.encode(ids)))
    assert torch.equal(again.query_token, ours.query_token)
