"""What an evaluation is asked for, and which of it does not fit together. Imports no torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vit.attribution.roster import METHODS, QUICK_METHODS
from vit.config import nearest
from vit.data.roster import SPLITS as DATA_SPLITS
from vit.errors import UsageError
from vit.ranges import require_positive

SPLITS = (*DATA_SPLITS, "new", "all")  # new: what the run has not seen
PROBE_KINDS = ("linear", "knn")
REPEATS = 5  # draws of `per_class`
PICTURES = 200  # for `attribution`
STEPS = 16

OF_ATTRIBUTION = ("methods", "pictures", "steps")
FOR_IMAGES = ("flip", "attribution", "corruptions")
FOR_ONE_LABEL = ("corruptions", "unknown")
FOR_ONE_PROCESS = ("attribution", "corruptions", "unknown")
FOR_CLASSES = ("flip", "attribution", "corruptions", "unknown", "image_size", "label_column")
FOR_HEADS = ("flip", "attribution", "corruptions", "unknown", "output")  # they need the model's own head


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of `vit evaluate`.

    Args:
        data: A dataset's name or path. None: what the model was trained on.
        split: One of `SPLITS`.
        column: Of a table, with the texts or the paths. None: a usual name.
        label_column: Of a table, with the labels. None: a usual name.
        flip: Average each image with its mirror image.
        corruptions: Measure corrupted images, too.
        unknown: A folder of inputs that belong to no class, to tell apart.
        probe: `linear` or `knn`: learn the classes of the data from the features. None: measure the head.
        per_class: Of `probe`: examples of each class to learn from. None: all.
        repeats: Of `per_class`: how often they are drawn. None: `REPEATS`.
        image_size: Pixels of one side. None: the model's own.
        attribution: Measure methods of `vit attend`, too.
        methods: Their names, as a list or separated by commas. None: the quick ones.
        pictures: Drawn at random for `attribution` and `corruptions`. None: 200 and 500.
        steps: Parts in which patches are removed for `attribution`. None: 16.
        batch_size: Most examples of a forward pass.
        output: Folder for report, tables and plots. None: nothing is written.
        overwrite: Write into an `output` that is not empty.
    """

    data: str | None = None
    split: str = "test"
    column: str | None = None
    label_column: str | None = None
    flip: bool = False
    corruptions: bool = False
    unknown: str | None = None
    probe: str | None = None
    per_class: int | None = None
    repeats: int | None = None
    image_size: int | None = None
    attribution: bool = False
    methods: str | Sequence[str] | None = None
    pictures: int | None = None
    steps: int | None = None
    batch_size: int = 256
    output: str | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Refuse what cannot be, before any data is read.

        Raises:
            UsageError: Options that do not fit each other, or a value that is out of range.
        """
        if self.split not in SPLITS:
            raise UsageError(f"--split is {self.split}{nearest(self.split, list(SPLITS))}")
        require_positive("--batch-size", self.batch_size)
        self._check_probe()
        if self.overwrite and self.output is None:
            raise UsageError("--overwrite is an option of --output, which is missing")
        self._check_attribution()
        processes = os.environ.get("WORLD_SIZE", "1")
        alone = self.given(FOR_ONE_PROCESS)
        if alone and "TORCHELASTIC_RUN_ID" in os.environ and processes != "1":  # under torchrun
            raise UsageError(f"--{alone[0]} is measured by one process, and here are {processes}")

    @property
    def chosen_methods(self) -> list[str]:
        """Of `attribution`."""
        if self.methods is None:
            return list(QUICK_METHODS)
        names = self.methods.split(",") if isinstance(self.methods, str) else self.methods
        return [name.strip() for name in names]

    def given(self, names: Sequence[str]) -> list[str]:
        """Those of some options that are given, as the command spells them."""
        return [name.replace("_", "-") for name in names if getattr(self, name) not in (None, False, "")]

    def _check_probe(self) -> None:
        if self.probe is None:
            for name in ("per_class", "repeats"):
                if getattr(self, name) is not None:
                    raise UsageError(f"--{name.replace('_', '-')} is an option of --probe, which is missing")
            return
        if self.probe not in PROBE_KINDS:
            raise UsageError(f"--probe is {self.probe!r}{nearest(self.probe, list(PROBE_KINDS))}")
        if given := self.given(FOR_HEADS):
            raise UsageError(f"--{given[0]} measures a model's head, and --probe its features: leave one out")
        if self.split != "test":
            raise UsageError(f"--split is {self.split}, and --probe tests the part test: leave it out")
        if self.repeats is not None and self.per_class is None:
            raise UsageError("--repeats is an option of --per-class, which is missing")
        for name, value in (("--per-class", self.per_class), ("--repeats", self.repeats)):
            if value is not None:
                require_positive(name, value)

    def _check_attribution(self) -> None:
        given: dict[str, Any] = {
            name: getattr(self, name) for name in OF_ATTRIBUTION if getattr(self, name) is not None
        }
        only_pictures = given.keys() == {"pictures"} and self.corruptions
        if given and not self.attribution and not only_pictures:
            raise UsageError(f"--{next(iter(given))} is an option of --attribution, which is missing")
        for name in ("pictures", "steps"):
            if name in given:
                require_positive(f"--{name}", given[name])
        for method in self.chosen_methods if self.attribution else ():
            if method not in METHODS:
                raise UsageError(f"--methods has {method!r}, expected some of: {', '.join(METHODS)}")
