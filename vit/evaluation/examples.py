"""The examples of a split as a report shows them: names, and a picture of each."""

import textwrap
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from PIL import Image, ImageDraw
from torchvision.transforms.v2.functional import to_pil_image

from vit.data.images import Batch, Images
from vit.data.texts import TokenizedTexts
from vit.data.windows import NextTokens
from vit.viewer.fonts import font, one_line

CARD = (360, 270)  # pixels of a drawn text
LINE_CELLS, LINES = 32, 9  # of a card: letters per line, lines


class Examples:
    """One split of a dataset, or several one after the other, in the order in which they are evaluated.

    Args:
        parts: Images or texts.
    """

    def __init__(self, *parts: Images | TokenizedTexts | NextTokens):
        self.parts: Sequence[Images | TokenizedTexts | NextTokens] = parts
        self.ends = list(accumulate(len(part.names) for part in parts))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Batch:
        """One example, as a batch: its input, its class, and its index in its part."""
        part, local = self._locate(index)
        return part[[local]]

    @property
    def names(self) -> list[str]:
        """Name of each example."""
        return [name for part in self.parts for name in part.names]

    @property
    def noun(self) -> str:
        """What they are, in the plural."""
        return "texts" if any(hasattr(part, "texts") for part in self.parts) else "pictures"

    @property
    def count(self) -> str:
        """How many of what, as `1,000 pictures`."""
        n = len(self)
        return f"{n:,} {self.noun if n != 1 else self.noun.removesuffix('s')}"

    def picture(self, index: int) -> Image.Image:
        """The image itself, or the text drawn on a card."""
        part, local = self._locate(index)
        if isinstance(part, TokenizedTexts | NextTokens):
            return _card(part.texts[local])
        return to_pil_image(part[[local]][0][0])

    def _locate(self, index: int) -> tuple[Images | TokenizedTexts | NextTokens, int]:
        """The part that an example is in, and its index there."""
        number = bisect_right(self.ends, index)
        part = self.parts[number]
        return part, index - (self.ends[number] - len(part.names))


def _card(text: str) -> Image.Image:
    card = Image.new("RGB", CARD, (246, 247, 248))
    lines = textwrap.wrap(one_line(text), LINE_CELLS)[:LINES]
    letters = font(20, "".join(lines))
    ImageDraw.Draw(card).multiline_text((14, 12), "\n".join(lines), (34, 38, 44), letters, spacing=7)
    return card
