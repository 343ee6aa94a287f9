"""A model on one batch of a reader, in passes of a size that suits the device."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vit.core import Tower
from vit.inputs.decoding import DEFAULT_LIMITS, Limits
from vit.inputs.images import DecodedImage, ImageReader
from vit.inputs.texts import TextReader, TokenizedText
from vit.text import padded

# Patches in a forward pass on a CPU. Larger tensors do not fit its caches, and above 32 MB each one is
# allocated anew (docs/performance.md has the measurement).
CPU_TOKENS = 4096

# (inputs, exact=bool), for texts (ids, mask, exact=bool) -> (B, ...): a tower, or its method `features`
Forward = Callable[..., Tensor]


def reader_for(model: Tower, batch_size: int, limits: Limits = DEFAULT_LIMITS) -> ImageReader | TextReader:
    """A reader of the model's kind of input; `limits` apply to images alone."""
    if model.reads == "text":
        return TextReader(model.preprocess, batch_size)
    return ImageReader(model.preprocess, batch_size, device=_device(model), limits=limits)


def run_batch(
    model: Tower, forward: Forward, batch: Sequence[Any], batch_size: int, *, exact: bool = False
) -> Tensor:
    """The outputs of a batch, (B, ...), on the CPU.

    Args:
        model: In eval mode, with `preprocess`.
        forward: The model, or its method `features`.
        batch: What a reader of `reader_for` yields, or a part of it.
        batch_size: Most inputs in a forward pass. An image model on the CPU gets fewer if `batch_size` images
            have more than `CPU_TOKENS` patches.
        exact: Compute in the weights' dtype, whatever `model.autocast` is.
    """
    if model.reads == "text":
        return _run_texts(model, forward, batch, batch_size, exact)
    return _run_images(model, forward, batch, batch_size, exact)


def _run_images(
    model: Tower, forward: Forward, batch: Sequence[DecodedImage], batch_size: int, exact: bool
) -> Tensor:
    pixels = torch.stack([image.pixels for image in batch])  # (B, C, height, width)
    device = _device(model)
    if device.type == "cpu":
        rows, cols = model.grid(pixels)
        batch_size = min(batch_size, max(1, CPU_TOKENS // (rows * cols)))
    normalise = model.preprocess.normalise
    outputs = [forward(normalise(part.to(device)), exact=exact).cpu() for part in pixels.split(batch_size)]
    return torch.cat(outputs)


def _run_texts(
    model: Tower, forward: Forward, batch: Sequence[TokenizedText], batch_size: int, exact: bool
) -> Tensor:
    """Texts of like length share a pass, so that there is little padding.

    What is padding is said, not found: a text may spell out `[PAD]`.
    """
    order = sorted(range(len(batch)), key=lambda index: len(batch[index].ids))
    passes = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    outputs = []
    for indices in passes:
        rows = [batch[index].ids for index in indices]
        ids = padded(rows, model.preprocess.padding).to(_device(model))  # (B, N)
        mask = padded([torch.ones_like(row) for row in rows], 0).bool().to(ids.device)
        outputs.append(forward(ids, mask, exact=exact).cpu())
    return torch.cat(outputs)[torch.tensor(order).argsort()]


def _device(model: Tower) -> torch.device:
    return next(model.parameters()).device
