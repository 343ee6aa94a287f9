"""Overlays and pages of images."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from vit.attribution.explain import Explanation, explain
from vit.attribution.mass import attention_mass
from vit.attribution.roster import METHODS
from vit.evaluation.faithfulness import FIELDS, Faithfulness
from vit.inference.draw import FAITHFULNESS, Drawing, Request, class_columns, overlay_lines
from vit.inference.page import view_of
from vit.inference.reading import read_image
from vit.inputs.files import Entry, list_files
from vit.inputs.images import DecodedImage, ImageReader, to_image
from vit.viewer import overlay


class ImageDrawer:
    """Explains images in batches; a `vit.inference.draw.Drawer`.

    Args:
        model: In eval mode, with `preprocess`.
        request: What is to be explained.
        caption: The model's name, for the pages.
        batch_size: Images per forward pass.
        side: Pixels of an overlay's longer side.
        figures: Gets the maps, to measure how faithful they are.
    """

    columns = 2
    own_columns = ()

    def __init__(
        self,
        model: Any,
        request: Request,
        *,
        caption: str = "",
        batch_size: int = 16,
        side: int = 384,
        figures: Faithfulness | None = None,
    ):
        self.model, self.request, self.caption = model, request, caption
        self.batch_size, self.side, self.figures = batch_size, side, figures
        self.device = next(model.parameters()).device
        self.target: int | None = None
        self.description = request.describe("patch")
        self.settings = {**vars(request), "side": side, "batch_size": batch_size}

    def check(self) -> None:
        """Explain a blank image, with as few samples as possible, and note the index of the target."""
        preprocess, request = self.model.preprocess, self.request
        blank = torch.zeros(1, preprocess.channels, preprocess.height, preprocess.width, device=self.device)
        options = dict(request.options)
        if options.get("samples", 0) > 1:
            options["samples"] = 1
        found = explain(self.model, blank, request.method, request.target, request.query, **options)
        if request.target is not None and found.targets is not None:
            self.target = int(found.targets[0])

    def reader(self) -> ImageReader:
        """Decodes files in parallel."""
        return ImageReader(self.model.preprocess, self.batch_size, device=self.device)

    def list_inputs(self, inputs: list[str], exclude: list[Path]) -> Iterable[Entry]:
        """Every file below the inputs."""
        return list_files(inputs, exclude=exclude)

    def drawings(self, batch: list[DecodedImage], num_explained: int) -> Iterator[Drawing]:
        """Explain a batch. Files that could not be decoded keep their place, so that no other map changes."""
        model, request = self.model, self.request
        images = model.preprocess.normalise(torch.stack([item.pixels for item in batch]).to(self.device))
        found = explain(model, images, request.method, self.target, request.query, **request.options)
        for index, (item, facts) in enumerate(zip(batch, self._facts(found), strict=True)):
            row = {"path": item.name, "status": item.status, "error": item.error}
            if item.status != "ok":
                yield Drawing(row)
                continue
            yield self._drawing(item, row | facts, images[index], found.maps[index])
        good = [index for index, item in enumerate(batch) if item.status == "ok"]
        if self.figures is not None and good:
            targets = found.logits.argmax(1) if found.targets is None else found.targets
            maps = {request.method: found.maps[good]}
            self.figures.add(images[good], targets[good], maps, num_explained)

    def _drawing(
        self, item: DecodedImage, row: dict[str, Any], image: torch.Tensor, heat: torch.Tensor
    ) -> Drawing:
        request, picture = self.request, to_image(item.pixels)
        patch = None if isinstance(request.query, str) else request.query
        token = None
        if patch is not None:
            token = self.model.prefix + patch[0] * heat.shape[1] + patch[1]
        title, caption = overlay_lines(row, self.description)
        start = request.page_start(self.description, heat, row.get("explained"))
        return Drawing(
            row,
            lambda: overlay(picture, heat.cpu(), side=self.side, title=title, caption=caption, mark=patch),
            lambda: view_of(
                read_image(self.model, image, picture),
                name=item.name,
                caption=self.caption,
                target=self.target,
                query=token,
                **start,
            ),
        )

    def _facts(self, found: Explanation) -> list[dict[str, Any]]:
        """The columns of each image of a batch that follow from its explanation."""
        model = self.model
        rows = class_columns(model, found.logits, found.targets)
        if found.outliers is None or found.tokens is None:
            return rows
        for row, count in zip(rows, found.outliers.sum(1).tolist(), strict=True):
            row["outliers"] = count
        if not METHODS[self.request.method].is_attention:
            return rows
        has_class_token = "class" in model.prefix_names
        mass = attention_mass(found.tokens, model.prefix, has_class_token, found.outliers)
        kinds = {"class_mass": "class", "register_mass": "registers", "outlier_mass": "outliers"}
        if not has_class_token:
            del kinds["class_mass"]
        if model.prefix == has_class_token:
            del kinds["register_mass"]
        for column, kind in kinds.items():
            for row, share in zip(rows, mass[kind].tolist(), strict=True):
                row[column] = round(share, 6)
        return rows


def write_faithfulness(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows of `Faithfulness` to `faithfulness.csv`."""
    columns = [name for name in FIELDS if name != "shuffled"]
    with (folder / FAITHFULNESS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
