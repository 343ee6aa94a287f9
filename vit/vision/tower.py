"""The vision transformer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vit.bundle import save_model
from vit.core import BlockSpec, Encoder, Relation, make_pool
from vit.core.pooling import make_pooler
from vit.core.tower import final_states, initialise, plain_arguments
from vit.positions import GRIDS, GridPositions, make_relative
from vit.vision.patches import ConvTokenizer, PatchTokenizer, patch_grid


class VisionTransformer(nn.Module):
    """Images to logits (Dosovitskiy et al. 2021). It has the interface of `vit.core.Tower`.

    The tokens are, in this order: the class token if there is one, the registers, the patches row by row.
    Any image size that the patches tile is accepted, and with `trim` any other: positions are interpolated.

    Args:
        classes: Number of classes; 0: no head, and `forward` returns the pooled features (B, D).
        image_size: (height, width) in pixels, the grid of the position table.
        block: What all blocks share.
        channels: C.
        patch_size: (height, width) in pixels.
        tokenizer: `patch` or `conv`.
        stem: As in `ConvTokenizer`.
        depth: L.
        class_token: Whether there is a class token.
        registers: Number of register tokens (Darcet et al. 2024).
        positions: `learned`, `sincos`, or `none`: no table of positions.
        positions_antialias: Whether positions are interpolated with antialiasing (`GridPositions`).
        relative: What attention knows of positions: `kind`, a name in `vit.positions.GRIDS`, and the options
            of its class; None: nothing.
        pool: A name in `vit.core.pooling.POOLS`: `cls`, `mean` (of the patches), `attention`, ...
        pool_block: What an attention pool takes from a block; None: `block`.
        patch_bias: Bias of the patch projection.
        patch_norm: A norm on the patches, before positions are added.
        trim: Whether pixels below and to the right of the last whole patch are left out, as a convolution
            leaves them out; otherwise an image that the patches do not tile is refused.
        drop_path: Stochastic depth of the last block.
        embedding_norm: LayerNorm before the first block.
        encoder_norm: LayerNorm after the last block.
        pool_norm: LayerNorm after pooling.
        pooler: A linear layer and `tanh` or `relu` between pool and head, as in transformers' `ViTModel`;
            None: neither.
        projection: Channels of a linear layer without bias after the pool and its pooler, whose result is the
            feature of an image (Radford et al. 2021, "CLIP", section 2.3); None: no such layer.

    Attributes:
        labels: Class names, in the order of the logits; empty if unknown.
        thresholds: As in `vit.core.tower.Tower`; empty for a model that gives one label.
        preprocess: Image (PIL) to float32 tensor (C, height, width); None if unknown.
        architecture: The arguments as plain values.
        source: As in `vit.core.tower.Tower`.
        prefix: Number of tokens before the patches.
        prefix_names: Their names: `class`, `register 1`, ...
        pool_kind: As `pool`.
        autocast: Half-precision dtype of matrix products in `forward` and `features`; None, the default: the
            dtype of the weights. Pool and head always compute in the dtype of the weights.

    Raises:
        ValueError: Arguments that do not fit each other, with both values.
    """

    reads: Literal["image", "text"] = "image"

    def __init__(
        self,
        classes: int,
        image_size: tuple[int, int],
        block: BlockSpec,
        *,
        channels: int = 3,
        patch_size: tuple[int, int] = (4, 4),
        tokenizer: str = "patch",
        stem: Sequence[int] | None = None,
        depth: int = 6,
        class_token: bool = True,
        registers: int = 0,
        positions: str = "learned",
        positions_antialias: bool = True,
        relative: Mapping[str, Any] | None = None,
        pool: str = "cls",
        pool_block: BlockSpec | None = None,
        patch_bias: bool = True,
        drop_path: float = 0.0,
        embedding_norm: bool = False,
        encoder_norm: bool = True,
        pool_norm: bool = False,
        pooler: str | None = None,
        patch_norm: bool = False,
        trim: bool = False,
        projection: int | None = None,
    ):
        architecture = plain_arguments("vision", locals())
        super().__init__()
        if pool in ("cls", "cls_mean") and not class_token:
            raise ValueError(
                f"pool is {pool!r} and class_token is False: set pool to 'mean' or add the token"
            )
        self.labels: list[str] = []
        self.thresholds: list[float] = []
        self.preprocess: Any = None
        self.architecture: dict[str, Any] = architecture
        self.source: dict[str, str] = {}
        self.autocast: torch.dtype | None = None
        self.channels = channels
        self.image_size = image_size
        self.patch_size = patch_size
        self.prefix = int(class_token) + registers
        self.prefix_names = ("class",) * class_token + tuple(f"register {i + 1}" for i in range(registers))
        self.pool_kind = pool
        self.trim = trim
        rows, cols = patch_grid(image_size, patch_size, trim=trim)
        width = block.width

        self.tokenizer = _tokenizer(tokenizer, channels, width, patch_size, patch_bias, stem, trim)
        self.patch_norm = block.make_norm() if patch_norm else None
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None
        self.registers = nn.Parameter(torch.zeros(1, registers, width)) if registers else None
        self.positions = (
            None
            if positions == "none"
            else GridPositions(rows, cols, width, positions, antialias=positions_antialias)
        )
        self.relative = make_relative(GRIDS, relative, block, depth)
        self.dropout = nn.Dropout(block.dropout)
        self.embedding_norm = block.make_norm(used=embedding_norm)
        self.encoder = Encoder(block, depth, drop_path=drop_path, final_norm=encoder_norm)
        self.pool = make_pool(pool, pool_block or block)
        self.pool_norm = block.make_norm(used=pool_norm)
        pooled = width * {"cls_mean": 2, "prefix": self.prefix}.get(pool, 1)
        self.pooler = make_pooler(pooler, pooled)
        self.projection = None if projection is None else nn.Linear(pooled, projection, bias=False)
        pooled = projection or pooled
        self.head: nn.Module = nn.Linear(pooled, classes) if classes else nn.Identity()
        initialise(self)
        for token in (self.class_token, self.registers):  # as large as positions
            if token is not None:
                nn.init.normal_(token, std=width**-0.5)

    def save(self, folder: str | Path) -> None:
        """Write the model as a bundle, a folder that `vit.load_model` and every command read.

        Args:
            folder: As in `vit.bundle.save_model`, with its errors.
        """
        save_model(self, folder)

    @property
    def usual_tokens(self) -> int:
        """Patches of an image of `image_size`."""
        rows, cols = patch_grid(self.image_size, self.patch_size, trim=self.trim)
        return rows * cols

    def forward(self, images: Tensor, *, exact: bool = False) -> Tensor:
        """Images -> logits (B, classes).

        Args:
            images: float (B, C, height, width).
            exact: Compute in the weights' dtype, without autocast.
        """
        return self.read(final_states(self, images, exact=exact))

    def features(self, images: Tensor, *, exact: bool = False) -> Tensor:
        """Images -> pooled features (B, F): what the head reads. Arguments as in `forward`."""
        return self._pooled(final_states(self, images, exact=exact))

    def read(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """States (B, N, D), as `encode` gives them -> logits (B, classes)."""
        return self.head(self._pooled(states, mask))

    def read_token(self, tokens: Tensor) -> Tensor:
        """Logits of states that are read one at a time (the "logit lens"): (..., D) -> (..., classes)."""
        alone, prefix = tokens.reshape(-1, 1, tokens.shape[-1]), 0  # each a sequence of its own
        if self.pool_kind == "prefix":  # read side by side: a state stands in the place of each
            alone, prefix = alone.expand(-1, self.prefix, -1), self.prefix
        return self.head(self._after_pool(self.pool(alone, prefix))).unflatten(0, tokens.shape[:-1])

    def mask(self, images: Tensor) -> None:
        """None: images have no padding."""
        return None

    def encode(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C, height, width) float -> (B, N, D), after the final norm, prefix tokens included."""
        return self.encoder(self.embed(images), mask, self.relations(images))

    def embed(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C, height, width) float -> (B, N, D), the input of the first block.

        Raises:
            ValueError: Not four axes, another number of channels, or patches that do not tile the image.
        """
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ValueError(
                f"images have shape {tuple(images.shape)}, expected (B, {self.channels}, height, width)"
            )
        grid = self.tokenizer(images)  # (B, rows, cols, D)
        if self.patch_norm is not None:
            grid = self.patch_norm(grid)
        patches = (grid if self.positions is None else self.positions(grid)).flatten(1, 2)
        prefix = [
            token.expand(images.shape[0], -1, -1)
            for token in (self.class_token, self.registers)
            if token is not None
        ]
        tokens = torch.cat([*prefix, patches], dim=1) if prefix else patches
        return self.embedding_norm(self.dropout(tokens))

    def relations(self, images: Tensor) -> Sequence[Relation] | None:
        """What each layer's attention knows of the positions of these images' tokens; None: nothing."""
        if self.relative is None:
            return None
        grid = self.grid(images)
        relations: list[Relation] = self.relative(*grid, self.prefix, images.device, images.dtype)
        return relations

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of patches in these images (B, C, height, width)."""
        return patch_grid((images.shape[2], images.shape[3]), self.patch_size, trim=self.trim)

    def _pooled(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._after_pool(self.pool(states, self.prefix, mask))

    def _after_pool(self, pooled: Tensor) -> Tensor:
        """(B, F) -> (B, F), what the head reads."""
        features = self.pool_norm(pooled)
        if self.pooler is not None:
            features = self.pooler(features)
        return features if self.projection is None else self.projection(features)


def _tokenizer(
    kind: str,
    channels: int,
    width: int,
    patch_size: tuple[int, int],
    bias: bool,
    stem: Sequence[int] | None,
    trim: bool,
) -> nn.Module:
    if kind == "patch":
        if stem is not None:
            raise ValueError(f"stem is {list(stem)} and tokenizer is 'patch': only 'conv' has a stem")
        return PatchTokenizer(channels, width, patch_size, bias=bias, trim=trim)
    if kind == "conv":
        if trim:
            raise ValueError(
                "trim is True and tokenizer is 'conv', which reads whole images: set trim to False"
            )
        return ConvTokenizer(channels, width, patch_size, stem)
    raise ValueError(f"tokenizer is {kind!r}, expected 'patch' or 'conv'")
