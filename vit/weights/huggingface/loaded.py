"""A transformers model in memory: its class, and the files that it came from."""

from pathlib import Path
from typing import Any

from torch import nn

from vit.errors import VitError


def class_of(model: Any) -> str:
    """The name of the class of transformers that a model is, or is derived from.

    Raises:
        VitError: It is none of them.
    """
    kind = type(model)
    config: Any = getattr(model, "config", None)
    if isinstance(model, nn.Module) and hasattr(config, "to_dict"):
        for base in kind.__mro__:
            if base.__module__.startswith("transformers.models."):
                return base.__name__
    way_out = {
        "timm": ": vit.from_timm imports models of timm",
        "peft": ": merge it first, merge_and_unload()",
    }
    raise VitError(
        f"cannot import a {kind.__name__}, expected a model of transformers"
        + way_out.get(kind.__module__.partition(".")[0], "")
    )


def check_whole(model: nn.Module) -> None:
    """Refuse weights that are not here as floating-point numbers.

    Raises:
        VitError: A parameter is sharded, offloaded or quantized; it is named.
    """
    for name, parameter in model.named_parameters():
        if hasattr(parameter, "full_tensor") or "_fsdp_wrapped_module" in name or "_flat_param" in name:
            raise VitError(
                f"cannot import a sharded model ({name} is a part of a tensor): save it whole with "
                "save_pretrained, and give the folder as hf:FOLDER"
            )
        if parameter.is_meta:
            raise VitError(
                f"cannot import a model without its weights ({name} is on the meta device, empty or "
                "offloaded): load it without device_map"
            )
        if not parameter.is_floating_point():
            raise VitError(
                f"cannot import a quantized model ({name} has dtype {parameter.dtype}): load it without "
                "quantization_config"
            )


def folder_of(model: Any) -> Path | None:
    """The folder that a model was loaded from, where it is on this machine; nothing is downloaded."""
    name = str(getattr(model, "name_or_path", "") or "")
    if not name:
        return None
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:  # a folder that is gone
        return None
    return Path(found).parent if isinstance(found, str) else None
