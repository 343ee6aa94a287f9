"""The slow references: change the picture, and see what the score does. They look at no attention."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vit.errors import UsageError

Score = Callable[[Tensor, Tensor], Tensor]  # (images (n, C, h, w), target (n,)) -> the targets' scores (n,)


def mean_color(images: Tensor) -> Tensor:
    """Each picture's own mean colour, as a picture: (B, C, height, width) -> the same shape."""
    return images.mean((2, 3), keepdim=True).expand_as(images)


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

    A square of `window` x `window` patches is covered by the picture's mean colour, at every place where it
    lies within the grid; a patch gets the mean fall over the squares that cover it.

    Args:
        images: (B, C, height, width)
        targets: int64 (B,)
        score: Called with variants of one picture at a time.
        grid: (rows, cols) that tile the pictures.
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
    places = [(row, col) for row in range(rows - window + 1) for col in range(cols - window + 1)]
    covers = torch.zeros(len(places), rows, cols, device=images.device)
    for cover, (row, col) in zip(covers, places, strict=True):
        cover[row : row + window, col : col + window] = 1
    falls = torch.zeros(len(images), rows, cols, device=images.device)
    for fall, image, colour, target in zip(falls, images, mean_color(images), targets, strict=True):
        fall += _fall(image, colour, target, score, covers, batch_size)
    return falls


def _fall(image: Tensor, colour: Tensor, target: Tensor, score: Score, covers: Tensor, size: int) -> Tensor:
    """The mean fall of one picture's score over the covers of each patch, (rows, cols)."""
    whole = score(image[None], target[None]).float()
    falls = torch.cat(
        [
            whole - score(torch.lerp(image, colour, pixels.to(image)), target.expand(len(pixels))).float()
            for pixels in _spread(covers, image.shape[-2:], size)
        ]
    )
    return torch.einsum("n,nrc->rc", falls, covers) / covers.sum(0)


def _spread(covers: Tensor, size: torch.Size, batch_size: int) -> Iterator[Tensor]:
    """(n, rows, cols) -> (up to batch_size, 1, height, width) at a time, each patch a block of pixels."""
    for part in covers.split(batch_size):
        yield interpolate(part[:, None], tuple(size), mode="nearest-exact")


def token_occlusion(
    ids: Tensor, targets: Tensor, score: Score, blank: int, *, window: int = 1, batch_size: int = 64
) -> Tensor:
    """How much the score falls when tokens are taken away, as `occlusion` does with patches.

    Runs of `window` tokens become the blank, at every place where they lie within the text; special tokens
    are tokens like the others.

    Args:
        ids: int64 (B, N), without padding.
        targets: int64 (B,)
        score: Called with variants of one text at a time.
        blank: The id that stands for a word taken away.
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
    places = torch.arange(count, device=ids.device)
    covers = (places >= starts[:, None]) & (places < starts[:, None] + window)  # (n, N)
    falls = torch.empty(len(ids), 1, count, device=ids.device)
    for fall, text, target in zip(falls, ids, targets, strict=True):
        whole = score(text[None], target[None]).float()
        fallen = torch.cat(
            [
                whole - score(text.where(~part, blank), target.expand(len(part))).float()
                for part in covers.split(batch_size)
            ]
        )
        fall[0] = fallen @ covers.float() / covers.sum(0)
    return falls


def rise(
    images: Tensor,
    targets: Tensor,
    score: Score,
    grid: tuple[int, int],
    *,
    samples: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    seed: int = 0,
    batch_size: int = 64,
) -> Tensor:
    """RISE (Petsiuk, Das & Saenko 2018, "Randomized input sampling for explanation", section 3).

    Random masks of `cells` x `cells`, each cell kept with probability `keep`, are enlarged bilinearly and
    shifted by a random part of a cell (section 3.2). What they hide takes the picture's mean colour. The map
    is the mean of the masks weighted by the scores, over the probability of being kept (eq. 6).

    Args:
        images: (B, C, height, width)
        targets: int64 (B,)
        score: Probabilities in the paper; called with variants of one picture at a time.
        grid: (rows, cols) of the map; the mask's pixels are averaged over each patch.
        samples: Number of masks, the same for every picture.
        cells: Cells per side of a mask.
        keep: Probability that a cell is kept.
        seed: Of the masks.
        batch_size: Variants per call.

    Returns:
        float32 (B, rows, cols), in units of the score.

    Raises:
        UsageError: No sample.
    """
    if samples < 1:
        raise UsageError(f"samples is {samples}, expected at least 1")
    size = (images.shape[2], images.shape[3])
    total = torch.zeros(len(images), *grid, device=images.device)
    colours = mean_color(images)
    for masks in _rise_masks(size, samples, cells, keep, seed, batch_size):
        masks = masks.to(images.device)  # (n, 1, height, width)
        shown = interpolate(masks, grid, mode="area")[:, 0]  # (n, rows, cols)
        for map_, image, colour, target in zip(total, images, colours, targets, strict=True):
            scores = score(torch.lerp(colour, image, masks.to(image)), target.expand(len(masks))).float()
            map_ += torch.einsum("n,nrc->rc", scores, shown)
    return total / (samples * keep)


def _rise_masks(
    size: tuple[int, int], samples: int, cells: int, keep: float, seed: int, batch_size: int
) -> Iterator[Tensor]:
    """(up to batch_size, 1, height, width) masks in [0, 1] at a time, whose batching changes nothing."""
    chance = torch.Generator().manual_seed(seed)
    cell = [-(-side // cells) for side in size]  # pixels of a cell, rounded up
    large = ((cells + 1) * cell[0], (cells + 1) * cell[1])
    grids = (torch.rand(samples, 1, cells + 1, cells + 1, generator=chance) < keep).float()
    tops = torch.randint(0, cell[0], (samples,), generator=chance)
    lefts = torch.randint(0, cell[1], (samples,), generator=chance)
    for part, top, left in zip(
        grids.split(batch_size), tops.split(batch_size), lefts.split(batch_size), strict=True
    ):
        smooth = interpolate(part, large, mode="bilinear", align_corners=False)
        smooth = smooth.clamp(0, 1)  # against rounding
        places = zip(smooth, top.tolist(), left.tolist(), strict=True)
        yield torch.stack([mask[:, y : y + size[0], x : x + size[1]] for mask, y, x in places])
