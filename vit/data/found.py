"""What a reader is asked for, and what it finds: labelled examples that are not divided yet."""

from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, Self, TypeVar

from torch import Tensor

from vit.data.preprocess import Preprocess

Skipped = list[tuple[str, str]]  # name and reason


@dataclass(frozen=True)
class ReadOptions:
    """How a dataset is read. A reader ignores what its format does not have.

    Args:
        size: Height and width of images; None: the dataset's own.
        resize: How an image of other proportions is fitted, as in `vit.data.preprocess.Preprocess`; None:
            `crop`.
        preprocess: Of a model, which then decides on the geometry: `size` and `resize` do not matter.
        memory_gb: Largest size of decoded pixels.
        cache: Keep decoded pixels in `$VIT_CACHE`, and take them from there.
        input_column: The column of a table with the texts, or with the paths of pictures; None: a usual name.
        label_column: The column with the labels; None: a usual name.
        label_separator: Divides several labels in one field; None: one label per example.
        label_columns: Columns with 0 or 1, one for each label; empty: none.
    """

    size: tuple[int, int] | None = None
    resize: str | None = None
    preprocess: Preprocess | None = None
    memory_gb: float = 4.0
    cache: bool = True
    input_column: str | None = None
    label_column: str | None = None
    label_separator: str | None = None
    label_columns: tuple[str, ...] = ()

    def geometry(self, default: tuple[int, int]) -> Preprocess:
        """From an image file to RGB pixels of one size.

        Args:
            default: Height and width where neither `preprocess` nor `size` is given.
        """
        if self.preprocess is None:
            return Preprocess(*(self.size or default), resize=self.resize or "crop")
        fill = self.preprocess.fill and (self.preprocess.fill * 3)[:3]
        return replace(self.preprocess, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fill=fill)

    @property
    def several_labels(self) -> bool:
        """Whether an example may have more than one label, or none."""
        return self.label_separator is not None or bool(self.label_columns)


class Examples(Protocol):
    """Labelled images or texts.

    Attributes:
        targets: int64 (n,), the class of each; with several labels float32 (n, classes): 1 has the label, 0
            has it not, NaN is unknown.
        names: Name of each in messages and tables.
        digests: SHA-256 of the content of each, in hexadecimal; empty for a dataset that never changes.
    """

    targets: Tensor
    names: list[str]
    digests: list[str]

    def __len__(self) -> int: ...

    def subset(self, indices: list[int] | Tensor) -> Self:
        """The examples at `indices`."""
        ...

    def joined(self, other: Self) -> Self:
        """These examples, followed by the others."""
        ...


E = TypeVar("E", bound=Any)


@dataclass
class Found(Generic[E]):
    """The examples of a dataset, as a reader returns them.

    Args:
        parts: `train`, `val`, `test`: those that the dataset itself has. A dataset without parts has one
            entry, `all`.
        labels: Name of each class that occurs in any part, sorted; or the dataset's own order.
        skipped: Examples that could not be read, each with the reason. The command ends with 3.
        notes: What else a user should know, a line each: what was left aside, passed through or renamed.
        groups: Part -> the group of each of its examples, where the data name groups; examples of one group
            are never divided.
        named_by_path: A name is a file's path, so that a file that changed is recognised by it; False: rows
            of tables, whose numbers change when a row is added.
    """

    parts: dict[str, E]
    labels: list[str]
    skipped: Skipped = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    named_by_path: bool = False
