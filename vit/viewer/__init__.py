"""Maps and pictures in, pictures to look at out. Knows no model: tensors and PIL pictures are all it sees."""

from vit.viewer.overlay import colour, overlay
from vit.viewer.sheet import contact_sheet

__all__ = ["colour", "contact_sheet", "overlay"]
