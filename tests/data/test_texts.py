"""Texts as token ids: padding, batches of similar length."""

import hashlib

import torch

from vit.data.loader import EpochSampler, loader
from vit.data.texts import RawTexts, TokenizedTexts, text_digest


def texts(lengths: list[int]) -> TokenizedTexts:
    ids = [torch.arange(1, length + 1) for length in lengths]
    names = [str(length) for length in lengths]
    return TokenizedTexts(RawTexts(names, torch.zeros(len(ids), dtype=torch.int64), names), ids, 0)


def test_digests_are_those_of_the_stripped_text() -> None:
    raw = RawTexts(["a", " a\n", "é"], torch.tensor([0, 1, 0]), ["x:1", "x:2", "x:3"])
    assert raw.digests[0] == raw.digests[1] == hashlib.sha256(b"a").hexdigest()
    assert raw.digests[2] == hashlib.sha256(b"\xc3\xa9").hexdigest()


def test_texts_are_picked_and_joined() -> None:
    targets = torch.tensor([[0, 1], [1, float("nan")], [0, 0]])
    raw = RawTexts(["a", "b", "c"], targets, ["x:1", "x:2", "x:3"])
    picked = raw.subset([2, 0])
    assert (picked.texts, picked.names) == (["c", "a"], ["x:3", "x:1"])
    assert picked.digests == [raw.digests[2], raw.digests[0]]
    torch.testing.assert_close(picked.targets, targets[[2, 0]])
    joined = picked.joined(raw.subset([1]))
    assert len(joined) == 3
    assert (joined.texts, joined.names) == (["c", "a", "b"], ["x:3", "x:1", "x:2"])
    torch.testing.assert_close(joined.targets, targets[[2, 0, 1]], equal_nan=True)
    assert joined.digests == RawTexts(joined.texts, joined.targets, joined.names).digests


def test_a_batch_of_several_labels() -> None:
    ids = [torch.tensor([1, 2, 3]), torch.tensor([4])]
    batch = TokenizedTexts(RawTexts(["a", "b"], torch.eye(2), ["x:1", "x:2"]), ids, 0)
    assert batch[[1, 0]][1].tolist() == [[0, 1], [1, 0]]
    assert batch.digests == [text_digest("a"), text_digest("b")]


def test_a_batch_is_padded_to_its_longest() -> None:
    ids, _, indices = texts([3, 1, 2])[[2, 0]]
    assert ids.tolist() == [[1, 2, 0], [1, 2, 3]]
    assert indices.tolist() == [2, 0]


def test_shuffled_batches_hold_like_lengths_and_every_text_once() -> None:
    lengths = torch.randint(1, 50, (1000,), generator=torch.Generator().manual_seed(1)).tolist()
    examples = texts(lengths)
    batches = [indices for _, _, indices in loader(examples, 10, seed=3, shuffle=True)]
    assert sorted(torch.cat(batches).tolist()) == list(range(1000))
    spread = [int(examples.lengths[batch].max() - examples.lengths[batch].min()) for batch in batches]
    assert sum(spread) / len(spread) < 5
    means = torch.tensor([float(examples.lengths[batch].float().mean()) for batch in batches[:30]])
    assert not torch.equal(means, means.sort().values), "short texts do not all come first"


def test_orders_follow_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        lengths = texts([1, 5, 2, 9, 4, 4, 7]).lengths
        sampler = EpochSampler(7, 2, seed=seed, shuffle=True, lengths=lengths)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
