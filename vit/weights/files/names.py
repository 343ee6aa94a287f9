"""Where in a file the weights of a model are: whatever wrappers and prefixes stand before its own names."""

import re
from collections import Counter
from pathlib import Path

from torch import Tensor

from vit.errors import UsageError, VitError

Tensors = dict[str, Tensor]

# DINOv2 divides its blocks into chunks and numbers them through: blocks.1.5. is block 5.
CHUNKS = ((r"(^|\.)blocks\.\d+\.(\d+)\.", r"\1blocks.\2."),)

# torchvision's names, in the order of replacement.
TORCHVISION = (
    (r"(^|\.)conv_proj\.", r"\1patch_embed.proj."),
    (r"(^|\.)class_token$", r"\1cls_token"),
    (r"(^|\.)encoder\.pos_embedding$", r"\1pos_embed"),
    (r"(^|\.)encoder\.ln\.", r"\1norm."),
    (r"(^|\.)heads\.", r"\1"),
    (r"(^|\.)encoder\.layers\.encoder_layer_(\d+)\.", r"\1blocks.\2."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", r".attn.qkv."),
    (r"\.self_attention\.out_proj\.", r".attn.proj."),
    (r"\.mlp\.(0|linear_1)\.", r".mlp.fc1."),
    (r"\.mlp\.(3|linear_2)\.", r".mlp.fc2."),
)

# Parts beside a backbone, under the same prefix: heads of pretraining, decoders, tokens of masks.
AUXILIARY = re.compile(
    r"(\w*head\w*|decoder\w*|projector\w*|projection\w*|predictor\w*|pre_logits|mask_token|classifier)(\.|$)"
)


def is_torchvision(names: Tensors) -> bool:
    """Whether the names are those of torchvision's VisionTransformer."""
    return any("encoder.layers.encoder_layer_" in name for name in names)


def renamed(tensors: Tensors) -> Tensors:
    """The tensors under timm's names, where they have torchvision's or are in chunks; wrappers stay."""
    rules = CHUNKS + (TORCHVISION if is_torchvision(tensors) else ())
    result = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor
    return result


def find_places(tensors: Tensors, expected: set[str]) -> list[str]:
    """The places, as dotted names without a last dot, under which there is a model.

    Args:
        tensors: As `renamed` gives them.
        expected: The architecture's own names. Half of them make a place, so that a model which lacks some
            is found and can be refused with the names that it lacks.
    """
    votes = Counter[str]()
    for name in tensors:
        parts = name.split(".")
        votes.update(
            ".".join(parts[:start]) for start in range(len(parts)) if ".".join(parts[start:]) in expected
        )
    return [place for place, count in votes.items() if 2 * count >= len(expected)] + _clip_places(tensors)


def _clip_places(tensors: Tensors) -> list[str]:
    """Places of image towers with OpenAI's names, which timm converts."""
    found = [name.rpartition(".")[0] for name in tensors if name.rpartition(".")[2] == "class_embedding"]
    return [place for place in found if _joined(place, "conv1.weight") in tensors]


def choose_place(file: Path, places: list[str], key: str | None) -> str:
    """The place that `key` names, or the only one.

    Args:
        file: For messages.
        places: At least one.
        key: Keys that lead to the place, joined by dots: all of them, or as many as tell it from the others.

    Raises:
        VitError: There are several.
        UsageError: There is none of that name.
    """
    holds = f"{file} holds the weights of {_words(places)}"
    if key is not None:
        found = [place for place in places if key == (place or ".")]
        found = found or [place for place in places if f".{key}." in f".{place}."]
        if len(found) == 1:
            return found[0]
        raise UsageError(f"{holds}, and --model.key is {key}: expected {_words(places, 'or')}")
    if len(places) == 1:
        return places[0]
    options = " or ".join(f"--model.key {name}" for name in _short(places))
    raise VitError(f"{holds}: choose with {options}")


def _words(places: list[str], conjunction: str = "and") -> str:
    *first, last = _short(places)
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def _short(places: list[str]) -> list[str]:
    """For each place the first key that no other place has; all its keys where there is none."""
    names = []
    for place in places:
        others = {part for other in places if other != place for part in other.split(".")}
        own = [part for part in place.split(".") if part and part not in others]
        names.append(own[0] if own and len(places) > 1 else place or ".")
    return names


def divide(tensors: Tensors, place: str, places: list[str]) -> tuple[Tensors, dict[str, int]]:
    """The tensors under a place, without it, and the number of those beside it, by where they are.

    Tensors beside a place are of another module, such as a projection head or an optimiser.

    Args:
        tensors: Of the file.
        place: Of the model that is read.
        places: Of all models in the file, which may be under each other.
    """
    inside: Tensors = {}
    outside = Counter[str]()
    keys = place.split(".") if place else []
    deeper = [other for other in places if len(other) > len(place)]
    for name, tensor in tensors.items():
        parts = name.split(".")
        common = next((i for i, key in enumerate(keys) if parts[i : i + 1] != [key]), len(keys))
        of_another = next((other for other in deeper if name.startswith(f"{other}.")), None)
        if of_another is not None and common == len(keys):
            outside[of_another] += 1
        elif common == len(keys):
            inside[".".join(parts[common:])] = tensor
        else:
            outside[".".join(parts[: common + 1])] += 1
    return inside, dict(outside)


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
