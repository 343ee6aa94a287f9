"""The ranges of a config's numbers: one table, for the config's checks and for the classes that take them."""

from dataclasses import dataclass
from math import inf

from vit.errors import UsageError


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; NaN is in no range.

    Args:
        low: The smallest.
        high: The largest.
        exclude_low: `low` itself is out of range.
        exclude_high: `high` itself is out of range.
    """

    low: float
    high: float = inf
    exclude_low: bool = False
    exclude_high: bool = False

    def __contains__(self, number: float) -> bool:
        above = self.low < number if self.exclude_low else self.low <= number
        below = number < self.high if self.exclude_high else number <= self.high
        return above and below

    def __str__(self) -> str:
        if self.high == inf:
            return f"{'above' if self.exclude_low else 'at least'} {self.low:g}"
        ends = ((self.low, self.exclude_low), (self.high, self.exclude_high))
        excluded = " and ".join(f"{end:g}" for end, out in ends if out)
        return f"between {self.low:g} and {self.high:g}" + (f", excluding {excluded}" if excluded else "")


RANGES = {
    "data.batch_size": Range(1),
    "data.val_fraction": Range(0, 1, exclude_low=True, exclude_high=True),
    "data.test_fraction": Range(0, 1, exclude_high=True),
    "augment.padding": Range(0, 1),
    "augment.scale": Range(0, 1, exclude_low=True),
    "augment.rand_ops": Range(0),
    "augment.rand_magnitude": Range(0, 30),
    "augment.erase": Range(0, 1),
    "augment.mixup": Range(0),
    "augment.cutmix": Range(0),
    "augment.grow_from": Range(0, 1, exclude_low=True),
    "augment.grow_until": Range(0, 1),
    "text.vocabulary": Range(100),
    "text.length": Range(3),
    "text.blank": Range(0, 1, exclude_high=True),
    "model.depth": Range(1),
    "model.heads": Range(1),
    "model.registers": Range(0),
    "model.drop_path": Range(0, 1, exclude_high=True),
    "model.dropout": Range(0, 1, exclude_high=True),
    "optim.lr": Range(0, exclude_low=True),
    "optim.muon_lr": Range(0, exclude_low=True),
    "optim.warmup": Range(0, 1, exclude_high=True),
    "optim.label_smoothing": Range(0, 1, exclude_high=True),
    "optim.ema": Range(0, 1, exclude_high=True),
    "optim.layer_decay": Range(0, 1, exclude_low=True),
    "trainer.accumulate": Range(1),
    "trainer.patience": Range(0),
    "trainer.save_every": Range(0),
    "trainer.overlays": Range(0),
}


def require(key: str, value: float | tuple[float, ...]) -> None:
    """Refuse a number of the config that is out of range.

    Args:
        key: A key of `RANGES`: SECTION.NAME, as in the config.
        value: A number, or two of them: both must be in range, the smaller first.

    Raises:
        UsageError: The value is out of range.
    """
    numbers = value if isinstance(value, tuple) else (value,)
    if any(number not in RANGES[key] for number in numbers) or list(numbers) != sorted(numbers):
        order = ", ascending" if len(numbers) > 1 else ""
        raise UsageError(f"{key} is {value}, expected {RANGES[key]}{order}")


def require_positive(option: str, value: float) -> None:
    """Refuse zero and negative values of an option.

    Raises:
        UsageError: The value is one.
    """
    if value <= 0:
        least = "at least 1" if isinstance(value, int) else "more than 0"
        raise UsageError(f"{option} is {value}, expected {least}")
