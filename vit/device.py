"""The device that models run on, the precision that it is fast in, and what to do where its memory ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vit.config import Precision
from vit.cores import limit_torch_threads
from vit.errors import VitError

# Multiplications per input from which half precision pays: a ViT-Ti/16 at 224 pixels takes 1.1e9, a
# ViT-S/16 4.2e9.
HALF_FROM = 2e9
FLOAT16_FROM = (7, 0)  # compute capability of the first cards that multiply matrices in float16 faster: V100
# In the messages of the CPU, of Apple's GPU, and of CUDA's driver and library of matrix products.
NO_MEMORY = ("DefaultCPUAllocator", "MPS backend out of memory", "CUDA error: out of memory", "ALLOC_FAILED")
MIXED = {torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}  # Lightning's names


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


def half_dtype(kind: str) -> torch.dtype | None:
    """The half-precision dtype in which a kind of device multiplies matrices faster; None: none.

    Args:
        kind: `cuda`, `cpu`, or another type of `torch.device`. `cuda` has bfloat16 from compute capability
            8.0 (A100, RTX 30) and on cards of AMD, float16 from 7.0 (V100, T4); a CPU has bfloat16 where its
            instructions multiply it (AVX-512 BF16, AMX). Others, Apple's GPU among them, compute in float32:
            nothing has been measured on them.
    """
    if kind == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        return torch.float16 if torch.cuda.get_device_capability() >= FLOAT16_FROM else None
    if kind == "cpu":
        found = torch.cpu.get_capabilities()
        return torch.bfloat16 if found.get("amx_bf16") or found.get("avx512_bf16") else None
    return None


def resolve_precision(precision: str, accelerator: str = "auto") -> str:
    """Resolve `auto`: `bf16-mixed` or `16-mixed` where `half_dtype` says so, else `32-true`.

    `16-mixed` is trained with a scaler of the loss, which is Lightning's.

    Args:
        precision: `auto`, or Lightning's name of a precision, which is returned.
        accelerator: As Lightning's; `auto` and `gpu` are the device that Lightning chooses.
    """
    if precision != "auto":
        return precision
    if accelerator in ("auto", "gpu"):
        accelerator = _chosen_by_lightning()
    dtype = half_dtype(accelerator)
    return "32-true" if dtype is None else MIXED[dtype]


def _chosen_by_lightning() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def autocast_dtype(precision: Precision, multiplications: float) -> torch.dtype | None:
    """The dtype of a model's matrix products in prediction; None: that of its weights.

    Args:
        precision: `auto` is half precision where this machine's best device has it and the model is large
            enough to be faster for it; small models stay exact.
        multiplications: Of the encoder, per input.
    """
    if precision == "auto":
        return None if multiplications < HALF_FROM else half_dtype(best_device().type)
    return next((dtype for dtype, name in MIXED.items() if name == precision), None)


@contextmanager
def memory_advice(batch_size: int, option: str = "--batch-size") -> Iterator[None]:
    """Say in one line what to do where the memory of the device ends within the `with` block.

    Args:
        batch_size: Most inputs of a forward pass.
        option: The option that sets it.

    Raises:
        VitError: Instead of torch's error, with the size in use and the next smaller one.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        way = f"{option} {batch_size // 2}" if batch_size > 1 else "a smaller model, or smaller inputs"
        raise VitError(f"out of memory with batches of {batch_size}: {way} needs less") from None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch found no memory. Only some of its errors have a class of their own."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in NO_MEMORY)
