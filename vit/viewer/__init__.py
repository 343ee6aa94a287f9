"""Attribution maps drawn: PNG overlays and interactive HTML pages, from tensors and PIL images alone."""

from vit.viewer.colors import color
from vit.viewer.overlay import overlay
from vit.viewer.page import page
from vit.viewer.sheet import contact_sheet
from vit.viewer.text import text_overlay
from vit.viewer.view import Start, View

__all__ = ["Start", "View", "color", "contact_sheet", "overlay", "page", "text_overlay"]
