"""Removal curves and faithfulness, on scores whose answer is known."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from vit.evaluation.faithfulness import Faithfulness, measure, shuffle_weights
from vit.evaluation.removal import (
    BASELINES,
    areas,
    blurred,
    centre_map,
    interval,
    random_map,
    rank_correlation,
    ranking,
    removal_curves,
)

from ..attribution.towers import COLS, IMAGES, KINDS, ROWS, B, tower

GRID = (ROWS, COLS)
WEIGHTS = torch.rand(GRID, generator=torch.Generator().manual_seed(2)) ** 3
IMAGE = torch.ones(1, 10, 21)
BLANK = torch.zeros(1, 10, 21)


def brightness(variants: Tensor) -> Tensor:
    """The weighted sum of the patches that are not removed."""
    return (variants[:, 0, ::2, ::3] * WEIGHTS).sum((1, 2)) / WEIGHTS.sum()


def test_curves_step_by_step() -> None:
    """Against a reference that removes patch by patch, from one image at a time."""
    orders = ranking(torch.stack([WEIGHTS, random_map(GRID, 3)]))
    steps = 8
    curves = removal_curves(IMAGE, BLANK, orders, GRID, brightness, steps=steps)
    assert curves.shape == (2, 2, steps + 1)
    for order, (morf, lerf) in zip(orders, curves, strict=True):
        for curve, sequence in ((morf, order.tolist()), (lerf, order.tolist()[::-1])):
            for step, value in enumerate(curve):
                left = WEIGHTS.flatten().clone()
                left[sequence[: round(step * ROWS * COLS / steps)]] = 0
                assert float(value) == pytest.approx(float(left.sum() / WEIGHTS.sum()), abs=1e-5)


def test_insertion_is_lerf_reversed() -> None:
    """Insertion, the most relevant patches first onto a blank image, agrees step by step."""
    order = ranking(random_map(GRID, 1)[None])
    (deletion,) = removal_curves(IMAGE, BLANK, order, GRID, brightness, steps=7)
    (insertion,) = removal_curves(BLANK, IMAGE, order, GRID, brightness, steps=7)
    torch.testing.assert_close(insertion[0], deletion[1].flip(0))


def test_the_true_map_is_the_best() -> None:
    maps = torch.stack([WEIGHTS, -WEIGHTS, *(random_map(GRID, index) for index in range(200))])
    curves = removal_curves(IMAGE, BLANK, ranking(maps), GRID, brightness, steps=ROWS * COLS)
    morf, lerf = areas(curves).T
    gain = lerf - morf
    assert gain[0] == gain.max() > 0.3
    assert float(gain[1]) == pytest.approx(-float(gain[0]), abs=1e-5)
    low, high = interval(gain[2:].numpy())
    assert low < 0 < high
    torch.testing.assert_close(areas(torch.ones(3, 5)), torch.ones(3))
    torch.testing.assert_close(areas(torch.tensor([1.0, 0.5, 0.0])), torch.tensor(0.5))


def test_more_steps_than_patches_are_patches() -> None:
    order = ranking(WEIGHTS[None])
    assert removal_curves(IMAGE, BLANK, order, GRID, brightness, steps=99).shape == (1, 2, ROWS * COLS + 1)


def test_all_steps_are_one_call() -> None:
    calls = []

    def score(variants: Tensor) -> Tensor:
        calls.append(len(variants))
        return brightness(variants)

    removal_curves(IMAGE, BLANK, ranking(torch.stack([WEIGHTS] * 3)), GRID, score, steps=5)
    assert calls == [2 + 3 * 2 * 4]


def test_ties_are_not_broken_by_index() -> None:
    order = ranking(torch.zeros(1, *GRID))[0]
    assert sorted(order.tolist()) == list(range(ROWS * COLS))
    assert abs(np.corrcoef(order.numpy(), np.arange(ROWS * COLS))[0, 1]) < 0.5
    assert ranking(WEIGHTS)[0] == WEIGHTS.argmax()


def test_interval() -> None:
    values = np.random.default_rng(5).normal(0.3, 0.1, 400)
    low, high = interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)
    assert interval(values) == (low, high)
    assert all(np.isnan(interval(values[:1])))


def test_rank_correlation_is_spearmans() -> None:
    maps, others = torch.rand(B, *GRID).round(decimals=1), torch.rand(B, *GRID)
    expected = [
        stats.spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(maps, others, strict=True)
    ]
    torch.testing.assert_close(rank_correlation(maps, others), torch.tensor(expected, dtype=torch.float64))
    assert rank_correlation(torch.ones(1, *GRID), others[:1]).tolist() == [0.0]


def test_baselines_and_controls() -> None:
    images = torch.rand(2, 3, 10, 21)
    for blank in BASELINES.values():
        assert blank(images, GRID).shape == images.shape
    colors = BASELINES["mean color"](images, GRID)
    torch.testing.assert_close(colors[:, :, 3, 4], images.mean((2, 3)))
    assert blurred(images, GRID).var() < 0.2 * images.var()
    flat = torch.full((1, 3, 8, 8), 0.7)
    torch.testing.assert_close(blurred(flat, (8, 8)), flat)
    centre = centre_map(GRID)
    assert centre.argmax() == 2 * COLS + 3
    assert centre_map((1, 1)).shape == (1, 1)
    assert not torch.equal(random_map(GRID, 0), random_map(GRID, 1))


def test_measuring_a_model() -> None:
    model = tower(**KINDS["mean"])
    rows = measure(model, [IMAGES, IMAGES[:2]], {"rollout": {}, "raw": {"layer": 0}}, steps=4)
    assert [(row["method"], row["baseline"]) for row in rows] == [
        (method, baseline) for baseline in BASELINES for method in ("rollout", "raw", "random", "centre")
    ]
    for row in rows:
        assert row["n"] == 5
        assert 0 <= row["morf"] <= 1
        assert row["difference"] == pytest.approx(row["lerf"] - row["morf"])
        assert (row["low"] <= row["difference"] <= row["high"]) or row["low"] is None
        assert (row["shuffled"] is None) == (row["method"] in ("random", "centre"))
    assert Faithfulness(model).rows() == []


def test_shuffled_weights_are_the_same_numbers_elsewhere() -> None:
    model = tower()
    shuffled = shuffle_weights(model)
    for before, after in zip(model.parameters(), shuffled.parameters(), strict=True):
        torch.testing.assert_close(before.flatten().sort().values, after.flatten().sort().values)
    weight = model.encoder.blocks[0].mlp.expand.weight
    assert not torch.equal(weight, shuffled.encoder.blocks[0].mlp.expand.weight)
