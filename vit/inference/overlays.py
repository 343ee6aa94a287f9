"""Overlays of a whole input: one PNG per picture, and one row per file."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePath

import torch
from PIL import Image

from vit.errors import VitError
from vit.inference.explain import explain
from vit.inference.files import Entry, list_files
from vit.inference.pictures import read_batches
from vit.inference.predict import top_classes
from vit.inference.table import Table
from vit.viewer import contact_sheet, overlay
from vit.vision import VisionTransformer

COLUMNS: dict[str, type] = {
    "path": str,
    "status": str,
    "error": str,
    "label": str,
    "score": float,
    "overlay": str,
}
SHEET_PICTURES = 12


def draw_overlays(
    model: VisionTransformer,
    inputs: list[str],
    folder: Path,
    *,
    method: str = "rollout",
    query: str | tuple[int, int] = "cls",
    batch_size: int = 16,
    side: int = 384,
    overwrite: bool = False,
    tell: Callable[[int], None] = lambda rows: None,
) -> Counter[str]:
    """Draw every picture of the inputs and return the number of files by status.

    Args:
        model: In eval mode, with `preprocess`.
        inputs: Files, folders, glob patterns.
        folder: Gets `NAME.png` for each input NAME (with the input's own folders), `attend.csv` with one row
            per file, and `sheet.png` with the first twelve overlays.
        method: See `vit.attend`.
        query: See `vit.attend`.
        batch_size: Pictures per forward pass.
        side: Pixels of a drawn picture's longer side.
        overwrite: Replace the overlays of an earlier run.
        tell: Called with the number of files after each batch.

    Raises:
        VitError: An input does not exist, or the folder holds an earlier run.
    """
    entries = list_files(inputs, without=[folder])
    if any(os.path.abspath(word) == os.path.abspath(folder) for word in inputs):
        raise VitError(f"{folder} is input and output: give the overlays a folder of their own")
    if folder.exists() and not folder.is_dir():
        raise VitError(f"{folder} is a file, expected a folder for the overlays")
    folder.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    sheet: list[Image.Image] = []
    where = query if isinstance(query, str) else f"patch {query[0]},{query[1]}"
    # Overlays are not continued behind an interruption but drawn anew: each of them is a file of its own.
    (folder / "attend.csv.partial").unlink(missing_ok=True)
    with Table(folder / "attend.csv", COLUMNS, {}, overwrite=overwrite) as table:
        for pictures in read_batches(
            entries, model.preprocess, batch_size, threads=max(os.cpu_count() or 1, 2)
        ):
            pixels = torch.stack([picture.pixels for picture in pictures])
            images = model.preprocess.normalise(pixels.to(next(model.parameters()).device))
            maps, logits, *_ = explain(model, images, method, None, query)
            scores, classes = (part[:, 0].tolist() for part in top_classes(logits.cpu(), 1))
            rows = []
            for picture, heat, score, index in zip(pictures, maps, scores, classes, strict=True):
                row = dict.fromkeys(COLUMNS)
                row |= {"path": picture.entry.name, "status": picture.status, "error": picture.error}
                if picture.window is not None:
                    label = model.labels[index] if model.labels else ""
                    title = f"{label}  {100 * score:.0f} %" if label else ""
                    caption = f"{picture.entry.name} · {method} from {where}"
                    drawn = overlay(picture.window, heat.cpu(), title=title, caption=caption, side=side)
                    target = folder / _target(picture.entry)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    drawn.save(target)
                    if len(sheet) < SHEET_PICTURES:
                        sheet.append(drawn)
                    row["overlay"] = str(target.relative_to(folder))
                    if label:
                        row |= {"label": label, "score": round(score, 6)}
                rows.append(row)
            table.write(rows)
            counts.update(picture.status for picture in pictures)
            tell(counts.total())
        table.finish()
    if sheet:
        contact_sheet(sheet, columns=min(2, len(sheet))).save(folder / "sheet.png")
    return counts


def _target(entry: Entry) -> Path:
    """Where an overlay goes: the input's name below the folder; `..` and the root become folders there."""
    parts = [{"..": "_up", "/": "_root"}.get(part, part) for part in PurePath(entry.name).parts]
    return Path(*parts[:-1], parts[-1] + ".png")
