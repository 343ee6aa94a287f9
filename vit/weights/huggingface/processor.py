"""The preprocessing in a folder's `preprocessor_config.json`, or that of a family's own image processor.

Pixels are those of transformers' default processors, on torch tensors: to one of 255 levels, and to two
in a few values of 100,000 for bicubic and lanczos, whose weights torch rounds to 16 bits.
What `Preprocess` cannot express is refused: a processor is followed, or it is not used.
"""

import math
from typing import Any

from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.vision import VisionTransformer
from vit.vision.patches import patch_grid

# Pillow's numbers for its filters. `nearest` (0) and `box` (4) are not there: the two kinds of processors of
# transformers disagree on the first, and the default one has not got the second.
RESAMPLE = {1: "lanczos", 2: "bilinear", 3: "bicubic"}

HALF = (0.5, 0.5, 0.5)
IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
_CLIP = {"image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711)}

_USUAL: dict[str, Any] = {
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / 255,
    "image_mean": HALF,
    "image_std": HALF,
    "resample": 3,
    "default_to_square": True,
    "size": 224,
}
# What each processor does where its file says nothing; null is an answer, that of an absent step.
PROCESSORS: dict[str, dict[str, Any]] = {
    "ViTImageProcessor": _USUAL | {"resample": 2},
    "DeiTImageProcessor": _USUAL | {"size": 256, "crop_size": 224, "do_center_crop": True},
    "BitImageProcessor": _USUAL
    | _CLIP
    | {"size": 224, "crop_size": 224, "do_center_crop": True, "default_to_square": False},
    "BeitImageProcessor": _USUAL | {"crop_size": 224},
    "DINOv3ViTImageProcessor": _USUAL | IMAGENET | {"resample": 2},
    "SiglipImageProcessor": _USUAL | {"size": {"height": 224, "width": 224}, "default_to_square": False},
    "ConvNextImageProcessor": _USUAL | {"size": 384, "crop_pct": 224 / 256, "default_to_square": False},
}
PROCESSORS["CLIPImageProcessor"] = PROCESSORS["BitImageProcessor"]
# Of a folder that does not name one.
OF_FAMILY = {
    "vit": "ViTImageProcessor",
    "vit_mae": "ViTImageProcessor",
    "vit_msn": "ViTImageProcessor",
    "ijepa": "ViTImageProcessor",
    "deit": "DeiTImageProcessor",
    "dinov2": "BitImageProcessor",
    "dinov2_with_registers": "BitImageProcessor",
    "dinov3_vit": "DINOv3ViTImageProcessor",
    "beit": "BeitImageProcessor",
    "data2vec-vision": "BeitImageProcessor",
    "clip": "CLIPImageProcessor",
    "clip_vision_model": "CLIPImageProcessor",
    "siglip": "SiglipImageProcessor",
    "siglip_vision_model": "SiglipImageProcessor",
}
# Families whose authors normalise with ImageNet's mean and deviation, whatever the processor's own are.
OF_IMAGENET = ("deit", "vit_mae", "vit_msn", "ijepa", "dinov2", "dinov2_with_registers", "dinov3_vit")
AUTHORS_CROP = ("deit", "dinov2", "dinov2_with_registers")  # evaluate with 7/8 of a picture's side
STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb", "do_reduce_labels")
SQUASHES_FROM = 384  # pixels from which on ConvNeXt's processor squashes


def default_preprocess(family: str, model: VisionTransformer) -> Preprocess:
    """The preprocessing of a family at its model's picture size, where no file says another.

    That of the family's processor with `size` and `crop_size` set to the model's, but with ImageNet's mean
    and deviation, and with 7/8 of a resized picture's side kept, where the family's authors evaluate so
    (`OF_IMAGENET`, `AUTHORS_CROP`; for DINOv2, Oquab et al. 2024).
    """
    settings = PROCESSORS[OF_FAMILY[family]] | (IMAGENET if family in OF_IMAGENET else {})
    mean, std = (tuple(settings[name]) for name in ("image_mean", "image_std"))
    if model.channels == 1:
        mean, std = (sum(mean) / 3,), (sum(std) / 3,)
    height, width = model.image_size
    keeps_ratio = not settings["default_to_square"] and settings["do_center_crop"]
    return Preprocess(
        height,
        width,
        model.channels,
        mean,
        std,
        crop=224 / 256 if family in AUTHORS_CROP else 1.0,
        interpolation=RESAMPLE[settings["resample"]],
        resize="crop" if keeps_ratio else "squash",
        follows="transformers",
    )


def preprocess_of(family: str, model: VisionTransformer, said: dict[str, Any]) -> Preprocess:
    """The preprocessing that a processor's settings ask for.

    Args:
        family: The `model_type` of the config.
        model: The tower.
        said: The content of `preprocessor_config.json`.

    Raises:
        VitError: Another processor, or settings that `Preprocess` cannot follow; they are named.
    """
    kind = _kind(said, family)
    settings = PROCESSORS[kind] | said
    for name, on in settings.items():
        if name.startswith("do_") and name not in STEPS and on:
            raise _refused(f"{name} is {on}, which vit does not do")
    if not settings["do_resize"]:
        raise _refused("do_resize is False, and pictures of one size are needed: resize them, or set it")
    if settings["resample"] not in RESAMPLE:
        known = ", ".join(f"{number} ({name})" for number, name in RESAMPLE.items())
        raise _refused(f"resample is {settings['resample']!r}, expected one of {known}")
    _check_overshoot(kind, settings)
    if settings.get("use_square_size"):
        raise _refused("use_square_size is True, which vit does not follow: set size to height and width")
    if model.channels == 1 and settings.get("do_convert_rgb"):
        raise _refused("do_convert_rgb is True, and the model has 1 channel")
    (height, width), crop, resize = _geometry(kind, settings)
    _check_grid(model, height, width)
    mean, std = _scale(settings, model.channels)
    return Preprocess(
        height,
        width,
        model.channels,
        mean,
        std,
        crop=crop,
        interpolation=RESAMPLE[settings["resample"]],
        resize=resize,
        follows="transformers",
    )


def _kind(said: dict[str, Any], family: str) -> str:
    """The processor's name, without what says which library computes it."""
    named = said.get("image_processor_type") or said.get("feature_extractor_type") or OF_FAMILY[family]
    kind = named.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
    if kind not in PROCESSORS:
        raise _refused(f"its processor is {named}, expected one of: {', '.join(PROCESSORS)}")
    return kind


def _geometry(kind: str, settings: dict[str, Any]) -> tuple[tuple[int, int], float, str]:
    """The size in the end, the fraction that the centre crop keeps, and how a picture comes to its size."""
    edge = _edge(settings)
    if kind == "ConvNextImageProcessor":
        return _convnext(settings, edge)
    whole = (edge, edge) if edge is not None else _sides("size", settings["size"])
    resize = "squash" if edge is None else "crop"
    if not settings["do_center_crop"]:
        if edge is not None:
            raise _refused(
                f"size is {settings['size']} without do_center_crop, which leaves pictures of several sizes"
            )
        return whole, 1.0, resize
    kept = _sides("crop_size", settings.get("crop_size"))
    return kept, _fraction(kept, whole), resize


def _edge(settings: dict[str, Any]) -> int | None:
    """Pixels of the shorter side after resizing; None where `size` is a height and a width."""
    size = settings["size"]
    if isinstance(size, int) and not settings["default_to_square"]:
        return size
    if isinstance(size, dict) and (asked := {name for name, value in size.items() if value is not None}):
        if asked == {"shortest_edge"}:
            return _sides("shortest_edge", size["shortest_edge"])[0]
        if asked != {"height", "width"}:
            raise _refused(f"size is {size}, expected height and width, or shortest_edge")
    return None


def _sides(name: str, size: Any) -> tuple[int, int]:
    """(height, width) of a number, a pair or a dictionary."""
    if isinstance(size, dict):
        size = (size.get("height"), size.get("width"))
    pair = (size, size) if isinstance(size, int) else size
    if isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(side, int) for side in pair):
        return pair[0], pair[1]
    raise _refused(f"{name} is {size!r}, expected a number, [height, width], or height and width")


def _convnext(settings: dict[str, Any], edge: int | None) -> tuple[tuple[int, int], float, str]:
    if edge is None or settings["do_center_crop"]:
        raise _refused(
            f"size is {settings['size']} and do_center_crop is {settings['do_center_crop']}, expected "
            "shortest_edge and False for ConvNextImageProcessor"
        )
    if edge >= SQUASHES_FROM:
        return (edge, edge), 1.0, "squash"
    whole = int(edge / _number(settings, "crop_pct"))
    return (edge, edge), _fraction((edge, edge), (whole, whole)), "crop"


def _fraction(kept: tuple[int, int], whole: tuple[int, int]) -> float:
    """The `crop` of `Preprocess` that makes these sizes exactly; one number serves both sides."""
    if kept[0] > whole[0] or kept[1] > whole[1]:
        raise _refused(
            f"crop_size is {kept[0]} x {kept[1]} and size {whole[0]} x {whole[1]}: a border of zeros would "
            "be added, which vit does not do"
        )
    largest = min(part / all_ for part, all_ in zip(kept, whole, strict=True))
    for fraction in (largest, math.nextafter(largest, 0)):
        if all(int(part / fraction) == all_ for part, all_ in zip(kept, whole, strict=True)):
            return fraction
    raise _refused(
        f"crop_size is {kept[0]} x {kept[1]} and size {whole[0]} x {whole[1]}: the two sides would keep "
        "different fractions"
    )


def _scale(settings: dict[str, Any], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """`mean` and `std` on the scale 0..1 that do what rescaling and normalising do together."""
    factor = _number(settings, "rescale_factor") * 255 if settings["do_rescale"] else 255.0
    if math.isclose(factor, 1.0, rel_tol=1e-6):
        factor = 1.0
    if not settings["do_normalize"]:
        return (0.0,) * channels, (1 / factor,) * channels
    pair = []
    for name in ("image_mean", "image_std"):
        values = settings[name]
        values = [values] * channels if isinstance(values, int | float) else values
        numbers = isinstance(values, list | tuple) and all(isinstance(each, int | float) for each in values)
        if not numbers or len(values) != channels:
            raise _refused(f"{name} is {values}, expected {channels} numbers: one per channel")
        pair.append(tuple(value / factor for value in values))
    return pair[0], pair[1]


def _number(settings: dict[str, Any], name: str) -> float:
    value = settings[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise _refused(f"{name} is {value!r}, expected a number above 0")
    return float(value)


def _check_overshoot(kind: str, settings: dict[str, Any]) -> None:
    """DINOv3's processor resizes floats, which filters other than bilinear take beyond black and white."""
    if kind == "DINOv3ViTImageProcessor" and settings["do_rescale"] and settings["resample"] != 2:
        raise _refused(
            f"resample is {settings['resample']} and {kind} rescales before it resizes, so that levels "
            "below 0 and above 255 stay, which vit does not do: expected 2 (bilinear)"
        )


def _check_grid(model: VisionTransformer, height: int, width: int) -> None:
    try:
        patch_grid((height, width), model.patch_size, trim=model.trim)
    except ValueError as error:
        raise _refused(str(error)) from None


def _refused(what: str) -> VitError:
    return VitError(f"cannot follow preprocessor_config.json: {what}")
