"""The overlay of an image as pixels: the picture, and beside it its map in colors."""

from PIL import Image
from torch import Tensor

from vit.viewer.figure.layout import figure
from vit.viewer.figure.look import ENLARGED, SMALLEST_SIDE, Look
from vit.viewer.figure.panel import CRISP_FROM, MUTED
from vit.viewer.figure.raster import raster

STRENGTH = 0.66  # of the page: share of the heat's color in the mixture; the rest is the grey image
__all__ = ["CRISP_FROM", "MUTED", "SMALLEST_SIDE", "STRENGTH", "overlay"]


def overlay(
    picture: Image.Image,
    heat: Tensor,
    *,
    title: str = "",
    caption: str = "",
    side: int = ENLARGED,
    mark: tuple[int, int] | None = None,
) -> Image.Image:
    """Draw `picture`, and beside it `heat` laid over its grey copy, with a color bar and two lines of text.

    Arguments and errors are those of `vit.viewer.figure.layout.figure`. There is room for one line of a
    legend, so that the overlays of one picture all have the same size.

    Returns:
        An image RGB.
    """
    look = Look(side=side)
    return raster(figure(picture, heat, title=title, caption=caption, mark=mark, look=look, lines=1))
