"""How overlays are drawn: the styles, and what can be chosen beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from vit.errors import VitError
from vit.viewer.colors import color
from vit.viewer.figure.heat import Colors, mask_colors, over_colors, side_colors
from vit.viewer.figure.panel import calm, muted

SMALLEST_SIDE = 96  # pixels; below it no text is legible
ENLARGED = 384  # pixels of the longest side up to which small pictures are enlarged
SINKS = ("keep", "set-apart")


class Style(NamedTuple):
    """How a map is drawn.

    Args:
        treat: The picture below it.
        colors: Of its values; None: none.
        bar: The same for the color bar; None: no bar.
    """

    treat: Callable[[Image.Image], Image.Image]
    colors: Colors | None
    bar: Colors | None


def _plain(image: Image.Image) -> Image.Image:
    return image


def _opaque(values: Tensor) -> np.ndarray:
    colors = color(values).numpy()
    return np.concatenate([colors, np.full_like(colors[..., :1], 255)], -1)


STYLES = {
    "side": Style(muted, side_colors, _opaque),
    "over": Style(calm, over_colors, over_colors),
    "contour": Style(_plain, None, None),
    "mask": Style(_plain, mask_colors, mask_colors),
}


@dataclass(frozen=True)
class Look:
    """How overlays are drawn.

    Args:
        style: `side`: the picture, and beside it the map in colors over its grey copy; the others are one
            panel each. `over`: colors over the picture, the more transparent the lower the value. `contour`:
            lines around the highest 10 % and 25 % of the patches. `mask`: the picture as bright as the value.
        side: Longest side of a panel in pixels, at least 96; a larger picture is made smaller. A smaller one
            keeps its size, or is enlarged up to 384 pixels.
        smooth: Whether values are interpolated between patches (bicubic); otherwise each patch has one color.
        sinks: `keep`: sinks are marked. `set-apart`: they also have no color, and the range of colors leaves
            them out.

    Raises:
        VitError: A value is out of range.
    """

    style: str = "side"
    side: int = 768
    smooth: bool = False
    sinks: str = "keep"

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise VitError(f"style is {self.style!r}, expected one of: {', '.join(STYLES)}")
        if self.sinks not in SINKS:
            raise VitError(f"sinks is {self.sinks!r}, expected one of: {', '.join(SINKS)}")
        if self.side < SMALLEST_SIDE:
            raise VitError(
                f"overlay has side={self.side} pixels, expected at least {SMALLEST_SIDE} "
                "so that text is legible"
            )


DEFAULT = Look()
