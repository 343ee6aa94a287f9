"""timm's models by name: an architecture, pretrained weights, a repository of the hub, a local folder."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from vit.config import nearest
from vit.errors import VitError, one_line_message
from vit.vision import VisionTransformer
from vit.weights.timm.importer import from_timm

PREFIX = "timm:"
HUB, LOCAL = "hf-hub:", "local-dir:"
TIMM_SCHEMES = (HUB.removesuffix(":"), LOCAL.removesuffix(":"))  # words of timm's own
# How the architecture of a file of weights is named.
WAYS = "--model.like {} in vit train, or vit.load_model(FILE, like=...)"
WEIGHT_SOURCES = ("url", "file", "hf_hub_id")  # fields of a pretrained config


def import_timm(model: Any, source: dict[str, str]) -> VisionTransformer:
    """`from_timm`, with a note where the weights come from.

    Args:
        model: As in `from_timm`.
        source: `word`, and where known `sha256` and `license`.

    Raises:
        VitError: As in `from_timm`.
    """
    ours = from_timm(model)
    ours.source = dict(source)
    return ours


def timm_architecture(name: str, **arguments: Any) -> nn.Module:
    """timm's model of that name with random weights; nothing is downloaded.

    Args:
        name: A name of timm's list, with or without `timm:` before it and a pretrained tag after it.
        arguments: Of `timm.create_model`, for example `img_size`.

    Raises:
        VitError: timm has no such name, or cannot make it with these arguments.
    """
    import timm

    name = name.removeprefix(PREFIX)
    require_known(name)
    try:
        model: nn.Module = timm.create_model(name, **arguments)
    except Exception as error:  # whatever an architecture raises about its arguments
        raise VitError(f"timm cannot make {name} with {arguments}: {one_line_message(error)}") from None
    return model


def require_known(name: str) -> None:
    """Refuse a name that is not in timm's list, or a pretrained tag that it does not have.

    Raises:
        VitError: The nearest name is named.
    """
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        known = timm.list_models("*vit*") + timm.list_models("deit*")
        raise VitError(f"timm has no vision transformer {name}{nearest(name, known)}")
    tags = [known.partition(".")[2] for known in timm.list_models(f"{architecture}.*", include_tags=True)]
    if tag and tag not in tags:
        end = nearest(tag, tags) if tags else ": it has none"
        raise VitError(f"timm's {architecture} has no pretrained weights {tag}{end}")


def timm_model(name: str) -> VisionTransformer:
    """A pretrained model of timm, with its preprocessing and label names.

    What vit cannot follow is refused before weights are downloaded.

    Args:
        name: A name of timm's list, with or without a pretrained tag; `hf-hub:OWNER/NAME`, a repository in
            timm's format; `local-dir:PATH` or PATH, a folder as `timm.models.save_for_hf` writes it. May
            begin with `timm:`.

    Raises:
        VitError: There is none, its weights cannot be read or downloaded, or vit cannot reproduce it.
    """
    name = name.removeprefix(PREFIX)
    word = name if name.startswith((HUB, LOCAL)) else PREFIX + name
    if name.startswith(LOCAL) or _is_folder(name):
        from vit.weights.timm.folder import folder_model  # loads timm

        return folder_model(Path(name.removeprefix(LOCAL)), word)
    if not name.startswith(HUB):
        if "/" in name or "\\" in name:
            raise VitError(f"{word} is no folder; a repository of the hub is {HUB}OWNER/NAME")
        require_known(name)
    config = require_followed(_outline(name, word), word)
    if not any(config.get(field) for field in WEIGHT_SOURCES):
        raise VitError(
            f"timm has no pretrained weights for {name}: a file of weights is read with {WAYS.format(word)}"
        )
    return import_timm(_create(name, word, pretrained=True), source_of(word, config))


def source_of(word: str, config: dict[str, Any]) -> dict[str, str]:
    """`word`, and `license` where a pretrained config names it."""
    return {"word": word} | ({"license": str(config["license"])} if config.get("license") else {})


def require_followed(model: Any, word: str) -> dict[str, Any]:
    """Refuse a model that vit could not reproduce, by its structure and config alone.

    Args:
        model: timm's, maybe without weights (meta device).
        word: What the user asked for.

    Returns:
        The pretrained config.

    Raises:
        VitError: The part or the setting is named.
    """
    from vit.weights.timm.around import class_labels, picture_preprocess, pretrained_config
    from vit.weights.timm.tower import tower_arguments

    try:
        arguments = tower_arguments(model)
        preprocess = picture_preprocess(model, arguments)
        class_labels(model)
    except VitError as error:
        raise VitError(f"{word}: {error}") from None
    if preprocess is None:
        channels = arguments["channels"]
        raise VitError(f"{word} reads {channels} channels, and vit reads pictures of 1 (grey) or 3 (RGB)")
    config = pretrained_config(model)
    if model.num_classes != config.get("num_classes", model.num_classes):
        raise VitError(
            f"{word} has {model.num_classes} classes in model_args and {config['num_classes']} in its "
            "pretrained_cfg: timm would give it a new head"
        )
    return config


def _outline(name: str, word: str) -> nn.Module:
    """The model without values: its structure and settings alone, in a moment."""
    import timm

    try:
        with torch.device("meta"):
            model: nn.Module = timm.create_model(name)
    except Exception:  # older versions of timm compute with values; another error comes again, and is told
        return _create(name, word, pretrained=False)
    return model


def _create(name: str, word: str, *, pretrained: bool) -> nn.Module:
    import timm

    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained)
    except KeyError as error:
        raise VitError(
            f"{word} is no repository in timm's format: its config.json has no {error}; hf:NAME reads the "
            "format of transformers"
        ) from None
    except Exception as error:  # the hub's own errors have no common base
        raise VitError(
            f"{word} could not be loaded ({type(error).__name__}: {one_line_message(error)}): its files are "
            "downloaded on first use and then kept in HF_HOME"
        ) from None
    return model


def _is_folder(name: str) -> bool:
    """Whether a name is that of a folder; the names of timm's list come first."""
    import timm

    listed = timm.is_model(name.partition(".")[0])
    return bool(name) and not name.startswith(HUB) and not listed and Path(name).is_dir()
