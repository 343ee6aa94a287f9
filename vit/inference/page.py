"""The interactive page of one picture: everything `vit.viewer.page` shows, computed here."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.attribution.explain import METHODS, explain
from vit.attribution.mass import outlier_patches
from vit.attribution.passes import Forward
from vit.attribution.query import parse_query
from vit.attribution.rollout import fuse_heads, rollout
from vit.config import QUICK_METHODS
from vit.viewer import Start, View
from vit.vision import VisionTransformer

CLASSES = 5  # listed on a page, and the explained one
OF_A_CLASS = tuple(name for name in QUICK_METHODS if METHODS[name].of_a_class)


@torch.no_grad()
def view_of(
    model: VisionTransformer,
    image: Tensor,
    window: Image.Image,
    *,
    name: str,
    caption: str = "",
    target: int | None = None,
    query: str | tuple[int, int] = "cls",
    asked: tuple[str, Tensor] | None = None,
    layer: int | None = None,
    head: int | None = None,
    fusion: str = "mean",
    discard: float = 0.0,
) -> View:
    """Every weight of every head, the quick methods' maps for the best classes, and the lens of each patch.

    The page opens on what is named here, and shows the rest when it is chosen there.

    Args:
        model: In eval mode.
        image: (C, height, width), preprocessed.
        window: The same as a picture.
        name: Of the picture.
        caption: A line below the name.
        target: The class to start with; None: the predicted one.
        query: The patch to start from; `cls` and `mean` start with what the head reads.
        asked: A name and a map (rows, cols) to start with, such as one that the page cannot compute.
        layer: Whose raw attention to start with; None is rollout.
        head: Of that layer; None is all of them.
        fusion: Of heads, to start with.
        discard: Of rollout, to start with.
    """
    parsed = parse_query(query)
    forward = Forward(model, image[None])
    weights = [recording.weights()[0].cpu() for recording in forward.layers()]
    prefix = model.prefix
    read = forward.seed("cls").cpu()[0]
    joints = {"raw": fuse_heads(weights[-1][None]), "rollout": rollout(part[None] for part in weights)}
    maps = {method: (read @ joint[0])[None, prefix:] for method, joint in joints.items()}
    if asked is not None:
        maps[asked[0]] = asked[1].cpu().reshape(1, -1)
    last = forward.last.cpu().float()
    facts = {
        "outliers": outlier_patches(last, prefix)[0],
        "norms": last[0, prefix:].norm(dim=-1),
    }
    listed: list[int] = []
    if model.labels:
        probabilities = forward.logits[0].float().softmax(-1).cpu()
        listed = listed_classes(probabilities, target)
        copies = image.expand(len(listed), *image.shape)
        for method in OF_A_CLASS:
            maps[method] = explain(model, copies, method, torch.tensor(listed)).maps.flatten(1).cpu()
        lens = model.read_token(forward.states[0, prefix:]).float().softmax(-1).cpu()  # (patches, classes)
        facts |= class_facts(model.labels, probabilities, listed, lens)
    return View(
        name=name,
        caption=caption,
        weights=weights,
        prefix=prefix,
        prefix_names=_prefix_names(model),
        read=read,
        grid=forward.grid,
        picture=window,
        maps=maps,
        start=Start(
            shown="" if asked is None else asked[0],
            query=None if isinstance(parsed, str) else prefix + parsed[0] * forward.grid[1] + parsed[1],
            chosen=listed.index(target) if target in listed else 0,
            layer=None if layer is None else layer % len(weights),
            head=head,
            fusion=fusion,
            discard=discard,
        ),
        **facts,
    )


def listed_classes(probabilities: Tensor, target: int | None) -> list[int]:
    """The classes that a page lists: the most probable, and the explained one behind them if it is none."""
    listed = probabilities.argsort(descending=True)[:CLASSES].tolist()
    return listed if target is None or target in listed else [*listed, target]


def class_facts(labels: list[str], probabilities: Tensor, listed: list[int], lens: Tensor) -> dict[str, Any]:
    """What a page is told of its classes.

    Args:
        labels: Names of all classes.
        probabilities: (classes,)
        listed: The classes on the page.
        lens: (P, classes), probabilities where the head reads one patch or word alone.
    """
    best = zip(*(part.tolist() for part in lens.max(-1)), strict=True)
    return {
        "classes": [(labels[index], float(probabilities[index])) for index in listed],
        "lens": lens[:, listed],
        "lens_best": [(labels[index], score) for score, index in best],
    }


def _prefix_names(model: VisionTransformer) -> list[str]:
    """`class`, `register 1`, ...: what stands before the patches."""
    names = ["class"] if model.class_token is not None else []
    return names + [f"register {number}" for number in range(1, model.prefix - len(names) + 1)]
