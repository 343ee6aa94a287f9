"""States and logits of text encoders against transformers: random weights, small configurations."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vit

from .text_families import FAMILIES, SYSTEMS, TOLERANCE, batch, exact_rotation, theirs_of

CLASSIFIERS = [system for system, (family, _) in SYSTEMS.items() if family != "clip"]


@pytest.fixture(autouse=True)
def exact(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64 nothing of theirs is rounded to float32."""
    if request.node.callspec.params.get("dtype") == torch.float64:
        module = "transformers.models.modernbert.modeling_modernbert.apply_rotary_pos_emb"
        monkeypatch.setattr(module, exact_rotation)


def ends(system: str) -> int | None:
    return 36 if SYSTEMS[system][0] == "clip" else None


def states(theirs: nn.Module, ids: Tensor, mask: Tensor, **arguments: Tensor) -> Tensor:
    return results(getattr(theirs, theirs.base_model_prefix, theirs), ids, mask, **arguments)[0]


def results(theirs: nn.Module, ids: Tensor, mask: Tensor, **arguments: Tensor) -> Any:
    """Their outputs; of an XLNet of one direction row by row, as it takes no batch with a mask."""
    if getattr(theirs.config, "attn_type", "bi") == "bi":
        return theirs(input_ids=ids, attention_mask=mask.long(), **arguments)
    rows = [
        theirs(ids[i : i + 1], mask[i : i + 1].long(), **{k: v[i : i + 1] for k, v in arguments.items()})
        for i in range(len(ids))
    ]
    return (torch.cat([row[0] for row in rows]),)


def difference(one: Tensor, other: Tensor) -> float:
    assert one.shape == other.shape
    return (one - other).abs().max().item()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_states(system: str, side: str, dtype: torch.dtype, record_property: Any) -> None:
    theirs = theirs_of(system).to(dtype)
    ours = vit.from_huggingface(theirs)
    ids, mask = batch(ours.padding, side, end=ends(system))
    with torch.no_grad():
        found = difference(ours.encode(ids, mask)[mask], states(theirs, ids, mask)[mask])
    record_property("difference", found)
    assert found < TOLERANCE[dtype]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_mask_follows_from_the_padding(system: str) -> None:
    ours = vit.from_huggingface(theirs_of(system))
    ids, mask = batch(ours.padding, "right", end=ends(system))
    with torch.no_grad():
        assert torch.equal(ours.encode(ids), ours.encode(ids, mask))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("system", CLASSIFIERS)
def test_logits(system: str, dtype: torch.dtype, record_property: Any) -> None:
    """On the side where theirs reads a token, not padding."""
    theirs = theirs_of(system, head=True).to(dtype)
    ours = vit.from_huggingface(theirs)
    side = "left" if SYSTEMS[system][0] == "xlnet" else "right"
    ids, mask = batch(ours.padding, side)
    with torch.no_grad():
        logits = results(theirs, ids, mask)[0]
        found = difference(ours(ids, mask), logits)
    record_property("difference", found)
    assert found < TOLERANCE[dtype]
    assert logits.std() > 1e-2
    assert ours.labels == [f"LABEL_{index}" for index in range(5)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("system", ["clip", "CLIP, highest id"])
def test_the_text_of_clip(system: str, side: str, dtype: torch.dtype, record_property: Any) -> None:
    """The token that ends a text, also where what follows it is no padding for theirs."""
    encoder, projected = theirs_of(system).to(dtype), theirs_of(system, head=True).to(dtype)
    ids, mask = batch(0, side, end=36)
    several = ids.clone()
    several[1:, -3:] = 36  # as CLIP's own tokenizer pads, and as theirs reads without a mask
    with torch.no_grad():
        for given, attention in ((ids, mask), (several, torch.ones_like(mask))):
            arguments = {"input_ids": given, "attention_mask": attention.long()}
            ours = vit.from_huggingface(encoder)
            found = difference(ours(given, attention), encoder(**arguments).pooler_output)
            ours = vit.from_huggingface(projected)
            found = max(found, difference(ours(given, attention), projected(**arguments).text_embeds))
            assert found < TOLERANCE[dtype]
    record_property("difference", found)


@pytest.mark.parametrize("system", ["mpnet", "bert", "roberta", "xlm-roberta", "camembert"])
def test_what_the_pooler_gives(system: str) -> None:
    theirs = theirs_of(system)
    ours = vit.from_huggingface(theirs)
    ids, mask = batch(ours.padding, "right")
    with torch.no_grad():
        pooled = theirs(input_ids=ids, attention_mask=mask.long()).pooler_output
        assert difference(ours(ids, mask), pooled) < 1e-5


@pytest.mark.parametrize("kind", ["first", "mean", "cls_index"])
def test_the_summaries_of_xlnet(kind: str) -> None:
    theirs = theirs_of("xlnet", head=True, summary_type=kind)
    ours = vit.from_huggingface(theirs)
    ids, _ = batch(5, "left")
    with torch.no_grad():
        assert difference(ours(ids[:1]), theirs(ids[:1]).logits) < 1e-5


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("system", ["bert", "electra", "xlnet", "XLNet, one way"])
def test_segments(system: str, dtype: torch.dtype) -> None:
    theirs = theirs_of(system).to(dtype)
    ours = vit.from_huggingface(theirs)
    ids, mask = batch(ours.padding, "right")
    segments = (torch.arange(11) > torch.tensor([4, 2, 0])[:, None]).long()
    if system == "xlnet":
        segments[0, -1] = 2  # that of its class token
    with torch.no_grad():
        given = states(theirs, ids, mask, token_type_ids=segments)
        assert difference(ours.encode(ids, mask, segments=segments)[mask], given[mask]) < TOLERANCE[dtype]
        assert difference(given[mask], states(theirs, ids, mask)[mask]) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_of_padding_alone_is_finite_and_leaves_its_neighbours_alone(family: str) -> None:
    ours = vit.from_huggingface(theirs_of(family))
    ids, _ = batch(ours.padding, "right", end=ends(family))
    with torch.no_grad():
        alone = ours(ids[:2])
        ids[2] = ours.padding
        together = ours(ids)
    assert together.isfinite().all()
    assert difference(together[:2], alone) < 1e-5
