"""Arrays and tensors as pictures: which ones are, and of the others the line of code that makes one.

A picture that is taken for what it is not costs accuracy and says nothing: 10 points with red and blue
exchanged, and as many without the model's normalisation. So what looks otherwise is refused.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vit.data.preprocess import Preprocess
from vit.errors import VitError

ARRAY = "a NumPy array of dtype uint8 and shape (height, width, 3), RGB, or (height, width), grey"
TENSOR = "a uint8 tensor (3, height, width), RGB, or what model.preprocess(picture) returns"
WHOLE = 0.01  # levels: how far from whole ones those of a preprocessed picture may be
BGR_MENDED = "picture[:, :, ::-1], or cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)"


def require_rgb(channels: str) -> None:
    """Refuse arrays whose channels are said to be in another order.

    Raises:
        VitError: `channels` is not RGB; with the line that makes it.
    """
    if channels.upper() == "BGR":
        raise VitError(f"channels is {channels!r}, as of OpenCV, expected 'RGB': pass {BGR_MENDED}")
    if channels != "RGB":
        raise VitError(f"channels is {channels!r}, expected 'RGB': pass arrays of shape (height, width, 3)")


def picture_of_array(array: np.ndarray) -> np.ndarray:
    """A picture, as `vit.data.decode.open_image` takes it; the array itself.

    Raises:
        VitError: It is none; with the line that makes one of it, if there is one.
    """
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype == np.uint8 and is_picture and array.size:
        return array
    values = _range(array)
    found = f"an array of shape {array.shape} and dtype {array.dtype}{_said(values)}"
    raise VitError(f"the picture is {found}, expected {ARRAY}{_way_out(_mended_array(array, values))}")


def picture_of_tensor(tensor: Tensor, preprocess: Preprocess) -> np.ndarray | Tensor:
    """An array as of `picture_of_array`; of a preprocessed picture its pixels, uint8 (C, height, width).

    Args:
        tensor: uint8 (3 or 1, H, W) of any size; or float, what `preprocess` returns.
        preprocess: The model's.

    Raises:
        VitError: It is neither; with the line that makes one of it, if there is one.
    """
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.uint8 and tensor.ndim == 3 and tensor.shape[0] in (1, 3) and tensor.numel():
        return tensor[0].numpy() if tensor.shape[0] == 1 else tensor.permute(1, 2, 0).numpy()
    if (pixels := _levels_of(tensor, preprocess)) is not None:
        return pixels
    values = _range(tensor.double().numpy()) if tensor.dtype == torch.bfloat16 else _range(tensor.numpy())
    found = f"a tensor of shape {tuple(tensor.shape)} and dtype {tensor.dtype}{_said(values)}"
    raise VitError(f"the picture is {found}, expected {TENSOR}{_way_out(_mended_tensor(tensor, values))}")


def _levels_of(tensor: Tensor, preprocess: Preprocess) -> Tensor | None:
    """The pixels of which `preprocess.normalise` makes a tensor; None: there are none.

    A picture of 0 to 1, or one that was normalised otherwise, gives levels that are not whole numbers.
    """
    shape = (preprocess.channels, preprocess.height, preprocess.width)
    if tuple(tensor.shape) != shape or tensor.dtype not in (torch.float32, torch.float64):
        return None
    scale, shift = (torch.tensor(values).view(-1, 1, 1) for values in (preprocess.std, preprocess.mean))
    levels = (tensor.double() * scale + shift) * 255
    whole = levels.round()
    is_picture = bool(((levels - whole).abs() <= WHOLE).all() & (whole >= 0).all() & (whole <= 255).all())
    return whole.to(torch.uint8) if is_picture else None


def _range(array: np.ndarray) -> tuple[float, float] | None:
    """The least and the greatest value; None: there is none, or one is not finite, or it has no numbers."""
    if not array.size or array.dtype.kind not in "buif" or not np.isfinite(array).all():
        return None
    return float(array.min()), float(array.max())


def _said(values: tuple[float, float] | None) -> str:
    return "" if values is None else f", values from {values[0]:.4g} to {values[1]:.4g}"


def _way_out(line: str | None) -> str:
    return "" if line is None else f": pass {line}"


def _mended_array(array: np.ndarray, values: tuple[float, float] | None) -> str | None:
    """The line that makes a picture of an array named `picture`; None: there is none."""
    if array.ndim == 4:
        return "list(pictures), the pictures one by one"
    if array.ndim not in (2, 3) or values is None:
        return None
    line, last = "picture", array.shape[-1]
    if array.ndim == 3 and last not in (1, 3, 4):
        if array.shape[0] not in (1, 3, 4):
            return None
        line, last = "picture.transpose(1, 2, 0)", array.shape[0]
    if array.ndim == 3 and last == 1:
        line += "[:, :, 0]"
    levels = _as_bytes(line, array.dtype, values, ".astype('uint8')")
    return f"PIL.Image.fromarray({levels})" if array.ndim == 3 and last == 4 and levels else levels


def _mended_tensor(tensor: Tensor, values: tuple[float, float] | None) -> str | None:
    """The line that makes a picture of a tensor named `picture`; None: there is none."""
    if tensor.ndim == 4:
        return "list(pictures), the pictures one by one"
    if tensor.ndim != 3 or values is None:
        return None
    line, first = "picture", tensor.shape[0]
    if first not in (1, 3):
        if tensor.shape[2] not in (1, 3):
            return None
        line = "picture.permute(2, 0, 1)"
    kind: Any = torch.zeros((), dtype=tensor.dtype)
    dtype = np.dtype(np.float32) if tensor.is_floating_point() else kind.numpy().dtype
    return _as_bytes(line, dtype, values, ".to(torch.uint8)") or "model.preprocess(picture)"


def _as_bytes(line: str, dtype: np.dtype, values: tuple[float, float], cast: str) -> str | None:
    """The line that turns numbers to levels of 0 to 255; None: it is not known what they stand for."""
    low, high = values
    if dtype == np.uint8:
        return line
    if dtype == np.bool_:
        return f"{line}{cast} * 255"
    if low < 0:  # as after a normalisation
        return None
    if dtype.kind == "f":
        if high <= 1:
            return f"({line} * 255).round(){cast}"
        return f"{line}.round(){cast}" if high <= 255 else None
    if high <= 255 and dtype != np.uint16:
        return f"{line}{cast}"
    return f"({line} // 257){cast}" if dtype == np.uint16 else None
