"""Maps and pictures in, pictures to look at out. Knows no model: tensors and PIL pictures are all it sees."""

from vit.viewer.overlay import colour, overlay
from vit.viewer.page import Start, View, page
from vit.viewer.sheet import contact_sheet
from vit.viewer.text import text_overlay

__all__ = ["Start", "View", "colour", "contact_sheet", "overlay", "page", "text_overlay"]
