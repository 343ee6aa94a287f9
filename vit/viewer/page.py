"""One HTML file in which to explore a transformer's attention; it needs no network and no server.

      ┌──────────┐ ┌──────────────────────┐ ┌────────────────┐
      │   heat   │ │ picture  row  column │ │ layers x heads │
      │  (lines, │ │ classes              │ │  of thumbnails │
      │  matrix) │ │ methods side by side │ │ fusion discard │
      └──────────┘ └──────────────────────┘ └────────────────┘

Python writes the weights (one byte each), the maps that need gradients, and all text into the file.
JavaScript fuses heads, discards and computes the rollout, so that controls respond at once: `page_math.js`
has the computations, `page_draw.js` the colors, `page_state.js` the state, `page_link.js` its place in the
address, `page_build.js` the maps, `page_choose.js` the controls, `page_views.js` lines and the matrix,
`page_export.js` the files to keep, and `page.js` redraws.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vit.viewer.colors import FLAT, color
from vit.viewer.document import asset, fill, json_for_html, policy, source_hash, with_palette
from vit.viewer.fonts import one_line
from vit.viewer.overlay import CRISP_FROM, MUTED, STRENGTH
from vit.viewer.quantise import pack
from vit.viewer.view import View, check_view

HERE = Path(__file__).parent
SCRIPTS = (  # in this order
    "page_math.js",
    "page_draw.js",
    "page_state.js",
    "page_link.js",
    "page_build.js",
    "page_choose.js",
    "page_views.js",
    "page_export.js",
    "page.js",
)
LONGEST = 1280  # pixels of the longest side of an embedded picture
HEAVY = 150_000  # bytes of PNG from which an image is embedded as JPEG
QUALITY = 90  # of that JPEG
BLANK = "␣"  # shown for a token of white space, which would be an empty chip


def page(view: View) -> str:
    """Return `view` as one HTML document that makes no network requests.

    Raises:
        VitError: Sizes that contradict each other, NaN or infinity, negative weights, a start map or head
            fusion that the page does not know.
    """
    check_view(view)
    style, script = _style(), _script()
    parts = {
        "policy": policy(script, style, "data:"),
        "style": style,
        "data": json_for_html(_facts(view)),
        "weights": pack(view.weights if view.rollout is None else [*view.weights, view.rollout[None]]),
        "script": script,
    }
    return fill(asset(HERE / "page.html"), parts)


def sources() -> tuple[str, str]:
    """The script and the style of every page as source expressions of a Content-Security-Policy.

    A document that shows a page in a frame must allow both in its own.
    """
    return source_hash(_script()), source_hash(_style())


def _script() -> str:
    return "\n".join(asset(HERE / name) for name in SCRIPTS)


def _style() -> str:
    return with_palette(HERE / "page.css")


def _facts(view: View) -> dict[str, object]:
    """Return the page's data except for the weights; the keys are those that page_state.js reads."""
    table = color(torch.arange(256) / 255)  # (256, 3), uint8
    return {
        "name": _line(view.name),
        "caption": _line(view.caption),
        "layers": len(view.weights),
        "layerNumbers": list(view.layers) or list(range(len(view.weights))),
        "fixed": view.rollout is not None,
        "leftOut": _line(view.left_out),
        "heads": view.weights[0].shape[0],
        "tokens": view.weights[0].shape[1],
        "prefix": view.prefix,
        "prefixNames": [_line(name) for name in view.prefix_names],
        "read": _numbers(view.read, digits=9),
        "grid": view.grid,
        "picture": _data_uri(view.picture),
        "words": [_line(token) or BLANK for token in view.tokens],
        "special": [bool(special) for special in view.special],
        "apart": view.apart,
        "written": [bool(written) for written in view.written],
        "target": view.target,
        "note": _line(view.note),
        "nextWord": view.next_word,
        "classes": _scored(view.classes),
        "maps": [[_line(name), _numbers(values), name in view.shares] for name, values in view.maps.items()],
        "lens": None if view.lens is None else _numbers(view.lens),
        "lensBest": _scored(view.lens_best),
        "outliers": None if view.outliers is None else view.outliers.nonzero()[:, 0].tolist(),
        "norms": None if view.norms is None else _numbers(view.norms),
        "colours": table.numpy().tobytes().hex(),
        "flat": round(FLAT * 255),
        "strength": STRENGTH,
        "muted": MUTED,
        "crispFrom": CRISP_FROM,
        "start": _start(view),
    }


def _start(view: View) -> dict[str, object]:
    """Return `view.start` as the initial values of `state` in page_state.js."""
    start, names = view.start, list(view.maps)
    head = "fused" if start.head is None else start.head
    return {
        "shown": f"method {names.index(start.shown)}" if start.shown else "row",
        "pinned": start.query,
        "chosen": start.chosen,
        "source": "rollout" if start.layer is None else {"layer": start.layer, "head": head},
        "fusion": start.fusion,
        "discard": start.discard,
    }


def _line(text: str) -> str:
    """Return `text` on one line, each unprintable character as the replacement character U+FFFD."""
    return one_line(text, unknown="\ufffd")


def _scored(pairs: Sequence[tuple[str, float]]) -> list[list[object]]:
    return [[_line(label), float(f"{score:.6g}")] for label, score in pairs]


def _numbers(values: Tensor, digits: int = 6) -> list:
    """Return `values` as nested lists, rounded to `digits` significant digits to keep the file small."""
    if values.ndim > 1:
        return [_numbers(row, digits) for row in values]
    return [float(f"{value:.{digits}g}") for value in values.detach().cpu().double().tolist()]


def _data_uri(picture: Image.Image | None) -> str | None:
    """Return `picture` as a `data:` URI: PNG, or JPEG where the PNG has more than `HEAVY` bytes."""
    if picture is None:
        return None
    picture = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    if max(picture.size) > LONGEST:
        share = LONGEST / max(picture.size)
        size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    kind, stream = "png", io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    if stream.tell() > HEAVY:
        kind, stream = "jpeg", io.BytesIO()
        picture.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
