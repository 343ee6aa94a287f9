"""timm's pretrained models: weights, preprocessing, and label names."""

from typing import Any

from vit.config import nearest
from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.vision import VisionTransformer
from vit.weights.timm.importer import from_timm

TIMM_SCHEMES = ("hf-hub", "local-dir")  # words of timm's own, such as hf-hub:timm/vit_tiny_patch16_224


def timm_model(name: str) -> VisionTransformer:
    """timm's pretrained model of that name.

    Raises:
        VitError: There is none, or its weights could not be downloaded.
    """
    import timm

    known = timm.list_models("vit*") + timm.list_models("deit*")
    if name.partition(".")[0] not in known:
        raise VitError(f"timm has no vision transformer {name}{nearest(name, known)}")
    try:
        theirs: Any = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's own errors have no common base
        raise VitError(
            f"timm:{name} could not be loaded ({type(error).__name__}: {error}): its weights are downloaded "
            "on first use and then kept in HF_HOME"
        ) from None
    model = from_timm(theirs)
    settings = timm.data.resolve_model_data_config(theirs)
    if settings["crop_mode"] != "center":
        mode = settings["crop_mode"]
        raise VitError(f"timm:{name} needs images with crop_mode {mode!r}, which vit does not support")
    channels, height, width = settings["input_size"]
    model.preprocess = Preprocess(
        height,
        width,
        channels,
        tuple(settings["mean"]),
        tuple(settings["std"]),
        crop=settings["crop_pct"],
        interpolation=settings["interpolation"],
    )
    model.labels = _imagenet_labels(theirs.num_classes)
    return model


def _imagenet_labels(classes: int) -> list[str]:
    from timm.data import ImageNetInfo

    if classes != 1000:
        return [str(index) for index in range(classes)]
    names = ImageNetInfo("imagenet-1k")
    return [names.index_to_description(index) for index in range(classes)]
