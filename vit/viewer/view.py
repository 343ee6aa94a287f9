"""What one interactive page shows, and the checks that its parts fit each other."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vit.errors import VitError


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a page shows when it is opened; the reader can change all of it there.

    Attributes:
        shown: Name of the entry of `View.maps` in the main view; empty for the attention of the query.
        query: Index of the token that is pinned as query; None for what the head reads.
        chosen: Index of the explained class in `View.classes`.
        layer: Index of the layer whose attention is shown; None for the rollout over all layers.
        head: Index of a head of that layer; None for its heads fused.
        fusion: How heads are fused; a name in the table FUSIONS of page_math.js.
        discard: Share of the smallest weights that the rollout sets to zero.
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
    """What one page shows, about one image or one text.

    N tokens are `prefix` tokens and then P patches row by row; for text P = N, the tokens themselves.

    Attributes:
        name: Title: a file name or a sentence; any characters.
        caption: A line below it, for example model and image size.
        weights: L tensors (H, N, N), first layer first, rows query and columns key; rows sum to 1, and a
            query that may attend to nothing has a row of zeros.
        layers: The layers' numbers in the model; empty: 0 to L - 1.
        rollout: (N, N), the rollout over all layers of the model, where `weights` are too few to compute it:
            heads fused, H = 1, or layers missing. Its head fusion and discarding are those of `start`.
        left_out: A sentence on what `weights` lack; empty if nothing.
        prefix: Number of tokens before the patches; 0 for text.
        prefix_names: Their names, e.g. `["class", "register 1"]`.
        read: (N,), the weights with which the head averages the final tokens; sums to 1.
        grid: (rows, cols) of patches; None for text.
        picture: The crop that the model saw, any mode and size; None draws the maps without an image.
        tokens: For text, N strings; otherwise empty.
        special: For text, N flags, True for special tokens such as [CLS] and [SEP]; otherwise empty.
        apart: Draw special tokens without a color and leave them out of the range of colors.
        written: For text, N flags, True for tokens that the model wrote, which are underlined; empty: none.
        target: For the text of an encoder-decoder, index of the target's first token, which begins a line of
            its own; the tokens before it are the source. None for one text.
        note: A sentence on how to read the page.
        next_word: Whether the classes are the next token, which the model predicts from each token.
        classes: K listed classes as (label, probability), best first; empty without a head.
        maps: Method name -> (K, P) for a map per class, or (1, P) for one map for all; any finite values.
        shares: Names of the maps whose values are shares of attention, which the page writes in percent.
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
    layers: Sequence[int] = ()
    rollout: Tensor | None = None
    left_out: str = ""
    prefix: int = 0
    prefix_names: Sequence[str] = ()
    picture: Image.Image | None = None
    tokens: Sequence[str] = ()
    special: Sequence[bool] = ()
    apart: bool = True
    written: Sequence[bool] = ()
    target: int | None = None
    note: str = ""
    next_word: bool = False
    classes: Sequence[tuple[str, float]] = ()
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    shares: Collection[str] = ()
    lens: Tensor | None = None
    lens_best: Sequence[tuple[str, float]] = ()
    outliers: Tensor | None = None
    norms: Tensor | None = None
    caption: str = ""
    start: Start = Start()


def page_fusions() -> tuple[str, ...]:
    """Names of the head fusions that the page can compute: the keys of the table FUSIONS in page_math.js."""
    script = (Path(__file__).parent / "page_math.js").read_text(encoding="utf-8")
    table = script.partition("const FUSIONS = {\n")[2].partition("\n};")[0]
    return tuple(re.findall(r"^  (\w+):", table, re.MULTILINE))


def check_view(view: View) -> None:
    """Check that the parts of a view fit each other.

    Raises:
        VitError: They do not; the message has both sizes or both values.
    """
    tokens = _check_weights(view.weights)
    if len(view.prefix_names) != view.prefix:
        raise VitError(f"prefix_names has {len(view.prefix_names)} names, expected prefix={view.prefix}")
    if view.grid is None:
        _check_text(view, tokens)
    else:
        _check_grid(view, tokens, *view.grid)
    _check_values("read", view.read, (tokens,), "one weight per token")
    total = view.read.cpu().double().sum().item()
    if abs(total - 1) > 1e-3:
        raise VitError(f"read sums to {total:.6g}, expected 1: it weights the final tokens")
    _check_start(view)
    if len(view.layers) not in (0, len(view.weights)):
        raise VitError(f"layers has {len(view.layers)} numbers, expected {len(view.weights)}, as weights has")
    if view.rollout is not None:
        _check_values("rollout", view.rollout, (tokens, tokens), "one row per token")
        heads = view.weights[0].shape[0]
        if heads != 1:
            raise VitError(f"weights have {heads} heads, expected 1, fused, beside a rollout")

    patches, classes = tokens - view.prefix, len(view.classes)
    for name, values in view.maps.items():
        expected = (1, patches) if tuple(values.shape[:1]) == (1,) else (classes, patches)
        _check_values(f"map {name!r}", values, expected, "(classes, patches) or (1, patches)")
    for what, pairs in (("classes", view.classes), ("lens_best", view.lens_best)):
        broken = [label for label, score in pairs if not torch.tensor(float(score)).isfinite()]
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


def _check_start(view: View) -> None:
    """Refuse a start map that the view lacks, and a head fusion that the page cannot compute."""
    start = view.start
    if start.shown and start.shown not in view.maps:
        raise VitError(f"start shows {start.shown!r}, expected one of the maps: {', '.join(view.maps)}")
    known = page_fusions()
    if start.fusion not in known:
        raise VitError(
            f"start has the head fusion {start.fusion!r}, expected one that the page knows: "
            f"{', '.join(known)} (FUSIONS in vit/viewer/page_math.js)"
        )


def _check_weights(weights: Sequence[Tensor]) -> int:
    """Refuse weights that are not attention after the softmax; return the number of tokens."""
    if not weights:
        raise VitError("weights has 0 layers, expected at least 1")
    first = tuple(weights[0].shape)
    if len(first) != 3 or first[1] != first[2] or 0 in first:
        raise VitError(f"weights of layer 0 have shape {first}, expected (H, N, N)")
    for index, layer in enumerate(weights):
        what = f"weights of layer {index}"
        _check_values(what, layer, first, "the shape of layer 0")
        lowest = layer.min().item()
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
    if len(view.written) not in (0, tokens):
        raise VitError(f"written has {len(view.written)} flags, expected {tokens}, one per token, or none")
    if view.target is not None and not 0 < view.target < tokens:
        raise VitError(f"target begins at token {view.target}, expected 1 to {tokens - 1}")


def _check_grid(view: View, tokens: int, rows: int, cols: int) -> None:
    if rows < 1 or cols < 1:
        raise VitError(f"grid is {rows} x {cols}, expected at least 1 x 1")
    if view.prefix < 0 or view.prefix + rows * cols != tokens:
        raise VitError(
            f"weights have {tokens} tokens, expected {view.prefix + rows * cols}: "
            f"{view.prefix} before the patches and {rows} x {cols} patches"
        )
    for what, entries in (("tokens", view.tokens), ("special", view.special), ("written", view.written)):
        if len(entries):
            raise VitError(f"{what} has {len(entries)} entries, expected 0 where there is a grid of patches")


def _check_values(what: str, values: Tensor, expected: tuple[int, ...], why: str) -> None:
    """Refuse a tensor of another shape than `expected`, or with NaN or infinity in it."""
    if tuple(values.shape) != expected:
        raise VitError(f"{what} has shape {tuple(values.shape)}, expected {expected}: {why}")
    broken = int((~values.isfinite()).sum())
    if broken:
        raise VitError(
            f"{what} has NaN or infinity in {broken} of {values.numel()} entries, expected neither"
        )
