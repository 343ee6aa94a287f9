"""Occlusion: the fall of a class's score when patches or tokens are covered (Zeiler & Fergus 2014)."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vit.attribution.explain import Explanation
from vit.attribution.passes import perturbed
from vit.attribution.perturbation import Score, mean_color
from vit.attribution.query import Query
from vit.core import Tower
from vit.errors import UsageError

SIZES = (1, 2, 3)  # patches per side of a cover


def run(
    model: Tower, inputs: Tensor, query: Query, targets: Tensor | None, *, window: int | None = None
) -> Explanation:
    """The fall of the target's logit when each patch or token is covered.

    Without a `window`, an image's patches are covered one by one and in squares of several sizes: a model
    that has learned to do without any single patch misses none of them.
    """

    def cover_tokens(ids: Tensor, classes: Tensor, score: Score, grid: tuple[int, int]) -> Tensor:
        size = 1 if window is None else window
        return token_occlusion(ids, classes, score, model.preprocess.blank, window=size)

    def cover_squares(images: Tensor, classes: Tensor, score: Score, grid: tuple[int, int]) -> Tensor:
        sizes = window_sizes(grid) if window is None else [window]
        falls = [occlusion(images, classes, score, grid, window=size) for size in sizes]
        return torch.stack(falls).mean(0)

    method = cover_tokens if model.reads == "text" else cover_squares
    return perturbed(method, lambda logits: logits, model, inputs, query, targets)


def window_sizes(grid: tuple[int, int]) -> list[int]:
    """Patches per side of the covers: (rows, cols) -> 1, 2, 3, as far as they fit."""
    return [size for size in SIZES if size <= min(grid)]


def occlusion(
    images: Tensor,
    targets: Tensor,
    score: Score,
    grid: tuple[int, int],
    *,
    window: int = 1,
    batch_size: int = 64,
) -> Tensor:
    """How much the score falls when patches are covered (Zeiler & Fergus 2014, section 4.2).

    A square of `window` x `window` patches is covered by the image's mean color, at every position within the
    grid; a patch gets the mean fall over the squares that cover it.

    Args:
        images: (B, C, height, width)
        targets: int64 (B,)
        score: Called with variants of one image at a time.
        grid: (rows, cols) that tile the images.
        window: Patches per side of the square.
        batch_size: Variants per call.

    Returns:
        float32 (B, rows, cols), in units of the score; negative where covering a patch raises it.

    Raises:
        UsageError: A window larger than the grid, or below 1.
    """
    rows, cols = grid
    if not 1 <= window <= min(rows, cols):
        raise UsageError(f"window is {window} patches, expected 1 to {min(rows, cols)}: the grid is {grid}")
    corners = [(row, col) for row in range(rows - window + 1) for col in range(cols - window + 1)]
    covers = torch.zeros(len(corners), rows, cols, device=images.device)
    for cover, (row, col) in zip(covers, corners, strict=True):
        cover[row : row + window, col : col + window] = 1
    falls = torch.zeros(len(images), rows, cols, device=images.device)
    for fall, image, color, target in zip(falls, images, mean_color(images), targets, strict=True):
        fall += _fall(image, color, target, score, covers, batch_size)
    return falls


def _fall(image: Tensor, color: Tensor, target: Tensor, score: Score, covers: Tensor, size: int) -> Tensor:
    """The mean fall of one image's score over the covers of each patch, (rows, cols)."""
    whole = score(image[None], target[None]).float()
    falls = torch.cat(
        [
            whole - score(torch.lerp(image, color, pixels.to(image)), target.expand(len(pixels))).float()
            for pixels in _to_pixels(covers, image.shape[-2:], size)
        ]
    )
    return torch.einsum("n,nrc->rc", falls, covers) / covers.sum(0)


def _to_pixels(covers: Tensor, size: torch.Size, batch_size: int) -> Iterator[Tensor]:
    """(n, rows, cols) -> (up to batch_size, 1, height, width) at a time."""
    for part in covers.split(batch_size):
        yield interpolate(part[:, None], tuple(size), mode="nearest-exact")


def token_occlusion(
    ids: Tensor, targets: Tensor, score: Score, blank: int, *, window: int = 1, batch_size: int = 64
) -> Tensor:
    """How much the score falls when tokens are taken away, as `occlusion` does with patches.

    Every run of `window` tokens within the text is replaced by the blank; special tokens are not exempt.

    Args:
        ids: int64 (B, N), without padding.
        targets: int64 (B,)
        score: Called with variants of one text at a time.
        blank: The id that replaces a token.
        window: Tokens per run.
        batch_size: Variants per call.

    Returns:
        float32 (B, 1, N), in units of the score; negative where taking a token away raises it.

    Raises:
        UsageError: A window longer than the text, or below 1.
    """
    count = ids.shape[1]
    if not 1 <= window <= count:
        raise UsageError(f"window is {window} tokens, expected 1 to {count}: the text has {count}")
    starts = torch.arange(count - window + 1, device=ids.device)
    positions = torch.arange(count, device=ids.device)
    covers = (positions >= starts[:, None]) & (positions < starts[:, None] + window)  # (n, N)
    falls = torch.empty(len(ids), 1, count, device=ids.device)
    for fall, text, target in zip(falls, ids, targets, strict=True):
        whole = score(text[None], target[None]).float()
        run_falls = torch.cat(
            [
                whole - score(text.where(~part, blank), target.expand(len(part))).float()
                for part in covers.split(batch_size)
            ]
        )
        fall[0] = run_falls @ covers.float() / covers.sum(0)
    return falls
