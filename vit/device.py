"""The device that models run on, and the precision that it is fast in."""

import os

import torch

from vit.config import Precision
from vit.cores import limit_torch_threads

# Multiplications per input from which half precision pays: a ViT-Ti/16 at 224 pixels takes 1.1e9, a
# ViT-S/16 4.2e9.
HALF_FROM = 2e9


def best_device() -> torch.device:
    """This machine's accelerator, or the CPU. Under torchrun, the accelerator of this process.

    On a CPU torch gets as many threads as this process may use cores.
    """
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None:
        limit_torch_threads()
        return torch.device("cpu")
    local = int(os.environ.get("LOCAL_RANK", 0))
    return torch.device(found.type, local % torch.accelerator.device_count())


def resolve_precision(precision: str, accelerator: str = "auto") -> str:
    """Resolve `auto`: bf16-mixed where the hardware has it, 16-mixed on older GPUs, else 32-true."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if accelerator in ("auto", "cpu"):
        found = torch.cpu.get_capabilities()
        return "bf16-mixed" if found.get("amx_bf16") or found.get("avx512_bf16") else "32-true"
    return "32-true"


def autocast_dtype(precision: Precision, multiplications: float) -> torch.dtype | None:
    """The dtype of a model's matrix products in prediction; None: that of its weights.

    Args:
        precision: `auto` is half precision where this machine's best device has it and the model is large
            enough to be faster for it; small models stay exact.
        multiplications: Of the encoder, per input.
    """
    if precision == "auto" and multiplications < HALF_FROM:
        return None
    resolved = resolve_precision(precision, best_device().type)
    return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(resolved)
