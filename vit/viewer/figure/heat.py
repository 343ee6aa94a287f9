"""A map over a picture: colors by value, square patches or smoothed, and contours of the highest values."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vit.viewer.colors import color
from vit.viewer.figure.panel import EDGE, Panel
from vit.viewer.figure.parts import RGBA, Cells, Part, Picture, Shape
from vit.viewer.scale import Scale

# The contours of `contour`: share of the patches inside, color, width in strokes.
CONTOURS: tuple[tuple[float, RGBA, float], ...] = (
    (0.25, (255, 255, 255, 255), 1.0),
    (0.1, (255, 196, 0, 255), 1.5),
)


def side_colors(values: Tensor) -> np.ndarray:
    """Of values (...) in [0, 1] over a grey picture: RGBA (..., 4), more opaque where they are higher."""
    return _with_alpha(values, 0.5 + 0.26 * values)


def over_colors(values: Tensor) -> np.ndarray:
    """The same over a colored picture: transparent at 0."""
    return _with_alpha(0.3 + 0.7 * values, 0.82 * values)


def mask_colors(values: Tensor) -> np.ndarray:
    """A shadow, weaker where values are higher: at 1 the picture is as it is."""
    shadow = torch.zeros(*values.shape, 4)
    shadow[..., 3] = 0.85 * (1 - values)
    return (shadow * 255).round().byte().numpy()


Colors = Callable[[Tensor], np.ndarray]


def heat_parts(
    colors: Colors, scale: Scale, panel: Panel, x: float, y: float, *, clear: np.ndarray, smooth: bool
) -> Iterator[Part]:
    """The map on the panel at (x, y), as cells or as an image.

    Args:
        colors: Of its values.
        scale: The map.
        panel: Where its patches are.
        x: Of the panel, as `y`.
        y: See `x`.
        clear: bool (rows, cols), cells without a color.
        smooth: Whether it is interpolated between patches.
    """
    columns, rows = panel.edges(*scale.values.shape)
    if not smooth:
        cells = colors(scale.values)
        cells[clear, 3] = 0
        yield Cells(cells, columns + x, rows + y)
        return
    (left, right), (top, bottom) = ((round(edges[0]), round(edges[-1])) for edges in (columns, rows))
    width, height = max(right - left, 1), max(bottom - top, 1)
    pixels = colors(smoothed(scale, clear, height, width))
    at = np.ix_(_cell_of(rows, top, height), _cell_of(columns, left, width))
    pixels[..., 3][clear[at]] = 0
    yield Picture(Image.fromarray(pixels), round(x) + left, round(y) + top, width, height)


def smoothed(scale: Scale, clear: np.ndarray, height: int, width: int) -> Tensor:
    """Bicubic interpolation between patches: float32 (height, width), in [0, 1].

    The outer edges of grid and picture are aligned, so that cell centres fall on patch centres. A cell
    without a color, of `clear` (rows, cols), takes the mean of the others around it.
    """
    values = scale.values
    counts = torch.from_numpy(~clear).float()[None, None]
    if 0 < counts.sum() < counts.numel():
        total, number = (F.avg_pool2d(part, 3, 1, 1) for part in (values * counts, counts))
        around = torch.where(number > 0, total / number.clamp(min=1e-6), values[~clear].mean())
        values = torch.where(counts > 0, values, around)[0, 0]
    return F.interpolate(values[None, None], (height, width), mode="bicubic").clamp(0, 1)[0, 0]


def contour_parts(
    scale: Scale, panel: Panel, x: float, y: float, stroke: float, *, smooth: bool
) -> Iterator[Part]:
    """Lines around the shares `CONTOURS` of the patches with the highest values, each with a dark edge."""
    left, top, right, bottom = panel.window
    rows, cols = scale.values.shape
    factor = np.array([(right - left) / cols, (bottom - top) / rows])

    def placed(points: np.ndarray, width: float) -> np.ndarray:
        """In pixels, and nowhere wider than the grid."""
        inset = width / 2 + 1
        inside = np.clip(points * factor, inset, (right - left - inset, bottom - top - inset))
        return np.add(inside, (x + left, y + top))

    lines = [
        (placed(points, thickness * stroke), ink, thickness * stroke)
        for share, ink, thickness in CONTOURS
        for points in (_curves(scale, share) if smooth else _outlines(_highest(scale, share)))
    ]
    for points, _, thickness in lines:
        yield Shape(points, line=EDGE, width=thickness + 2)
    for points, ink, thickness in lines:
        yield Shape(points, line=ink, width=thickness)


def _with_alpha(values: Tensor, alpha: Tensor) -> np.ndarray:
    opacity = (alpha * 255).round().byte()[..., None]
    return torch.cat([color(values), opacity], -1).numpy()


def _cell_of(edges: np.ndarray, start: int, count: int) -> np.ndarray:
    """The cell of each of `count` pixels from `start` on, by its centre."""
    return np.clip(np.searchsorted(edges, start + np.arange(count) + 0.5) - 1, 0, len(edges) - 2)


def _highest(scale: Scale, share: float) -> np.ndarray:
    """bool (rows, cols), at most `share` of the cells, with the highest values, and none with the lowest."""
    values = np.where(scale.apart.numpy(), -1, scale.values.numpy())
    count = round(share * (~scale.apart).sum().item())
    order = np.argsort(-values, axis=None, kind="stable")[:count]
    highest = np.zeros(values.size, dtype=bool)
    highest[order] = True
    return highest.reshape(values.shape) & (values > scale.values.min().item())


def _curves(scale: Scale, share: float, fine: int = 8) -> Iterator[np.ndarray]:
    """Lines around `share` of the area of the smoothed map, in cells, each (n, 2)."""
    from contourpy import contour_generator

    rows, cols = scale.values.shape
    field = smoothed(scale, scale.apart.numpy(), rows * fine, cols * fine).numpy()
    level = np.quantile(field, 1 - share)
    if level <= field.min():
        return
    # A border of the lowest value closes the lines at the edges.
    closed = np.pad(field, 1, constant_values=field.min())
    x, y = (np.r_[0, (np.arange(count * fine) + 0.5) / fine, count] for count in (cols, rows))
    for points in contour_generator(x=x, y=y, z=closed).lines(level):
        yield np.asarray(points)


def _outlines(inside: np.ndarray) -> Iterator[np.ndarray]:
    """Closed lines along the edges of the cells (rows, cols) that are inside, in cells, each (n, 2)."""
    padded = np.pad(inside, 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, col in np.argwhere(inside).tolist():
        sides = (
            (padded[row, col + 1], (col, row), (col + 1, row)),
            (padded[row + 1, col + 2], (col + 1, row), (col + 1, row + 1)),
            (padded[row + 2, col + 1], (col + 1, row + 1), (col, row + 1)),
            (padded[row + 1, col], (col, row + 1), (col, row)),
        )
        for covered, start, end in sides:
            if not covered:
                following.setdefault(start, []).append(end)
    while following:
        line = [next(iter(following))]
        while ends := following.get(line[-1]):
            line.append(ends.pop())
            if not ends:
                del following[line[-2]]
        yield np.array(line[:-1], dtype=float)
