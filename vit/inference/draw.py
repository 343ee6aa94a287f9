"""Overlays of a whole input: a PNG and a page for each picture, a row for each file, and figures."""

import csv
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

import torch
from PIL import Image

from vit.attribution.explain import Explanation, explain
from vit.attribution.mass import attention_mass
from vit.attribution.query import Query, parse_query
from vit.errors import VitError
from vit.evaluation.faithfulness import FIELDS, Faithfulness
from vit.inference.page import OF_A_CLASS, view_of
from vit.inference.predict import top_classes
from vit.inputs.files import find_inputs
from vit.inputs.images import Picture
from vit.inputs.readers import PictureReader, same_inputs
from vit.jobs.job import Job, ProgressCallback, job_folder
from vit.jobs.table import Row
from vit.viewer import contact_sheet, overlay, page
from vit.vision import VisionTransformer

COLUMNS: dict[str, type] = {
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
    "overlay": str,
    "page": str,
}
TABLE = "attend.csv"
SHEET = "sheet.png"
LONGEST = 255  # bytes of a file's name
FIRST = 12  # pictures on the sheet, and pages unless somebody asks for more


def draw_overlays(
    model: VisionTransformer,
    inputs: list[str],
    folder: Path,
    *,
    method: str = "rollout",
    target: str | None = None,
    query: str | tuple[int, int] = "cls",
    options: Mapping[str, Any] | None = None,
    pages: int = FIRST,
    figures: Faithfulness | None = None,
    batch_size: int = 16,
    side: int = 384,
    overwrite: bool = False,
    caption: str = "",
    fingerprint: str = "",
    tell: ProgressCallback = lambda progress: None,
) -> Counter[str]:
    """Draw every picture of the inputs and return the number of files by status.

    An interrupted run goes on behind the shards it finished, as `vit.inference.predict` does; with `figures`,
    which are of all pictures, it starts over.

    Args:
        model: In eval mode, with `preprocess`.
        inputs: Files, folders, glob patterns.
        folder: Gets `NAME.png` for each input NAME (with the input's own folders), `NAME.html` for the first
            of them, `attend.csv` with one row per file, `sheet.png` with the first twelve overlays, and
            `faithfulness.csv` where figures are asked for.
        method: See `vit.attend`.
        target: Label or index of the class to explain; None: the one predicted for each picture.
        query: See `vit.attend`.
        options: Of the method, see `vit.attend`.
        pages: Number of pictures that get an interactive page.
        figures: Gets the maps, to say how faithful they are, and is written to `faithfulness.csv`.
        batch_size: Pictures per forward pass.
        side: Pixels of a drawn picture's longer side.
        overwrite: Replace the overlays of an earlier run.
        caption: The model's name, for the pages.
        fingerprint: What the model is; a run that another model began is not continued.
        tell: Called with how far the work is after each batch.

    Raises:
        VitError: An input does not exist, the folder holds an earlier run, or the model cannot serve what
            is asked.
    """
    find_inputs(inputs)  # refuse what does not exist before anything is written
    if any(os.path.abspath(word) == os.path.abspath(folder) for word in inputs):
        raise VitError(f"{folder} is input and output: give the overlays a folder of their own")
    if folder.exists() and not folder.is_dir():
        raise VitError(f"{folder} is a file, expected a folder for the overlays")
    options = dict(options or {})
    query = parse_query(query)
    device = next(model.parameters()).device
    index = _try(model, method, target, query, options)
    if overwrite:
        remove_earlier(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    words = map_words(method, query, options)

    def draw(batch: list[Picture]) -> list[Row]:
        # Pictures that could not be read keep their place, so that their neighbours' maps stay the same.
        pixels = torch.stack([picture.pixels for picture in batch])
        images = model.preprocess.normalise(pixels.to(device))
        found = explain(model, images, method, index, query, **options)
        rows = []
        good: list[int] = []
        for place, (picture, facts) in enumerate(zip(batch, _facts(model, found), strict=True)):
            row = _row(picture)
            rows.append(row)
            if picture.window is None:
                continue
            row |= facts
            drawn = _draw(picture.window, row, found.maps[place], words, query, side)
            row["overlay"] = save_beside(folder, picture.name, ".png", drawn.save)
            if counts["ok"] + len(good) < pages:
                view = view_of(
                    model,
                    images[place],
                    picture.window,
                    name=picture.entry.name,
                    caption=caption,
                    target=index,
                    query=query,
                    **page_start(method, words, found.maps[place], options, row["explained"]),
                )
                row["page"] = save_beside(folder, picture.name, ".html", writer(page(view)))
            good.append(place)
        if figures is not None and good:
            targets = found.logits.argmax(1) if found.targets is None else found.targets
            figures.add(images[good], targets[good], {method: found.maps[good]}, counts["ok"])
        return rows

    asked: dict[str, Any] = {
        "method": method,
        "target": target,
        "query": query,
        "options": options,
        "side": side,
    }
    asked |= {"pages": pages, "batch_size": batch_size, "inputs": same_inputs(inputs)}
    command = {"command": "attend", "model": fingerprint, **asked}
    if figures is not None:
        shutil.rmtree(job_folder(folder / TABLE), ignore_errors=True)
    reader = PictureReader(model, batch_size)
    with reader, Job(folder / TABLE, COLUMNS, command, overwrite=overwrite) as work:
        work.run(
            lambda: reader.entries(inputs, without=[folder]),
            lambda entries: map(draw, reader.batches(reader.restored(entries))),
            counts,
            tell,
        )
        draw_sheet(work, folder, columns=2)
        work.finish()
    if figures is not None:
        _write_figures(folder / "faithfulness.csv", figures.rows())
    return counts


def draw_sheet(work: Job, folder: Path, *, columns: int) -> None:
    """Put the first overlays on a sheet."""
    rows = (row for number in range(work.number) for row in work.rows(number) if row["overlay"])
    sheet = [Image.open(folder / row["overlay"]) for row in islice(rows, FIRST)]
    if sheet:
        contact_sheet(sheet, columns=min(columns, len(sheet))).save(folder / SHEET)


def _try(
    model: VisionTransformer,
    method: str,
    target: str | None,
    query: Query,
    options: Mapping[str, Any],
) -> int | None:
    """Explain a blank picture, so that what cannot be served is refused before anything is written.

    Return the index of the target.
    """
    preprocess = model.preprocess
    blank = torch.zeros(1, preprocess.channels, preprocess.height, preprocess.width)
    few = dict(options)
    if few.get("samples", 0) > 1:
        few["samples"] = 1
    found = explain(model, blank.to(next(model.parameters()).device), method, target, query, **few)
    return None if target is None or found.targets is None else int(found.targets[0])


def remove_earlier(folder: Path) -> None:
    """Remove what an earlier run has written, by its own list."""
    table = folder / TABLE
    if not table.is_file():
        return
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        for row in csv.DictReader(stream):
            for name in (row.get("overlay"), row.get("page")):
                if name and ".." not in PurePath(name).parts and not PurePath(name).is_absolute():
                    (folder / name).unlink(missing_ok=True)
    for name in (TABLE, "faithfulness.csv", SHEET):
        (folder / name).unlink(missing_ok=True)


def page_start(
    method: str, words: str, heat: torch.Tensor, options: Mapping[str, Any], explained: str | None
) -> dict[str, Any]:
    """What a page opens on, so that it shows first what the overlay shows."""
    if method == "rollout":
        return dict(options)
    if method == "raw":
        return {"layer": -1, **options}
    # Under its bare name a quick method has a map for each class on the page; others have the one asked for.
    return {"asked": (words if words in OF_A_CLASS else f"{words}, for {explained}", heat)}


def map_words(method: str, query: Query, options: Mapping[str, Any], *, texts: bool = False) -> str:
    """`raw, layer 2, from patch 3,4`: what a caption says of the map."""
    if isinstance(query, str):
        where = "from the mean"
    else:
        where = f"from word {query[1]}" if texts else f"from patch {query[0]},{query[1]}"
    parts = [method, *(f"{name} {value}" for name, value in options.items())]
    return ", ".join(parts if query == "cls" else [*parts, where])


def _row(picture: Picture) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    return row | {"path": picture.entry.name, "status": picture.status, "error": picture.error}


def _facts(model: VisionTransformer, found: Explanation) -> list[dict[str, Any]]:
    """What a row says of each picture of a batch, besides where its overlay went."""
    rows: list[dict[str, Any]] = [{} for _ in found.maps]
    if model.labels:
        scores, classes = (part[:, 0].tolist() for part in top_classes(found.logits.cpu(), 1))
        for row, label, value in zip(rows, classes, scores, strict=True):
            row |= {"label": model.labels[label], "score": round(value, 6)}
    if found.targets is not None:
        for row, explained in zip(rows, found.targets.tolist(), strict=True):
            row["explained"] = model.labels[explained] if model.labels else str(explained)
    if found.outliers is not None:
        for row, count in zip(rows, found.outliers.sum(1).tolist(), strict=True):
            row["outliers"] = count
    if found.targets is None and found.tokens is not None and found.outliers is not None:
        mass = attention_mass(found.tokens, model.prefix, model.class_token is not None, found.outliers)
        registers = model.prefix - (model.class_token is not None)
        for column, kind, exists in (
            ("class_mass", "class", model.class_token is not None),
            ("register_mass", "registers", registers > 0),
            ("outlier_mass", "outliers", True),
        ):
            if not exists:
                continue
            for row, value in zip(rows, mass[kind].tolist(), strict=True):
                row[column] = round(value, 6)
    return rows


def _draw(
    window: Image.Image,
    row: Mapping[str, Any],
    heat: torch.Tensor,
    words: str,
    query: Query,
    side: int,
) -> Image.Image:
    title = f"{row['label']} · {100 * row['score']:.0f} %" if row["label"] else ""
    of_class = f" · for {row['explained']}" if row["explained"] not in (None, row["label"]) else ""
    return overlay(
        window,
        heat.cpu(),
        title=title,
        caption=f"{row['path']} · {words}{of_class}",
        side=side,
        mark=None if isinstance(query, str) else query,
    )


def save_beside(folder: Path, name: str, suffix: str, save: Callable[[Path], Any]) -> str:
    """Save below the input's name; `..` and the root become folders there. Return the path in the folder."""
    parts = [{"..": "_up", "/": "_root"}.get(part, part) for part in PurePath(name).parts]
    path = folder / Path(*parts[:-1], _file_name(parts[-1], suffix))
    if path == folder / SHEET:
        path = folder / f"_{SHEET}"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path)
    return str(path.relative_to(folder))


def _file_name(name: str, suffix: str) -> str:
    """The name with its suffix; if no disk would take it, cut, with a digest in place of the rest."""
    whole = os.fsencode(name + suffix)
    if len(whole) <= LONGEST:
        return name + suffix
    digest = sha256(os.fsencode(name)).hexdigest()[:12]
    kept = whole[: LONGEST - len(digest) - len(suffix) - 1].decode(errors="ignore")
    return f"{kept}~{digest}{suffix}"


def writer(text: str) -> Callable[[Path], Any]:
    """What saves a text to a path."""
    return lambda path: path.write_text(text, encoding="utf-8")


def _write_figures(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(
            stream, [name for name in FIELDS if name != "shuffled"], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
