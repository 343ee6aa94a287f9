"""What stands around the weights of a timm model: preprocessing and label names."""

from typing import Any

import timm.data
from torch import nn

from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.weights.timm.parts import find

# timm's crop_mode -> ours, for pictures of another aspect ratio than the model's.
RESIZES = {"center": "crop", "squash": "squash", "border": "pad"}


def pretrained_config(model: Any) -> dict[str, Any]:
    """What timm knows about the weights of a model; empty for one that `timm.create_model` did not make."""
    return dict(getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {})


def picture_preprocess(model: Any, arguments: dict[str, Any]) -> Preprocess | None:
    """timm's own preprocessing of pictures for evaluation, at the picture size of the model.

    Args:
        model: A model that `vit.weights.timm.tower.tower_arguments` takes.
        arguments: Those of our tower for it.

    Returns:
        None for a model of 2 or more than 3 channels: it reads no pictures.

    Raises:
        VitError: It cannot be followed.
    """
    channels = arguments["channels"]
    if channels not in (1, 3):
        return None
    settings = timm.data.resolve_model_data_config(model)
    mode = settings["crop_mode"]
    if mode not in RESIZES:
        raise VitError(
            f"cannot import this timm model: its pretrained_cfg has crop_mode {mode!r}, expected one of "
            f"{', '.join(RESIZES)}"
        )
    mean = _per_channel(settings["mean"], channels)
    try:
        return Preprocess(
            *_picture_size(model, arguments["image_size"]),
            channels,
            mean,
            _per_channel(settings["std"], channels),
            crop=settings["crop_pct"],
            interpolation=settings["interpolation"],
            resize=RESIZES[mode],
            fill=tuple(round(255 * level) for level in mean) if mode == "border" else None,
            follows="timm",
        )
    except VitError as error:
        raise VitError(f"cannot import this timm model: in its pretrained_cfg, {error}") from None


def class_labels(model: Any) -> list[str]:
    """The names of the classes, in the order of the logits; empty where they are not known.

    They are known where the model has the head of its pretrained weights, and their config names the classes
    or their number is that of a subset of ImageNet. A new head has other classes, and the projection of a
    CLIP tower has none.

    Raises:
        VitError: The config has another number of names than classes.
    """
    head, config = find(model, "head"), pretrained_config(model)
    if type(head) is not nn.Linear or head.out_features != config.get("num_classes"):
        return []
    if config.get("label_names"):
        return _configured(config, head.out_features)
    subset = timm.data.infer_imagenet_subset(config)
    return [] if subset is None else list(timm.data.ImageNetInfo(subset).label_descriptions())


def _configured(config: dict[str, Any], classes: int) -> list[str]:
    """The names of a config: a list, or a dictionary from the index; described where it has descriptions."""
    names, descriptions = config["label_names"], config.get("label_descriptions") or {}
    if isinstance(names, dict):
        by_index = {int(index): name for index, name in names.items()}
        names = [by_index.get(index, str(index)) for index in range(classes)]
    if len(names) != classes:
        raise VitError(f"the pretrained_cfg has {len(names)} label_names, expected {classes}: one per class")
    return [str(descriptions.get(name, name)) for name in names]


def _picture_size(model: Any, own: tuple[int, int]) -> tuple[int, int]:
    """Height and width: those of the positions, or, where the size is free, those that timm recommends.

    Args:
        model: timm's.
        own: Those of the positions.
    """
    config, patches = pretrained_config(model), find(model, "patch_embed")
    strict = getattr(patches, "strict_img_size", False)
    if strict or config.get("fixed_input_size", False) or "input_size" not in config:
        return own
    _, height, width = config["input_size"]
    return height, width


def _per_channel(values: Any, channels: int) -> tuple[float, ...]:
    """One value per channel; the mean of those for RGB where the model reads grey, as timm does."""
    values = tuple(values)
    if len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels
