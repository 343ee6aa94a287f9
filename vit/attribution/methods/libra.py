"""LibraGrad, input times gradient (Mehri, Baghshah & Pilehvar 2025, "LibraGrad: balancing gradient flow")."""

from torch import Tensor

from vit.attribution.balanced import balanced_pass, contribution
from vit.attribution.explain import Explanation
from vit.attribution.mass import outlier_patches
from vit.attribution.passes import whole_mask
from vit.attribution.perturbation import blank_inputs
from vit.attribution.query import Query, to_grid
from vit.core import Tower


def run(
    model: Tower, inputs: Tensor, query: Query, targets: Tensor | None, *, baseline: str = "blank"
) -> Explanation:
    """What each patch's pixels, or each token's embedding, add to the target's logit by balanced gradients.

    The difference from a blank input takes the place of the input: a color counts for what it differs from.
    """
    found = balanced_pass(model, inputs, query, targets)
    blank = blank_inputs(model, inputs, baseline)
    if found.inputs_gradient is None:
        states = found.states[0]
        if blank is not None:
            states = states - model.embed(blank, whole_mask(model, blank))
        maps = to_grid(contribution(states, found.gradients[0]), found.grid, model.prefix)
    else:
        pixels = inputs if blank is None else inputs - blank
        maps = per_patch(libra(pixels, found.inputs_gradient), found.grid, model.architecture["patch_size"])
    outliers = outlier_patches(found.last, model.prefix)
    return Explanation(maps, found.logits, found.targets, None, outliers)


def libra(pixels: Tensor, gradient: Tensor) -> Tensor:
    """What each pixel adds to the score, (B, C, height, width) twice -> (B, height, width)."""
    return contribution(pixels.movedim(1, -1), gradient.movedim(1, -1))


def per_patch(pixels: Tensor, grid: tuple[int, int], patch_size: tuple[int, int]) -> Tensor:
    """The sum of each patch's pixels: (B, height, width) -> (B, rows, cols).

    Pixels after the last whole patch, which a model that trims does not read, are left out.
    """
    (rows, cols), (height, width) = grid, patch_size
    read = pixels[:, : rows * height, : cols * width]
    return read.unflatten(2, (cols, width)).unflatten(1, (rows, height)).sum((2, 4))
