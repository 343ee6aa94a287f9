"""One HTML file in which somebody explores what a transformer attended to; it needs no network and no server.

      ┌──────────┐ ┌─────────┐ ┌────────────────┐
      │          │ │ picture │ │ layers x heads │
      │   heat   │ │ row     │ │  of thumbnails │
      │          │ │ column  │ │ fusion discard │
      └──────────┘ └─────────┘ └────────────────┘
      classes        methods side by side

Python brings the weights (one byte each), the maps that need gradients, and the words. The page fuses heads,
discards and rolls out by itself, so that a slider is answered at once: `page_math.js` has the sums,
`page_draw.js` the colours, `page_state.js` what is chosen, `page_build.js` the controls, and `page.js` draws.
"""

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vit.errors import VitError
from vit.viewer.fonts import one_line
from vit.viewer.overlay import CRISP_FROM, FLAT, MUTED, STRENGTH, colour
from vit.viewer.quantise import pack

SCRIPTS = ("page_math.js", "page_draw.js", "page_state.js", "page_build.js", "page.js")  # one after another
HEAVY = 150_000  # bytes of PNG from which a picture is embedded as JPEG
QUALITY = 90  # of that JPEG
BLANK = "␣"  # stands for a token of white space, which would be an empty chip


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a page shows when it is opened; all of it can be changed there.

    Attributes:
        shown: Name of one of the view's maps for the main view; empty for what the query attends to.
        query: A token that is pinned, counted from 0; None for what the head reads.
        chosen: Place of the explained class among the listed ones.
        layer: Whose attention; None for the rollout over all layers.
        head: Of that layer; None for its heads together.
        fusion: `mean`, `max` or `min` over heads.
        discard: Share of the weakest links that the rollout leaves out.
    """

    shown: str = ""
    query: int | None = None
    chosen: int = 0
    layer: int | None = None
    head: int | None = None
    fusion: str = "mean"
    discard: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What one page shows, about one picture or one text.

    N tokens are `prefix` tokens and then P patches row by row; for text P = N, the tokens themselves.

    Attributes:
        name: Title: a file name or a sentence; any characters.
        caption: A line below it, say model and picture size.
        weights: L tensors (H, N, N), first layer first, rows query and columns key; rows sum to 1, and a
            query that may attend to nothing has a row of zeros.
        prefix: Number of tokens before the patches; 0 for text.
        prefix_names: Their names, e.g. `["class", "register 1"]`.
        read: (N,), what the head reads as a weighting of final tokens; sums to 1.
        grid: (rows, cols) of patches; None for text.
        picture: The window that the model saw, any mode and size; None leaves the maps without one.
        tokens: For text, N strings; otherwise empty.
        special: For text, which of them are marks such as [CLS] and [SEP]; otherwise empty.
        classes: K listed classes as (label, probability), best first; empty without a head.
        maps: Method name -> (K, P) for a map per class, or (1, P) for one map for all; any finite values.
        lens: (P, K), the head's probability of each listed class when it reads that patch alone.
        lens_best: P times (label, probability): the best of all classes for that patch alone.
        outliers: bool (P,), patches whose output norm is unusually high.
        norms: (P,), the norms.
        start: What is shown first.
    """

    name: str
    weights: Sequence[Tensor]
    read: Tensor
    grid: tuple[int, int] | None
    prefix: int = 0
    prefix_names: Sequence[str] = ()
    picture: Image.Image | None = None
    tokens: Sequence[str] = ()
    special: Sequence[bool] = ()
    classes: Sequence[tuple[str, float]] = ()
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    lens: Tensor | None = None
    lens_best: Sequence[tuple[str, float]] = ()
    outliers: Tensor | None = None
    norms: Tensor | None = None
    caption: str = ""
    start: Start = Start()


def page(view: View) -> str:
    """Return `view` as one HTML document that asks no network for anything.

    Raises:
        VitError: Sizes that contradict each other, NaN or infinity, or negative weights.
    """
    _check(view)
    style = _asset("page.css")
    script = "\n".join(_asset(name) for name in SCRIPTS)
    parts = {
        # Only these two may run: whatever a file name or a label smuggles in has another hash.
        "policy": f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        "style": style,
        "data": _json(_facts(view)),
        "weights": pack(view.weights),
        "script": script,
    }
    # One pass, so that what was filled in is never searched for places to fill in.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _asset("page.html"))


def _asset(name: str) -> str:
    """Return the text of a file beside this one, with the line ends that an HTML parser would leave it."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the source expression of a Content-Security-Policy that allows exactly `text`."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _json(facts: object) -> str:
    """Return `facts` as JSON in plain ASCII that cannot end, or open, any element it stands in."""
    text = json.dumps(facts, allow_nan=False, separators=(",", ":"))  # escapes all but ASCII by itself
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _facts(view: View) -> dict[str, object]:
    """Return all that the page is told besides the weights."""
    table = colour(torch.arange(256) / 255)  # (256, 3), uint8
    return {
        "name": _line(view.name),
        "caption": _line(view.caption),
        "layers": len(view.weights),
        "heads": view.weights[0].shape[0],
        "tokens": view.weights[0].shape[1],
        "prefix": view.prefix,
        "prefixNames": [_line(name) for name in view.prefix_names],
        "read": _numbers(view.read, digits=9),
        "grid": view.grid,
        "picture": _data_uri(view.picture),
        "words": [_line(token) or BLANK for token in view.tokens],
        "special": [bool(special) for special in view.special],
        "classes": _scored(view.classes),
        "maps": [[_line(name), _numbers(values)] for name, values in view.maps.items()],
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
    """Return `view.start` in the page's own words."""
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
    """Return `text` on one line, with a replacement character for each that cannot be printed."""
    return one_line(text, unknown="\ufffd")


def _scored(pairs: Sequence[tuple[str, float]]) -> list[list[object]]:
    return [[_line(label), float(f"{score:.6g}")] for label, score in pairs]


def _numbers(values: Tensor, digits: int = 6) -> list:
    """Return `values` as nested lists, rounded to `digits` significant digits: nobody reads more of them."""
    if values.ndim > 1:
        return [_numbers(row, digits) for row in values]
    return [float(f"{value:.{digits}g}") for value in values.detach().double().cpu().tolist()]


def _data_uri(picture: Image.Image | None) -> str | None:
    """Return `picture` as a `data:` address: PNG, or JPEG where a PNG would be heavy."""
    if picture is None:
        return None
    picture = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    kind, stream = "png", io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    if stream.tell() > HEAVY:
        kind, stream = "jpeg", io.BytesIO()
        picture.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _check(view: View) -> None:
    """Refuse a view whose parts do not fit each other."""
    tokens = _check_weights(view.weights)
    if len(view.prefix_names) != view.prefix:
        raise VitError(f"prefix_names has {len(view.prefix_names)} names, expected prefix={view.prefix}")
    if view.grid is None:
        _check_text(view, tokens)
    else:
        _check_grid(view, tokens, *view.grid)
    _check_values("read", view.read, (tokens,), "one weight per token")
    total = view.read.double().sum().item()
    if abs(total - 1) > 1e-3:
        raise VitError(f"read sums to {total:.6g}, expected 1: it weights the final tokens")

    if view.start.shown and view.start.shown not in view.maps:
        raise VitError(f"start shows {view.start.shown!r}, expected one of the maps: {', '.join(view.maps)}")

    patches, classes = tokens - view.prefix, len(view.classes)
    for name, values in view.maps.items():
        expected = (1, patches) if tuple(values.shape[:1]) == (1,) else (classes, patches)
        _check_values(f"map {_line(name)!r}", values, expected, "(classes, patches) or (1, patches)")
    for what, pairs in (("classes", view.classes), ("lens_best", view.lens_best)):
        broken = [_line(label) for label, score in pairs if not torch.tensor(float(score)).isfinite()]
        if broken:
            raise VitError(
                f"{what} has NaN or infinity for {broken[0]!r} and {len(broken) - 1} more of {len(pairs)}, "
                "expected finite probabilities only"
            )
    if view.lens is not None:
        _check_values("lens", view.lens, (patches, classes), "(patches, classes)")
    if len(view.lens_best) != (0 if view.lens is None else patches):
        raise VitError(
            f"lens_best has {len(view.lens_best)} entries, "
            + ("expected 0 without a lens" if view.lens is None else f"expected {patches}: one per patch")
        )
    if view.norms is not None:
        _check_values("norms", view.norms, (patches,), "one per patch")
    if view.outliers is not None:
        _check_values("outliers", view.outliers, (patches,), "one per patch")
        if view.outliers.dtype != torch.bool:
            raise VitError(f"outliers has dtype {view.outliers.dtype}, expected torch.bool")


def _check_weights(weights: Sequence[Tensor]) -> int:
    """Refuse weights that no page can show; return the number of tokens."""
    if not weights:
        raise VitError("weights has 0 layers, expected at least 1")
    first = tuple(weights[0].shape)
    if len(first) != 3 or first[1] != first[2] or 0 in first:
        raise VitError(f"weights of layer 0 have shape {first}, expected (H, N, N)")
    for layer, each in enumerate(weights):
        what = f"weights of layer {layer}"
        _check_values(what, each, first, "the shape of layer 0")
        lowest = each.min().item()
        if lowest < 0:
            raise VitError(f"{what} go down to {lowest:.3g}, expected 0 or more: pass them after the softmax")
    return first[1]


def _check_text(view: View, tokens: int) -> None:
    if view.prefix:
        raise VitError(f"prefix is {view.prefix}, expected 0 where grid is None: text names all its tokens")
    if view.picture is not None:
        raise VitError(f"picture is {view.picture.size} pixels, expected None where grid is None")
    for what, entries in (("tokens", view.tokens), ("special", view.special)):
        if len(entries) != tokens:
            raise VitError(
                f"{what} has {len(entries)} entries, expected {tokens}: one per token of the weights"
            )


def _check_grid(view: View, tokens: int, rows: int, cols: int) -> None:
    if rows < 1 or cols < 1:
        raise VitError(f"grid is {rows} x {cols}, expected at least 1 x 1")
    if view.prefix < 0 or view.prefix + rows * cols != tokens:
        raise VitError(
            f"weights have {tokens} tokens, expected {view.prefix + rows * cols}: "
            f"{view.prefix} before the patches and {rows} x {cols} patches"
        )
    for what, entries in (("tokens", view.tokens), ("special", view.special)):
        if len(entries):
            raise VitError(f"{what} has {len(entries)} entries, expected 0 where there is a grid of patches")


def _check_values(what: str, values: Tensor, expected: tuple[int, ...], why: str) -> None:
    """Refuse a tensor of another shape than `expected`, or with NaN or infinity in it."""
    if tuple(values.shape) != expected:
        raise VitError(f"{what} has shape {tuple(values.shape)}, expected {expected}: {why}")
    broken = int((~values.isfinite()).sum())
    if broken:
        raise VitError(f"{what} has NaN or infinity in {broken} of {values.numel()} places, expected neither")
