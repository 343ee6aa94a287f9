"""The text tower's own promises; that its numbers are right is shown against transformers."""

import json

import pytest
import torch

import vit
from vit.errors import VitError
from vit.text import TextTransformer, train_tokenizer
from vit.weights.models import make_tower

from ..towers import text_tower

SIZES = {"length": 19, "width": 12, "depth": 3, "heads": 2, "mlp_ratio": 1.5}


def tower(**changes: object) -> TextTransformer:
    torch.manual_seed(5)
    model = text_tower(5, 37, **{**SIZES, **changes}).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


def batch(lengths: tuple[int, ...] = (11, 7, 1), left: bool = False) -> torch.Tensor:
    ids = torch.randint(1, 37, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(3))
    there = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids * (there.flip(1) if left else there)


VARIANTS = {
    "post": {},
    "pre": {"norm": "pre", "embedding_norm": False, "encoder_norm": True},
    "mean": {"pool": "mean"},
    "attention pool": {"pool": "attention"},
    "class and mean": {"pool": "cls_mean"},
    "sines": {"positions": "sinusoidal"},
    "relu pooler": {"pooler": "relu", "activation": "relu"},
    "projections": {"projections": [(7, "tanh", True), (13, "gelu", False)], "pooler": "tanh"},
    "no key bias": {"qkv_bias": (True, False, True)},
    "neighbours": {"neighbours": 3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_changes_nothing(variant: str) -> None:
    model = tower(**VARIANTS[variant])
    ids = batch()
    together = model(ids)
    for row, length in enumerate((11, 7, 1)):
        torch.testing.assert_close(model(ids[row : row + 1, :length])[0], together[row], atol=1e-5, rtol=0)


def test_padding_stands_at_the_ends_of_a_row() -> None:
    model = tower(padding=3)
    ids = torch.tensor([[5, 3, 7, 3, 3], [3, 3, 5, 3, 7], [3, 3, 3, 3, 3], [5, 6, 7, 8, 9], [3, 5, 3, 3, 3]])
    expected = ["11100", "00111", "00000", "11111", "01000"]
    assert model.mask(ids).tolist() == [[mark == "1" for mark in row] for row in expected]


@pytest.mark.parametrize("count_from", [None, 0])
def test_padding_that_a_text_spells_out_is_a_token(count_from: int | None) -> None:
    model = tower(count_from=count_from, pool="mean")
    ids = torch.tensor([[5, 0, 7, 9, 0, 0, 0]])
    there = torch.arange(7)[None] < 4
    torch.testing.assert_close(model(ids), model(ids[:, :4], there[:, :4]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        model.features(ids), model.features(ids[:, :5], there[:, :5]), atol=1e-5, rtol=0
    )
    assert (model(ids) - model(ids, there & (ids != 0))).abs().max() > 1e-3


def test_padding_is_counted_by_its_id_wherever_it_stands() -> None:
    """As in transformers, where positions know ids alone."""
    model = tower(count_from=0)
    zeros = torch.zeros(1, 4, 12)
    before = model.token_embedding.weight.data
    model.token_embedding.weight.data = torch.zeros_like(before)
    model.embedding_norm = torch.nn.Identity()
    found = model.embed(torch.tensor([[5, 0, 7, 9]]))
    torch.testing.assert_close(found, zeros + model.positions.table[torch.tensor([[1, 0, 2, 3]])])


def test_projections_follow_the_pooler() -> None:
    model = tower(projections=[(7, "tanh", True), (13, "identity", False)], pool="mean", unit=True)
    ids = batch()
    pooled = model.pool(model.encode(ids), 0, model.mask(ids))
    first, second = model.projections[0], model.projections[2]
    vectors = (pooled @ first.weight.T + first.bias).tanh() @ second.weight.T
    torch.testing.assert_close(model.features(ids), torch.nn.functional.normalize(vectors, dim=-1))
    torch.testing.assert_close(model(ids), vectors @ model.head.weight.T + model.head.bias)
    assert second.bias is None
    assert "projections" not in repr(tower()), "a model without them prints as before"
    again = make_tower(json.loads(json.dumps(model.architecture)))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(ids), model(ids))


def test_a_tokenizer_that_fits() -> None:
    tokenizer = train_tokenizer(["a film", "a mat"] * 3, vocabulary=37, length=9)
    model = tower(padding=5)
    model.use_tokenizer(tokenizer)
    assert model.preprocess is tokenizer
    assert model.padding == model.architecture["padding"] == tokenizer.padding
    for arguments, said in (
        ({"length": 8}, r"up to 9 tokens, and the model has 8 positions: use tokenizer\.cut\(8\)"),
        ({"count_from": 5, "padding": 5}, "pads with id 0, and the model counts positions by id 5"),
    ):
        with pytest.raises(VitError, match=said):
            tower(**arguments).use_tokenizer(tokenizer)
    with pytest.raises(VitError, match=f"ids up to {tokenizer.vocabulary - 1}, .*embeddings end at 4"):
        text_tower(5, 5, **SIZES).use_tokenizer(tokenizer)


def test_padding_on_the_left_moves_no_counted_position() -> None:
    model = tower(count_from=0, pool="mean")
    right, left = batch((5, 3)), batch((5, 3), left=True)
    left[1, 2:] = right[1, :3]
    torch.testing.assert_close(model(left), model(right), atol=1e-5, rtol=0)


def test_the_first_token_that_is_there_is_pooled() -> None:
    model = tower(count_from=0)
    right, left = batch((5, 3)), batch((5, 3), left=True)
    left[1, 2:] = right[1, :3]
    torch.testing.assert_close(model(left), model(right), atol=1e-5, rtol=0)


def test_order_matters_and_words_matter() -> None:
    model = tower()
    ids = batch((6,))
    assert not torch.allclose(model(ids), model(ids.flip(1)), atol=1e-3)
    other = ids.clone()
    other[0, 3] = (other[0, 3] % 36) + 1
    assert not torch.allclose(model(ids), model(other), atol=1e-3)


def test_neighbours_are_read_and_no_further() -> None:
    model = tower(neighbours=3)
    ids = batch((7,))
    other = ids.clone()
    other[0, 3] = (other[0, 3] % 36) + 1
    changed = (model.embed(ids) != model.embed(other)).any(-1)[0]
    assert changed.tolist() == [False, False, True, True, True, False, False]
    hidden = torch.arange(7)[None] != 3
    assert torch.equal(model.embed(ids, hidden)[0, 4:], model.embed(other, hidden)[0, 4:])
    with pytest.raises(ValueError, match="neighbours is 2, expected an odd number"):
        tower(neighbours=2)


def test_a_biasless_key_has_no_bias() -> None:
    attention = tower(qkv_bias=(True, False, True)).encoder.blocks[0].attention
    assert attention.key.bias is None
    assert attention.query.bias is not None
    assert attention.value.bias is not None


def test_unit_features_have_length_one() -> None:
    model = text_tower(0, 37, unit=True, pool="mean", **SIZES)
    torch.testing.assert_close(model(batch()).norm(dim=1), torch.ones(3))


def test_recorded_attention_leaves_out_padding_and_changes_no_logit() -> None:
    model = tower()
    ids = batch()
    plain = model(ids)
    with vit.record_attention(model) as tape:
        logits = model(ids)
    assert torch.equal(logits, plain)
    weights = tape.weights()
    assert [tuple(each.shape) for each in weights] == [(3, 2, 11, 11)] * 3
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(3, 2, 11))
    assert weights[2][1, :, :, 7:].abs().max() == 0


def test_half_precision_stays_close() -> None:
    model = tower()
    ids = batch()
    exact = model(ids)
    model.autocast = torch.bfloat16
    assert model(ids).dtype == torch.float32
    assert (model(ids) - exact).abs().max() < 0.1


@pytest.mark.parametrize(
    ("arguments", "ids", "said"),
    [
        ({}, torch.zeros(2, 20, dtype=torch.int64), "20 tokens, expected at most 19"),
        ({"count_from": 1}, torch.zeros(2, 18, dtype=torch.int64), "18 tokens, expected at most 17"),
        ({}, torch.zeros(2, 3), r"\(2, 3\) and torch.float32, expected \(B, N\)"),
        ({}, torch.zeros(4, dtype=torch.int64), r"\(4,\)"),
    ],
)
def test_ids_that_cannot_be_read(arguments: dict, ids: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tower(**arguments)(ids)


def test_segments_where_there_are_none() -> None:
    ids = batch()
    with pytest.raises(ValueError, match="no segment embeddings"):
        tower().encode(ids, segments=torch.zeros_like(ids))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"padding": 37}, "id 37, expected 0 to 36"),
        ({"pooler": "gelu"}, "'gelu', expected None or one of: tanh, relu"),
        ({"norm": "both"}, "'both', expected one of: pre, post, branch"),
        ({"activation": "mish"}, "'mish', expected one of: gelu"),
        ({"positions": "rotary"}, "'rotary', expected 'learned' or 'sinusoidal'"),
        ({"projections": [(7, "mish", True)]}, "projection has 'mish', expected one of: identity, tanh"),
        ({"pool": "max"}, "'max', expected one of: cls"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tower(**arguments)
