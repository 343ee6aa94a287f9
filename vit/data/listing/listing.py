"""What a manifest lists: pictures that are not decoded yet, and their labels."""

from dataclasses import dataclass, field
from pathlib import Path

from vit.data.found import Skipped


@dataclass(frozen=True)
class Item:
    """One file of a dataset.

    Args:
        path: The file; it exists.
        name: Its path relative to the folder of the manifest, with `/`.
        label: Its label, where an example has one.
        labels: Where an example may have several: 1 has the label, 0 has it not, NaN is unknown. It has an
            entry for every label of the listing. None: an example has one label.
        part: `train`, `val` or `test`; None: the manifest does not say.
        group: Files of one group belong in one part; None: the manifest does not say.
    """

    path: Path
    name: str
    label: str | None = None
    labels: dict[str, float] | None = None
    part: str | None = None
    group: str | None = None


@dataclass
class Listing:
    """The files of a dataset.

    Args:
        items: In the order of the manifest.
        labels: Name of each class, sorted.
        skipped: Rows that have no readable entry, each with the reason.
        notes: What was left aside, a line each.
    """

    items: list[Item]
    labels: list[str]
    skipped: Skipped = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        """The group of each item, in order; an item without one is a group. Empty: there are none."""
        if all(item.group is None for item in self.items):
            return []
        return [f"group {item.group}" if item.group else item.name for item in self.items]
