"""The content of an interactive page: what `vit.viewer.page` shows of one reading."""

from typing import Any

import torch
from torch import Tensor

from vit.attribution.explain import explain
from vit.attribution.heads import fuse_heads
from vit.attribution.methods.rollout import rollout
from vit.attribution.roster import QUICK_CLASS_METHODS
from vit.core import probabilities
from vit.inference.page_size import fitted
from vit.inference.reading import Reading
from vit.viewer import Start, View

LISTED_CLASSES = 5  # on a page, besides the explained one


@torch.no_grad()
def view_of(
    reading: Reading,
    *,
    name: str,
    caption: str = "",
    target: int | None = None,
    query: int | None = None,
    shown_map: tuple[str, Tensor] | None = None,
    layer: int | None = None,
    head: int | None = None,
    fusion: str = "mean",
    discard: float = 0.0,
    apart: bool = True,
) -> View:
    """The weights of all heads, the quick methods' maps for the best classes, and each patch's logit lens.

    Of many tokens it has the rollout and the last layers, heads together: see `vit.inference.page_size`.

    Args:
        reading: Of `vit.inference.reading`.
        name: Title of the page.
        caption: A line below it.
        target: The class shown first; None: the predicted one.
        query: The token shown first, counted with the prefix; None: what the head reads.
        shown_map: A name and a map (P values in any shape) shown first, such as one that the page cannot
            compute.
        layer: The layer whose raw attention is shown first; None is rollout.
        head: Of that layer; None is all of them.
        fusion: Of heads, shown first.
        discard: Of rollout, shown first.
        apart: Leave special tokens of a text out of the range of colors.
    """
    weights, prefix = reading.weights, reading.prefix
    read = reading.seed("cls")
    layer = None if layer is None else layer % len(weights)
    kept = fitted(weights, prefix, layer=layer, fusion=fusion, discard=discard)
    joint = kept.rollout if (fusion, discard) == ("mean", 0) else None
    if joint is None:
        joint = rollout(each[None] for each in weights)[0]
    joints = {"raw": fuse_heads(weights[-1][None])[0], "rollout": joint}
    maps = {method: (read.to(joint) @ joint)[None, prefix:] for method, joint in joints.items()}
    if shown_map is not None:
        maps[shown_map[0]] = shown_map[1].cpu().reshape(1, -1)
    listed: list[int] = []
    classes: dict[str, Any] = {}
    model = reading.model
    if reading.classes:
        scores = probabilities(model, reading.logits)
        listed = scores.argsort(descending=True)[:LISTED_CLASSES].tolist()
        listed += [] if target is None or target in listed else [target]
        copies = reading.inputs.expand(len(listed), *reading.inputs.shape[1:])
        for method in QUICK_CLASS_METHODS:
            class_maps = explain(model, copies, method, torch.tensor(listed), whole=True).maps
            maps[method] = reading.by_word(class_maps.flatten(1).cpu())
        lens = reading.lens()
        classes = {
            "classes": [(reading.classes[index], float(scores[index])) for index in listed],
            "lens": lens[:, listed],
            "lens_best": [
                (reading.classes[index], score)
                for score, index in zip(*(part.tolist() for part in lens.max(-1)), strict=True)
            ],
        }
    return View(
        name=name,
        caption=caption,
        weights=kept.weights,
        layers=kept.layers,
        rollout=kept.rollout,
        left_out=kept.left_out,
        read=read,
        maps=maps,
        shares=tuple(joints),
        next_word=reading.next_word,
        apart=apart,
        start=Start(
            shown="" if shown_map is None else shown_map[0],
            query=query,
            chosen=listed.index(target) if target in listed else 0,
            layer=None if layer is None else kept.layers.index(layer),
            head=head if kept.rollout is None else None,
            fusion=fusion,
            discard=discard,
        ),
        **reading.shown,
        **classes,
    )
