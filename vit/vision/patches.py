"""From pixels to a grid of tokens: (B, C, height, width) -> (B, rows, cols, D)."""

from torch import Tensor, nn


def patch_grid(image_size: tuple[int, int], patch_size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of patches in an image.

    Raises:
        ValueError: The patches do not tile the image.
    """
    (height, width), (patch_height, patch_width) = image_size, patch_size
    if height % patch_height or width % patch_width or not height or not width:
        raise ValueError(
            f"image is {height} x {width} pixels, expected multiples of the patch, "
            f"{patch_height} x {patch_width}"
        )
    return height // patch_height, width // patch_width


class PatchTokenizer(nn.Module):
    """Each patch flattened and mapped by one linear layer (Dosovitskiy et al. 2021, eq. 1).

    Args:
        channels: C.
        width: D.
        patch_size: Pixels per patch, (height, width).
        bias: Bias on the linear map.
    """

    def __init__(self, channels: int, width: int, patch_size: tuple[int, int], *, bias: bool = True):
        super().__init__()
        self.patch_size = patch_size
        self.project = nn.Linear(channels * patch_size[0] * patch_size[1], width, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, height, width) -> (B, rows, cols, D)."""
        rows, cols = patch_grid((images.shape[2], images.shape[3]), self.patch_size)
        patches = images.unflatten(3, (cols, -1)).unflatten(2, (rows, -1))  # (B, C, rows, h, cols, w)
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)  # (B, rows, cols, C h w)
        return self.project(patches)


class ConvTokenizer(nn.Module):
    """3x3 convolutions, one at full resolution and one of stride 2 for each halving (Xiao et al. 2021).

    The grid is that of plain patches of the same size, but each token has seen its neighbourhood, which is
    worth several points of accuracy on small datasets. Channels grow evenly from layer to layer up to D.

    Args:
        channels: C.
        width: D.
        patch_size: Total stride, (height, width): equal, and a power of two.

    Raises:
        ValueError: The stride is no power of two.
    """

    def __init__(self, channels: int, width: int, patch_size: tuple[int, int]):
        super().__init__()
        stride = patch_size[0]
        if patch_size[0] != patch_size[1] or stride < 2 or stride & (stride - 1):
            raise ValueError(
                f"patch_size is {patch_size}, expected a power of two on both sides for the conv tokenizer"
            )
        self.patch_size = patch_size
        strides = [1] + [2] * (stride.bit_length() - 1)
        widths = [channels, *(width * (layer + 1) // len(strides) for layer in range(len(strides)))]
        self.layers = nn.Sequential(
            *(
                part
                for before, after, step in zip(widths, widths[1:], strides, strict=False)
                for part in (
                    nn.Conv2d(before, after, 3, stride=step, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                )
            )
        )
        self.project = nn.Linear(width, width)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, height, width) -> (B, rows, cols, D)."""
        patch_grid((images.shape[2], images.shape[3]), self.patch_size)
        return self.project(self.layers(images).permute(0, 2, 3, 1))
