"""The ranges of the config's numbers."""

from math import inf, nan

import pytest

from vit.config import Config
from vit.errors import UsageError
from vit.ranges import RANGES, Range, require


@pytest.mark.parametrize("key", RANGES)
def test_keys_are_those_of_the_config_and_defaults_are_in_range(key: str) -> None:
    section, name = key.split(".")
    default = getattr(getattr(Config(), section), name)
    if default is not None:  # decided by what the run starts from
        require(key, default)
    with pytest.raises(UsageError, match=f"^{key} is nan, expected (at least|above|between) "):
        require(key, nan)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "text"),
    [
        (Range(1), [1, 7, inf], [0.9, -inf], "at least 1"),
        (Range(0, exclude_low=True), [1e-9, inf], [0, -1], "above 0"),
        (Range(0, 30), [0, 30], [-0.1, 30.1], "between 0 and 30"),
        (Range(0, 1, exclude_low=True), [0.1, 1], [0, 1.1], "between 0 and 1, excluding 0"),
        (Range(0, 1, exclude_high=True), [0, 0.9], [-0.1, 1], "between 0 and 1, excluding 1"),
        (Range(0, 1, True, True), [0.1, 0.9], [0, 1], "between 0 and 1, excluding 0 and 1"),
    ],
)
def test_ends_are_in_range_or_excluded(
    allowed: Range, inside: list[float], outside: list[float], text: str
) -> None:
    assert all(number in allowed for number in inside)
    assert not any(number in allowed for number in [*outside, nan])
    assert str(allowed) == text


@pytest.mark.parametrize("scale", [(0.5, 0.4), (0.0, 1.0), (0.5, 1.1), (nan, 0.5)])
def test_pairs_are_ascending(scale: tuple[float, float]) -> None:
    require("augment.scale", (0.4, 0.4))
    with pytest.raises(
        UsageError, match=r"augment\.scale is \(.*, expected between 0 and 1, excluding 0, asc"
    ):
        require("augment.scale", scale)
