"""What attention knows of positions in a sequence, against references in float64 and transformers."""

import math

import pytest
import torch
from torch import Tensor

from vit.core import Attention, Relation
from vit.core.relations import causal_mask, with_mask
from vit.positions import BucketBias, DistanceKeys, SequenceRotary
from vit.positions.roster import SEQUENCES, make_relative

from ..towers import block_spec

HEADS, WIDTH, DEPTH, QUERIES, KEYS = 3, 7 * 6, 2, 5, 11
PLACES = torch.arange(KEYS)[None]
LAST = PLACES[:, -QUERIES:]


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (32, 100), (16, 64), (8, 20), (64, 1000)])
def test_buckets_are_those_of_t5(buckets: int, max_distance: int, both: bool) -> None:
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    distances = torch.arange(-3000, 3001)
    ours = BucketBias(HEADS, DEPTH, buckets=buckets, max_distance=max_distance, bidirectional=both)
    theirs = t5.T5Attention._relative_position_bucket(
        distances, bidirectional=both, num_buckets=buckets, max_distance=max_distance
    )
    assert torch.equal(ours.bucket(distances), theirs)
    assert set(ours.bucket(distances).tolist()) == set(theirs.tolist())


@pytest.mark.parametrize("shared", [True, False])
def test_a_bias_of_buckets_is_that_of_its_table(shared: bool) -> None:
    module = BucketBias(HEADS, DEPTH, buckets=8, max_distance=20, shared=shared)
    relations = module(LAST, PLACES)
    assert len(relations) == DEPTH
    for layer, relation in enumerate(relations):
        assert isinstance(relation.bias, Tensor)
        assert relation.bias.shape == (1, HEADS, QUERIES, KEYS)
        table = module.tables[0 if shared else layer].weight
        for query in range(QUERIES):
            for key in range(KEYS):
                distance = torch.tensor(key - (query + KEYS - QUERIES))
                expected = table[module.bucket(distance)]
                assert torch.equal(relation.bias[0, :, query, key], expected)


def by_complex_numbers(heads: Tensor, positions: Tensor, temperature: float) -> Tensor:
    """Su et al. 2021, section 3.4.2, with channel i and i + K/2 as real and imaginary part."""
    half = heads.shape[-1] // 2
    frequency = temperature ** -(torch.arange(half, dtype=torch.float64) / half)
    turn = torch.polar(torch.ones(()).double(), positions.double()[:, None, :, None] * frequency)
    real, imaginary = heads.double().split(half, -1)
    turned = torch.complex(real, imaginary) * turn
    return torch.cat([turned.real, turned.imag], -1)


@pytest.mark.parametrize("temperature", [10_000.0, 160_000.0, 33.0])
def test_a_rotation_is_a_product_of_complex_numbers(temperature: float) -> None:
    positions = torch.tensor([[0, 1, 2, 5, 40], [7, 3, 3, 0, 11]])
    heads = torch.randn(2, HEADS, 5, 14, dtype=torch.float64)
    relation = SequenceRotary(14, DEPTH, temperature=temperature)(positions, positions)[1]
    assert relation.rotation is not None
    expected = by_complex_numbers(heads, positions, temperature)
    torch.testing.assert_close(relation.rotation(heads), expected, atol=2e-5, rtol=0)  # angles in float32
    assert relation.rotation(heads.float()).dtype == torch.float32


def test_scores_of_a_rotation_depend_on_distance_alone() -> None:
    query, key = torch.randn(2, 1, HEADS, 5, 14, dtype=torch.float64)
    scores = []
    for start in (0, 23):
        places = torch.arange(start, start + 5)[None]
        rotation = SequenceRotary(14, 1)(places, places)[0].rotation
        assert rotation is not None
        scores.append(rotation(query) @ rotation(key).transpose(-1, -2))
    torch.testing.assert_close(scores[1], scores[0], atol=1e-4, rtol=0)


def test_layers_have_bases_and_windows_of_their_own() -> None:
    relations = SequenceRotary(14, 3, temperature=[10.0, 99.0, 10.0], window=[None, 2, 0])(PLACES, PLACES)
    assert relations[0].mask is None
    distance = (PLACES[:, None, :] - PLACES[:, :, None]).abs()[:, None]
    assert torch.equal(relations[1].mask, distance <= 2)
    assert torch.equal(relations[2].mask, distance == 0)
    assert torch.equal(relations[0].rotation.cos, relations[2].rotation.cos)
    assert not torch.equal(relations[0].rotation.cos, relations[1].rotation.cos)


@pytest.mark.parametrize("arguments", [{"temperature": [1.0, 2.0]}, {"window": [1, 2, 3, 4]}])
def test_a_value_for_each_layer(arguments: dict) -> None:
    with pytest.raises(ValueError, match=r"has \d values, expected 3: one per layer"):
        SequenceRotary(14, 3, **arguments)


def test_a_causal_window() -> None:
    relations = with_mask(SequenceRotary(14, 1, window=2)(LAST, PLACES), causal_mask(LAST, PLACES), 1)
    expected = [[0 <= query - key <= 2 for key in range(KEYS)] for query in range(KEYS - QUERIES, KEYS)]
    assert relations[0].mask[0, 0].tolist() == expected


@pytest.mark.parametrize("kind", [None, *SEQUENCES])
def test_a_query_that_may_attend_to_nothing_gets_zeros(kind: str | None) -> None:
    """A window that holds padding alone, with a bias and without."""
    spec = block_spec(WIDTH, HEADS)
    attention = Attention(WIDTH, HEADS)
    relative = make_relative(SEQUENCES, None if kind is None else {"kind": kind}, spec, 1)
    relation = Relation() if relative is None else relative(PLACES, PLACES)[0]
    near = (PLACES[:, None, :] - PLACES[:, :, None]).abs() <= 1
    relation = relation._replace(mask=near[:, None])
    there = (PLACES < 6).expand(2, -1)  # of the tokens from 7 on, the neighbours are padding too
    tokens = torch.randn(2, KEYS, WIDTH, requires_grad=True)
    mixed = attention(tokens, None, there, relation=relation)
    torch.testing.assert_close(mixed[:, 7:], attention.output.bias.expand(2, KEYS - 7, -1))
    assert (mixed[:, :7] - attention.output.bias).abs().min(-1).values.max() > 0
    mixed.sum().backward()
    assert tokens.grad.isfinite().all()
    assert (tokens.grad[:, 7:] == 0).all()


def reference(module: DistanceKeys, layer: int, query: Tensor, arguments: dict) -> Tensor:
    """Dai et al. 2019, section 3.3, terms (b) and (d), pair by pair, and Yang et al. 2019, section 2.5."""
    queries, keys, segments, max_distance = (
        arguments[name] for name in ("queries", "keys", "segments", "max_distance")
    )
    frequency = 10_000.0 ** -(torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)
    weight = module.keys[layer].weight.unflatten(0, (HEADS, -1))  # (H, K, D)
    batch, width = query.shape[0], query.shape[-1]
    scores = torch.zeros(batch, HEADS, queries.shape[1], keys.shape[1], dtype=torch.float64)
    for row in range(batch):
        for i, position in enumerate(queries[row].tolist()):
            for j, key in enumerate(keys[row].tolist()):
                distance = max(-max_distance, min(max_distance, position - key))
                wave = torch.cat([(distance * frequency).sin(), (distance * frequency).cos()])
                for head in range(HEADS):
                    q = query[row, head, i]
                    score = (q + module.query[layer, head]) @ weight[head] @ wave
                    other = int(segments[0][row, i] != segments[1][row, j])
                    score += (q + module.segment_query[layer, head]) @ module.segment_keys[layer, other, head]
                    scores[row, head, i, j] = score / math.sqrt(width)
    return scores


@pytest.mark.parametrize("max_distance", [None, 3])
def test_keys_of_distances(max_distance: int | None) -> None:
    torch.manual_seed(5)
    module = DistanceKeys(WIDTH, HEADS, 14, DEPTH, max_distance=max_distance, segments=True).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    keys = torch.arange(KEYS).expand(2, -1)
    queries = torch.tensor([[3, 10, 0], [0, 5, 5]])
    segments = torch.randint(0, 3, (2, 3)), torch.randint(0, 3, (2, KEYS))
    query = torch.randn(2, HEADS, 3, 14, dtype=torch.float64)
    arguments = {"queries": queries, "keys": keys, "segments": segments, "max_distance": max_distance or KEYS}
    with torch.no_grad():
        for layer, relation in enumerate(module(queries, keys, segments)):
            found = relation.bias(query)
            torch.testing.assert_close(found, reference(module, layer, query, arguments), atol=2e-5, rtol=0)


def test_without_segments_all_tokens_are_of_one() -> None:
    module = DistanceKeys(WIDTH, HEADS, 14, 1, segments=True)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    query = torch.randn(1, HEADS, QUERIES, 14)
    zeros = torch.zeros_like(PLACES)
    with torch.no_grad():
        without, same = (
            module(LAST, PLACES, segments)[0].bias(query).softmax(-1)
            for segments in (None, (zeros[:, -QUERIES:], zeros))
        )
    torch.testing.assert_close(without, same)


def test_what_cannot_be() -> None:
    spec = block_spec(WIDTH, HEADS)
    with pytest.raises(ValueError, match="'alibi', expected one of: rotary, buckets, distances"):
        make_relative(SEQUENCES, {"kind": "alibi"}, spec, 2)
    with pytest.raises(ValueError, match=r"of kind 'distances': .*bases"):
        make_relative(SEQUENCES, {"kind": "distances", "bases": 3}, spec, 2)
    with pytest.raises(ValueError, match="width is 9, expected an even number"):
        DistanceKeys(9, 3, 3, 1)
    with pytest.raises(ValueError, match="head_width is 7, expected an even number"):
        SequenceRotary(7, 1)
    with pytest.raises(ValueError, match="buckets are 2 up to distance 128, expected at least 4"):
        BucketBias(HEADS, 1, buckets=2)
    with pytest.raises(ValueError, match=r"up to distance 8, expected .* a distance above 8"):
        BucketBias(HEADS, 1, max_distance=8)


def test_modules_print_what_a_digest_must_tell_apart() -> None:
    printed = [
        repr(module)
        for module in (
            SequenceRotary(14, 2),
            SequenceRotary(14, 2, temperature=[10_000.0, 5.0]),
            SequenceRotary(14, 2, window=3),
            BucketBias(HEADS, 2),
            BucketBias(HEADS, 2, bidirectional=False),
            BucketBias(HEADS, 2, max_distance=64),
            DistanceKeys(WIDTH, HEADS, 14, 2),
            DistanceKeys(WIDTH, HEADS, 14, 2, max_distance=3),
            DistanceKeys(WIDTH, HEADS, 14, 2, window=3),
        )
    ]
    assert len(set(printed)) == len(printed)
