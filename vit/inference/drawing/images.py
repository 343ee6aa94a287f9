"""Overlays and pages of images."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from vit.attribution.explain import Explanation, explain
from vit.attribution.mass import attention_mass, attention_received, sink_patches
from vit.attribution.roster import METHODS
from vit.data.preprocess import Box
from vit.evaluation.faithfulness import FIELDS, Faithfulness
from vit.inference.drawing.draw import FAITHFULNESS, PRINT, Drawing, Request, class_columns, overlay_lines
from vit.inference.page import view_of
from vit.inference.reading import read_image
from vit.inputs.files import Entry, list_files
from vit.inputs.images import DecodedImage, ImageReader, to_image
from vit.viewer.figure.layout import figure
from vit.viewer.figure.look import DEFAULT, Look
from vit.viewer.figure.parts import Drawing as Figure
from vit.viewer.figure.raster import raster
from vit.viewer.figure.vector import save_vector
from vit.viewer.fonts import print_font


class ImageDrawer:
    """Explains images in batches; a `vit.inference.drawing.draw.Drawer`.

    Args:
        model: In eval mode, with `preprocess`.
        request: What is to be explained.
        caption: The model's name, for the pages.
        batch_size: Images per forward pass.
        look: How overlays are drawn.
        vectors: Also as `svg` or `pdf`; None: as PNG alone.
        figures: Gets the maps, to measure how faithful they are.
    """

    def __init__(
        self,
        model: Any,
        request: Request,
        *,
        caption: str = "",
        batch_size: int = 16,
        look: Look = DEFAULT,
        vectors: str | None = None,
        figures: Faithfulness | None = None,
    ):
        self.model, self.request, self.caption = model, request, caption
        self.batch_size, self.look, self.vectors, self.figures = batch_size, look, vectors, figures
        self.columns = 2 if look.style == "side" else 3
        self.own_columns = [PRINT] if vectors else []
        self.device = next(model.parameters()).device
        self.target: int | None = None
        self.description = request.describe("patch")
        self.title = " · ".join(filter(None, (caption, self.description)))
        self.settings = {**vars(request), **vars(look), "vectors": vectors, "batch_size": batch_size}

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
        model = self.model
        return ImageReader(model.preprocess, self.batch_size, device=self.device, shown=self.look.side)

    def list_inputs(self, inputs: list[str], exclude: list[Path]) -> Iterable[Entry]:
        """Every file below the inputs."""
        return list_files(inputs, exclude=exclude)

    def drawings(self, batch: list[DecodedImage], num_explained: int) -> Iterator[Drawing]:
        """Explain a batch. Files that could not be decoded keep their place, so that no other map changes."""
        model, request = self.model, self.request
        images = model.preprocess.normalise(torch.stack([item.pixels for item in batch]).to(self.device))
        found = explain(model, images, request.method, self.target, request.query, **request.options)
        sinks = sink_patches(attention_received(model, images))
        for index, (item, facts) in enumerate(zip(batch, self._facts(found, sinks), strict=True)):
            row = {"path": item.name, "status": item.status, "error": item.error}
            if item.status != "ok":
                yield Drawing(row)
                continue
            yield self._drawing(item, row | facts, images[index], found.maps[index], sinks[index])
        good = [index for index, item in enumerate(batch) if item.status == "ok"]
        if self.figures is not None and good:
            targets = found.logits.argmax(1) if found.targets is None else found.targets
            maps = {request.method: found.maps[good]}
            self.figures.add(images[good], targets[good], maps, num_explained)

    def _drawing(
        self,
        item: DecodedImage,
        row: dict[str, Any],
        image: torch.Tensor,
        heat: torch.Tensor,
        sinks: torch.Tensor,
    ) -> Drawing:
        request = self.request
        patch = None if isinstance(request.query, str) else request.query
        token = None
        if patch is not None:
            token = self.model.prefix + patch[0] * heat.shape[1] + patch[1]
        title, caption = overlay_lines(row, self.description)
        start = request.page_start(self.description, heat, row.get("explained"))
        whole, seen = self._shown(item, heat)

        def drawn(**options: Any) -> Figure:
            return figure(
                whole,
                heat.cpu(),
                title=title,
                caption=caption,
                mark=patch,
                seen=seen,
                sinks=sinks.view(heat.shape),
                percent=METHODS[request.method].is_attention,
                look=self.look,
                **options,
            )

        def write(file: Path) -> None:
            save_vector(drawn(face=print_font), file)

        return Drawing(
            row,
            lambda: raster(drawn()),
            lambda: view_of(
                read_image(self.model, image, whole if seen is None else cropped(whole, seen)),
                name=item.name,
                caption=self.caption,
                target=self.target,
                query=token,
                **start,
            ),
            prints={f".{self.vectors}": write} if self.vectors else {},
        )

    def _shown(self, item: DecodedImage, heat: torch.Tensor) -> tuple[Image.Image, Box | None]:
        """The whole picture, and the part of it that the patches cover, in its pixels."""
        if item.shown is None:
            return to_image(item.pixels), None
        picture, height, width = item.shown
        preprocess, (rows, cols) = self.model.preprocess, heat.shape
        left, top, right, bottom = preprocess.seen(height, width)
        # A tower may leave out the pixels after the last whole patch.
        patch_height, patch_width = self.model.patch_size
        right = left + (right - left) * cols * patch_width / preprocess.width
        bottom = top + (bottom - top) * rows * patch_height / preprocess.height
        across, down = picture.shape[1] / width, picture.shape[0] / height
        return Image.fromarray(picture), Box(left * across, top * down, right * across, bottom * down)

    def _facts(self, found: Explanation, sinks: torch.Tensor) -> list[dict[str, Any]]:
        """The columns of each image of a batch that follow from its explanation and sinks (B, patches)."""
        model = self.model
        rows = class_columns(model, found.logits, found.targets)
        for row, count in zip(rows, sinks.sum(1).tolist(), strict=True):
            row["sinks"] = count
        if found.outliers is None or found.tokens is None:
            return rows
        for row, count in zip(rows, found.outliers.sum(1).tolist(), strict=True):
            row["outliers"] = count
        if not METHODS[self.request.method].is_attention:
            return rows
        has_class_token = "class" in model.prefix_names
        mass = attention_mass(found.tokens, model.prefix, has_class_token, found.outliers, sinks)
        kinds = {"class_mass": "class", "register_mass": "registers", "outlier_mass": "outliers"}
        kinds["sink_mass"] = "sinks"
        if not has_class_token:
            del kinds["class_mass"]
        if model.prefix == has_class_token:
            del kinds["register_mass"]
        for column, kind in kinds.items():
            for row, share in zip(rows, mass[kind].tolist(), strict=True):
                row[column] = round(share, 6)
        return rows


def cropped(picture: Image.Image, box: Box) -> Image.Image:
    """A part of a picture, at least one pixel of it."""
    left, top = (max(0, round(edge)) for edge in box[:2])
    right, bottom = max(left + 1, round(box.right)), max(top + 1, round(box.bottom))
    return picture.crop((left, top, right, bottom))


def write_faithfulness(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows of `Faithfulness` to `faithfulness.csv`."""
    columns = [name for name in FIELDS if name != "shuffled"]
    with (folder / FAITHFULNESS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
