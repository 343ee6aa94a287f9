"""The files of a model in a folder: its config, its tensors, where they come from."""

import json
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vit.errors import VitError
from vit.weights.on_disk import digest, refuse_pointer

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


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


def read_config(folder: Path) -> dict[str, Any]:
    """The content of `config.json`.

    Raises:
        VitError: It is missing or broken.
    """
    config = read_json(folder / "config.json", None)
    if not isinstance(config, dict):
        raise VitError(f"{folder / 'config.json'} cannot be read: it is missing, or no JSON object")
    return config


def weight_files(folder: Path) -> list[Path]:
    """`model.safetensors`, or the parts that `model.safetensors.index.json` lists.

    Raises:
        VitError: There is neither, or a part is missing.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = read_json(folder / INDEX, None)
    if index is None:
        raise VitError(
            f"{folder / WEIGHTS} cannot be read: it is missing, and weights are read from safetensors, never "
            "from a pickle"
        )
    try:
        names = sorted(set(index["weight_map"].values()))
        files = [folder / Path(name).name for name in names]  # parts stand beside the index
    except (TypeError, KeyError, AttributeError):
        raise VitError(f"{folder / INDEX} has no weight_map: expected the part of each tensor") from None
    for file in files:
        if not file.is_file():
            raise VitError(f"{file} is missing: {INDEX} lists {len(files)} parts; fetch the folder whole")
    return files


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, by their names.

    Raises:
        VitError: A file is missing or broken.
    """
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        refuse_pointer(file)
        try:
            tensors |= load_file(file)
        except (OSError, SafetensorError) as error:
            raise VitError(f"{file} cannot be read: {error}") from None
    lacking = set(read_json(folder / INDEX, {}).get("weight_map", {})) - set(tensors)
    if lacking and not (folder / WEIGHTS).is_file():
        raise VitError(f"{folder / INDEX} lists {min(lacking)}, which none of its parts has")
    return tensors


def source_of(folder: Path) -> dict[str, str]:
    """`sha256` of the weights, parts one after the other, and `license` where README.md says it."""
    return {"sha256": digest(weight_files(folder))} | license_of(folder)


def license_of(folder: Path) -> dict[str, str]:
    """`license`, from the front matter of README.md; empty where it does not say."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
        head = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
    except (OSError, ValueError, IndexError, yaml.YAMLError):
        return {}
    said = head.get("license") if isinstance(head, dict) else None
    names = said if isinstance(said, list) else [said]
    known = ", ".join(str(name) for name in names if name)
    return {"license": known} if known else {}
