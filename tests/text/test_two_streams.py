"""Prediction of tokens by position, against XLNet's language model in transformers."""

import pytest
import torch
from torch import Tensor

import vit
from vit.text.two_streams import two_streams

from ..weights.text_families import TOLERANCE, batch, double_waves, theirs_of

TARGETS = torch.tensor([[3, 10, 0], [5, 2, 6], [1, 0, 1]])  # the last row's third is its first again


def order(length: int = 11) -> Tensor:
    """Whether a position sees a token: those before it in an order of its row, (3, N, N)."""
    generator = torch.Generator().manual_seed(5)
    ranks = torch.stack([torch.randperm(length, generator=generator) for _ in range(3)])
    return ranks[:, None, :] < ranks[:, :, None]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("system", ["xlnet", "XLNet, clamped"])
def test_predictions_are_those_of_transformers(
    system: str, side: str, dtype: torch.dtype, record_property: object
) -> None:
    theirs = theirs_of(system, kind="XLNetLMHeadModel").to(dtype)
    ours = vit.from_huggingface(theirs)
    base = theirs.transformer
    base.relative_positional_encoding = double_waves(base.relative_positional_encoding, dtype)
    ids, mask = batch(5, side)
    targets = TARGETS[:2] if side == "right" else 10 - TARGETS[:2]
    ids, mask, visible = ids[:2], mask[:2], order()[:2]
    segments = (torch.arange(11) > 4).long().expand(2, 11)
    mapping = torch.nn.functional.one_hot(targets, 11).to(dtype)
    arguments = {"attention_mask": mask.to(dtype), "perm_mask": 1 - visible.to(dtype)}
    arguments |= {"token_type_ids": segments}
    with torch.no_grad():
        expected = theirs(ids, target_mapping=mapping, **arguments).logits
        content = base(ids, **arguments).last_hidden_state
        found = two_streams(ours, ids, targets, mask, visible=visible, segments=segments)
    # A position that sees nothing gets zeros, and in theirs the mean of all tokens.
    sees = (visible & mask[:, None]).gather(1, targets[..., None].expand(-1, -1, 11)).any(-1)
    assert sees.sum() >= 4
    difference = (ours.head(found.query) - expected)[sees].abs().max()
    assert difference < TOLERANCE[dtype]
    assert (found.content - content)[mask].abs().max() < TOLERANCE[dtype]
    assert found.query.isfinite().all()


def test_what_is_predicted_is_not_seen_unless_an_order_says_so() -> None:
    ours = vit.from_huggingface(theirs_of("xlnet", kind="XLNetLMHeadModel"))
    ids, mask = batch(5, "right")
    with torch.no_grad():
        found = two_streams(ours, ids, TARGETS).query
        others = ids.clone()
        others[0, 3] = 6 + (others[0, 3] - 5) % 29
        assert torch.equal(found, two_streams(ours, ids, TARGETS, mask).query)
        again = two_streams(ours, others, TARGETS).query
        seen = two_streams(ours, others, TARGETS[:, 1:]).query
        before = two_streams(ours, ids, TARGETS[:, 1:]).query
        alone = two_streams(ours, ids[2:, :2], TARGETS[2:]).query
    assert (again - found)[0].abs().max() < 1e-5, "a prediction reads nothing that is predicted"
    assert (seen - before)[0].abs().max() > 1e-3
    assert (found[2, 0] - found[2, 2]).abs().max() < 1e-6
    assert (alone[0] - found[2]).abs().max() < 1e-5, "padding changes nothing"


def test_the_tape_holds_what_predictions_attend_to() -> None:
    theirs = theirs_of("xlnet", kind="XLNetLMHeadModel")
    ours = vit.from_huggingface(theirs)
    ids, _ = batch(5, "right")
    ids, targets, visible = ids[:1], torch.tensor([[3, 9]]), order()[:1]
    visible[..., 4] = True  # each sees something
    mapping = torch.nn.functional.one_hot(targets, 11).float()
    with torch.no_grad(), vit.record_attention(ours) as tape:
        two_streams(ours, ids, targets, visible=visible)
        given = theirs(
            ids, target_mapping=mapping, perm_mask=1 - visible.float(), output_attentions=True
        ).attentions
    for weights, (_, queries) in zip(tape.weights(), given, strict=True):
        assert (weights - queries[:, :, targets[0]]).abs().max() < 1e-5


def test_what_does_not_fit() -> None:
    ids, _ = batch(5, "right")
    bert = vit.from_huggingface(theirs_of("bert"))
    with pytest.raises(ValueError, match="query_token None"):
        two_streams(bert, ids, TARGETS)
    ours = vit.from_huggingface(theirs_of("xlnet"))
    with pytest.raises(ValueError, match=r"targets have shape \(2, 3\), expected \(3, T\)"):
        two_streams(ours, ids, TARGETS[:2])
    with pytest.raises(ValueError, match=r"visible has shape \(3, 11, 10\), expected \(3, 11, 11\)"):
        two_streams(ours, ids, TARGETS, visible=torch.ones(3, 11, 10, dtype=torch.bool))
