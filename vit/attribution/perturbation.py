"""What methods share that change the input and read the score, or compare the input with a blank one."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vit.core import Tower
from vit.errors import UsageError, VitError

Score = Callable[[Tensor, Tensor], Tensor]  # (inputs (n, ...), targets (n,)) -> the targets' scores (n,)

# Images (B, C, height, width) and their grid -> blank images, or an image, which broadcast to that shape.
_BLANKS: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "blank": lambda images, grid: (mean_color(images) + local_color(images, grid)) / 2,
    "mean": lambda images, grid: mean_color(images),
    "local": lambda images, grid: local_color(images, grid),
}
NONE = "none"


def mean_color(images: Tensor) -> Tensor:
    """Each image's mean color, as an image: (B, C, height, width) -> the same shape."""
    return images.mean((2, 3), keepdim=True).expand_as(images)


def local_color(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """Each patch's mean color, interpolated between the patches: (B, C, height, width) -> the same shape."""
    if not len(images):  # which `interpolate` refuses
        return images
    colors = interpolate(images, grid, mode="area")
    return interpolate(colors, tuple(images.shape[-2:]), mode="bilinear", align_corners=False)


def blank_inputs(model: Tower, inputs: Tensor, baseline: str = "blank") -> Tensor | None:
    """Inputs that show nothing, which attributions are relative to; None for the baseline `none`.

    Args:
        model: The model.
        inputs: Images (B, C, height, width), or ids int64 (B, N).
        baseline: For images `mean`, the mean color; `local`, the colors of the patches without what is in
            them; or `blank`, halfway between the two, which is expected where either may replace a patch. For
            texts `blank`, the tokenizer's blank for each token. For both `none`.

    Raises:
        UsageError: Another baseline.
        VitError: A text model without a tokenizer.
    """
    known = [*(_BLANKS if model.reads == "image" else ["blank"]), NONE]
    if baseline not in known:
        raise UsageError(f"baseline is {baseline!r}, expected one of: {', '.join(known)}")
    if baseline == NONE:
        return None
    if model.reads == "image":
        return _BLANKS[baseline](inputs, model.grid(inputs))
    if model.preprocess is None:
        raise VitError("the model has no tokenizer, whose blank is the baseline: set baseline to 'none'")
    return torch.full_like(inputs, model.preprocess.blank)
