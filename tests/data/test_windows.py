"""Windows of a language model: every token is a target once, and padding never."""

import torch

from vit.data.loader import loader
from vit.data.texts import RawTexts
from vit.data.windows import IGNORED, NextTokens


def examples(lengths: list[int], length: int) -> NextTokens:
    """Texts of ids that count on from 1; the last id of text i is 1000 + i."""
    ids, first = [], 1
    for number, count in enumerate(lengths):
        ids.append(torch.tensor([*range(first, first + count - 1), 1000 + number]))
        first += count
    texts = [f"two  words {number}" for number in range(len(lengths))]
    return NextTokens(RawTexts(texts, torch.zeros(len(ids)).long(), texts), ids, length, padding=0)


def test_a_short_text_is_one_window() -> None:
    ids, targets, indices = examples([4, 2], 7)[[1, 0]]
    assert ids.tolist() == [[5, 0, 0], [1, 2, 3]]
    assert targets.tolist() == [[1001, IGNORED, IGNORED], [2, 3, 1000]]
    assert indices.tolist() == [1, 0]


def test_a_long_text_is_cut_into_windows_and_each_token_is_a_target_once() -> None:
    for count in range(2, 14):
        found = examples([3, count, 2], 4)
        assert found.text_of.tolist() == [0, *[1] * -(-(count - 1) // 4), 2]
        own = [found[[i]] for i in range(len(found)) if found.text_of[i] == 1]
        inputs = torch.cat([ids[0] for ids, _, _ in own])
        targets = torch.cat([targets[0] for _, targets, _ in own])
        assert inputs.tolist() == list(range(4, 4 + count - 1))
        assert targets.tolist() == [*range(5, 4 + count - 1), 1001]
        assert all(ids.shape[1] <= 4 for ids, _, _ in own)
        assert found.tokens.tolist() == [2, count - 1, 1]


def test_words_and_bytes_count_the_end_of_a_text() -> None:
    raw = RawTexts(["a  bc\td", "é"], torch.zeros(2).long(), ["x:1", "x:2"])
    found = NextTokens(raw, [torch.arange(5), torch.arange(2)], 9, padding=0)
    assert found.words.tolist() == [4, 2]
    assert found.bytes.tolist() == [8, 3]


def test_batches_hold_windows_of_similar_length() -> None:
    lengths = torch.randint(2, 40, (500,), generator=torch.Generator().manual_seed(1)).tolist()
    found = examples(lengths, 16)
    batches = [indices for _, _, indices in loader(found, 10, seed=3, shuffle=True)]
    assert sorted(torch.cat(batches).tolist()) == list(range(len(found)))
    spread = [int(found.lengths[batch].max() - found.lengths[batch].min()) for batch in batches]
    assert sum(spread) / len(spread) < 2
