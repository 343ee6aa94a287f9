"""The files of timm's format: `config.json`, `model.safetensors`."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save
from torch import Tensor, nn

from vit.errors import VitError
from vit.export.safetensors.architecture import weights_of
from vit.export.safetensors.checks import CONFIG, FORMAT, WEIGHTS, require_equal
from vit.export.safetensors.timm.search import Architecture, find_architecture
from vit.weights.timm.around import RESIZES
from vit.weights.timm.source import LOCAL, timm_architecture
from vit.weights.timm.tower import tower_tensors


class TimmExport:
    """An image tower as timm's model.

    Args:
        model: Ours, float32 on the CPU, in eval mode.

    Raises:
        VitError: It, or its preprocessing, has no counterpart; what it is is named.
    """

    def __init__(self, model: Any):
        if model.reads != "image":
            raise VitError("timm has image models alone, and this one reads texts: --library transformers")
        self.model = model
        self.architecture = find_architecture(model)
        self.config = _config(model, self.architecture)
        self.theirs = _filled(model, self.architecture)
        self.config["num_features"] = self.theirs.num_features
        self.description = f"timm's {self.architecture.name}"

    def write(self, folder: Path) -> None:
        """Write the files."""
        tensors = {name: tensor.contiguous() for name, tensor in self.theirs.state_dict().items()}
        text = json.dumps(self.config, indent=2, ensure_ascii=False)
        (folder / WEIGHTS).write_bytes(save(tensors, FORMAT | {CONFIG: text}))
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")

    def check(self, folder: Path) -> float:
        """The largest difference of logits from those of the files, read as a user of timm reads them.

        Raises:
            VitError: It is too large.
        """
        theirs = timm.create_model(f"{LOCAL}{folder}", pretrained=True).eval()
        return require_equal("timm", lambda images: self.model(images, exact=True), theirs, self._images)

    def _images(self, count: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(count)
        return (torch.randn(count, self.model.channels, *self.model.image_size, generator=generator),)


def _filled(model: Any, architecture: Architecture) -> nn.Module:
    """timm's model with our weights.

    Raises:
        VitError: It has no place for a tensor, which is named.
    """
    theirs = timm_architecture(architecture.name, **architecture.arguments).eval()
    weights = weights_of(model)
    with torch.no_grad():
        for name, held in tower_tensors(theirs):
            held.write(weights[name])
        written = {name: held.read() for name, held in tower_tensors(theirs)}
    for name, tensor in weights.items():
        if not torch.equal(written.get(name, torch.zeros_like(tensor)), tensor):
            raise VitError(f"timm has no counterpart of this model: its {architecture.name} has no {name}")
    return theirs


def _config(model: Any, architecture: Architecture) -> dict[str, Any]:
    """The content of `config.json`."""
    classes = model.architecture["classes"]
    return {
        "architecture": architecture.name,
        "num_classes": classes,
        "global_pool": architecture.arguments["global_pool"],
        **({"label_names": model.labels} if len(model.labels) == classes and classes else {}),
        **({"thresholds": model.thresholds} if model.thresholds else {}),  # timm reads them not
        "model_args": architecture.arguments,
        "pretrained_cfg": {
            "tag": "",
            "custom_load": False,
            "num_classes": classes,
            "fixed_input_size": True,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            **_preprocessing(model),
            **({"license": model.source["license"]} if "license" in model.source else {}),
        },
    }


def _preprocessing(model: Any) -> dict[str, Any]:
    """The fields of a pretrained config about pixels.

    Raises:
        VitError: The preprocessing has no counterpart in timm.
    """
    said = model.preprocess
    if said is None:
        return {"input_size": [model.channels, *model.image_size]}
    border = tuple(round(255 * level) for level in said.mean)
    fill = said.fill or (128,) * said.channels
    if said.resize == "pad" and fill != border:
        raise VitError(
            f"timm has no counterpart of preprocess: its border is {fill}, and timm's has the mean, "
            f"{border}: set model.preprocess to one with that fill"
        )
    modes = {ours: theirs for theirs, ours in RESIZES.items()}
    return {
        "input_size": [said.channels, said.height, said.width],
        "mean": list(said.mean),
        "std": list(said.std),
        "crop_pct": said.crop,
        "crop_mode": modes[said.resize],
        "interpolation": said.interpolation,
    }
