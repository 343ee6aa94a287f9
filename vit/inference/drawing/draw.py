"""`vit attend` on a whole input: an overlay and a page per image or text, a row per file, and a sheet."""

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from PIL import Image
from torch import Tensor

from vit.attribution.query import Query
from vit.attribution.roster import QUICK_CLASS_METHODS
from vit.core import Tower, probabilities
from vit.errors import VitError
from vit.inference.drawing.file_names import remove_drawings, save_drawing, thumbnails
from vit.inference.kept import with_kept
from vit.inference.predict import top_classes
from vit.inference.words.vocabulary import class_names
from vit.inputs.files import absolute_inputs, can_list_again, find_inputs
from vit.jobs.job import Job, ProgressCallback
from vit.jobs.table import Row
from vit.viewer import View, contact_sheet, page
from vit.viewer.gallery import gallery

COLUMNS: dict[str, Any] = {
    "path": str,
    "status": str,
    "error": str,
    "label": str,
    "score": float,
    "explained": str,
    "class_mass": float,
    "register_mass": float,
    "outlier_mass": float,
    "outliers": int,
    "sink_mass": float,
    "sinks": int,
    "overlay": str,
    "page": str,
}
TABLE = "attend.csv"
SHEET = "sheet.png"
GALLERY = "index.html"
FAITHFULNESS = "faithfulness.csv"
PRINT = "print"  # the column of rows whose overlays are also vectors
DRAWN = ("overlay", "page", PRINT)  # the columns with files
ON_SHEET = 12  # overlays on the sheet; also the default number of pages
COMPRESSION = 4  # of PNG: half of the time of 6, Pillow's default, for 2 % more bytes
SHEET_SIDE = 1024  # pixels of the longest side of the largest overlay on the sheet


@dataclass(frozen=True)
class Request:
    """What is to be explained.

    Args:
        method: See `vit.attend`.
        target: Label or index of the class; None: the predicted one of each input.
        query: See `vit.attend`; of a text, a word as (0, index).
        options: Of the method.
    """

    method: str = "rollout"
    target: str | None = None
    query: Query = "cls"
    options: dict[str, Any] = field(default_factory=dict)

    def describe(self, unit: str) -> str:
        """`raw, layer 2, from patch 3,4`: the map in the caption of an overlay.

        Args:
            unit: `patch` or `word`, what a query is counted in.
        """
        parts = [self.method, *(f"{name} {value}" for name, value in self.options.items())]
        if self.query == "mean":
            parts.append("from the mean")
        elif not isinstance(self.query, str):
            row, col = self.query
            parts.append(f"from {unit} {col}" if unit == "word" else f"from {unit} {row},{col}")
        return ", ".join(parts)

    def page_start(self, description: str, heat: Tensor, explained: str | None) -> dict[str, Any]:
        """Arguments of `view_of`, so that a page first shows what the overlay shows."""
        if self.method == "rollout":
            return dict(self.options)
        if self.method == "raw":
            return {"layer": -1, **self.options}
        # The page has a map for each class under a quick method's bare name.
        plain = explained is None or description in QUICK_CLASS_METHODS
        name = description if plain else f"{description}, for {explained}"
        return {"shown_map": (name, heat)}


class Drawing(NamedTuple):
    """One explained input.

    Args:
        row: Its row of `attend.csv`, without overlay and page.
        overlay: Draws the overlay; None if the input could not be explained.
        view: Computes the content of its page.
        file: Path of its drawings, without suffix; None: that of its row.
        prints: Writes the overlay as vectors, by the suffix of the file: at most one.
    """

    row: Row
    overlay: Callable[[], Image.Image] | None = None
    view: Callable[[], View] | None = None
    file: str | None = None
    prints: Mapping[str, Callable[[Path], Any]] = MappingProxyType({})


class Drawer(Protocol):
    """What differs between images and texts.

    Attributes:
        settings: What the drawings depend on, besides model and inputs; a job with other settings is not
            continued.
        columns: Number of columns of the sheet.
        own_columns: Names of the columns of rows that other drawings have not.
        title: Model and map, for the gallery.
        model: The model.
    """

    settings: dict[str, Any]
    columns: int
    own_columns: Sequence[str]
    title: str
    model: Any

    def check(self) -> None:
        """Refuse what the model cannot serve.

        Raises:
            VitError: It cannot.
        """
        ...

    def reader(self) -> AbstractContextManager[Any]:
        """A reader of `vit.inputs`, with `batches`."""
        ...

    def list_inputs(self, inputs: list[str], exclude: list[Path]) -> Iterable[Any]:
        """The entries that the inputs stand for."""
        ...

    def drawings(self, batch: list[Any], num_explained: int) -> Iterator[Drawing]:
        """One per item of a batch, in order; `num_explained` is the number of inputs explained before."""
        ...


def draw_maps(
    drawer: Drawer,
    inputs: list[str],
    folder: Path,
    *,
    pages: int = ON_SHEET,
    overwrite: bool = False,
    resume: bool = True,
    fingerprint: str = "",
    keep: Sequence[str] = (),
    on_progress: ProgressCallback = lambda progress: None,
) -> Counter[str]:
    """Draw every image or text of the inputs, and return their number by status.

    An interrupted job is continued after the shards that it finished.

    Args:
        drawer: `vit.inference.drawing.images.ImageDrawer` or `vit.inference.drawing.texts.TextDrawer`.
        inputs: Files, folders, glob patterns.
        folder: Gets `NAME.png` for each input NAME (in the input's own subfolders), `NAME.svg` or `NAME.pdf`
            where the drawer makes prints, `NAME.html` for the first `pages` of them, `attend.csv` with one
            row per input, `sheet.png` with the first overlays, and `index.html`, the gallery of all.
        pages: Number of inputs that get an interactive page.
        overwrite: Replace the drawings of an earlier job.
        resume: Continue an interrupted job; otherwise its shards are computed again.
        fingerprint: Of the model; a job that another model began is not continued.
        keep: Columns of the input that the rows have after their own.
        on_progress: Called after each batch.

    Raises:
        VitError: An input does not exist, the folder holds an earlier job, or the model cannot serve what is
            requested.
    """
    columns = with_kept(COLUMNS | dict.fromkeys(drawer.own_columns, str), keep)
    check_folder(inputs, folder)
    drawer.check()
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / TABLE
    counts: Counter[str] = Counter()

    def rows(batch: list[Any]) -> list[Row]:
        drawn: list[Row] = []
        num_explained = counts["ok"]
        for drawing in drawer.drawings(batch, counts["ok"]):
            row: Row = dict.fromkeys(columns) | drawing.row
            if drawing.overlay is not None:
                file = drawing.file or row["path"]
                save = partial(save_drawing, folder, file, reserved=(SHEET, GALLERY))
                row["overlay"] = save(".png", partial(drawing.overlay().save, compress_level=COMPRESSION))
                for suffix, write in drawing.prints.items():
                    row[PRINT] = save(suffix, write)
                if num_explained < pages and drawing.view is not None:
                    content = page(drawing.view()).encode()
                    row["page"] = save(".html", partial(Path.write_bytes, data=content))
                num_explained += 1
            drawn.append(row)
        return drawn

    command = {"command": "attend", "model": fingerprint, "pages": pages, **drawer.settings}
    command["inputs"] = absolute_inputs(inputs)
    job = Job(
        table,
        columns,
        command,
        overwrite=overwrite,
        resume=resume and not table.exists(),  # the drawings of a table that is replaced are removed below
        compare_inputs=can_list_again(inputs),
        on_discard=lambda row: remove_drawings(folder, row, DRAWN),
    )
    with drawer.reader() as reader, job:
        if overwrite:
            remove_earlier(folder)
        job.run(
            lambda: drawer.list_inputs(inputs, [folder]),
            lambda entries: map(rows, reader.batches(entries)),
            counts,
            on_progress,
        )
        drawn = (row for row in job.rows() if row["overlay"])
        sheet = thumbnails((folder / row["overlay"] for row in islice(drawn, ON_SHEET)), SHEET_SIDE)
        if sheet:
            whole = contact_sheet(sheet, columns=min(drawer.columns, len(sheet)))
            whole.save(folder / SHEET, compress_level=COMPRESSION)
        shown = gallery(job.rows(), caption=drawer.title, labels=drawer.model.labels, count=counts.total())
        (folder / GALLERY).write_text(shown, encoding="utf-8")
        job.finish()
    return counts


def check_folder(inputs: list[str], folder: Path) -> None:
    """Refuse inputs that do not exist, and a folder that cannot hold the drawings.

    Raises:
        VitError: An input does not exist, or the folder is one of the inputs, or a file.
    """
    find_inputs(inputs)
    if any(os.path.abspath(name) == os.path.abspath(folder) for name in inputs):
        raise VitError(f"{folder} is input and output: give the overlays a folder of their own")
    if folder.exists() and not folder.is_dir():
        raise VitError(f"{folder} is a file, expected a folder for the overlays")


def remove_earlier(folder: Path) -> None:
    """Remove what an earlier job has written, by its own table."""
    table = folder / TABLE
    if not table.is_file():
        return
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        for row in csv.DictReader(stream):
            remove_drawings(folder, row, DRAWN)
    for name in (TABLE, FAITHFULNESS, SHEET, GALLERY):
        (folder / name).unlink(missing_ok=True)


def class_columns(model: Tower, logits: Tensor, target: Tensor | None) -> list[dict[str, Any]]:
    """Label and score of the predicted class, and the explained class, for each of B inputs.

    Args:
        model: Its labels may be empty; the classes of a language model are called by their tokens.
        logits: (B, classes)
        target: int64 (B,), the explained classes; None if the method explains none.
    """
    rows: list[dict[str, Any]] = [{} for _ in logits]
    labels = class_names(model)
    if labels:
        best = top_classes(probabilities(model, logits.cpu().float()), 1)
        scores, classes = (part[:, 0].tolist() for part in best)
        for row, index, score in zip(rows, classes, scores, strict=True):
            row |= {"label": labels[index], "score": round(score, 6)}
    if target is not None:
        for row, explained in zip(rows, target.tolist(), strict=True):
            row["explained"] = labels[explained] if labels else str(explained)
    return rows


def overlay_lines(row: Row, description: str) -> tuple[str, str]:
    """Title and caption of an overlay: label and score; path, map, and the class if it is not the label."""
    label, explained = row.get("label"), row.get("explained")
    title = f"{label} · {100 * row['score']:.0f} %" if label else ""
    for_class = f" · for {explained}" if explained not in (None, label) else ""
    return title, f"{row['path']} · {description}{for_class}"
