"""The vision transformer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vit.core import Encoder, GridPositions, make_pool
from vit.vision.patches import ConvTokenizer, PatchTokenizer, patch_grid


class VisionTransformer(nn.Module):
    """Images to logits (Dosovitskiy et al. 2021).

    The tokens are, in this order: the class token if there is one, the registers, the patches row by row.
    Images of another size than `image_size` are welcome wherever the patches tile them: the positions are
    interpolated.

    Args:
        classes: Number of classes; 0 leaves the head out, and `forward` returns the pooled features (B, D).
        image_size: (height, width) in pixels, the grid of the position table.
        channels: C.
        patch_size: (height, width) in pixels.
        tokenizer: `patch` or `conv`.
        stem: As `ConvTokenizer` takes it.
        width: D.
        depth: L.
        heads: H.
        mlp_ratio: Hidden width of the MLPs over D.
        class_token: Whether a class token goes first.
        registers: Number of register tokens (Darcet et al. 2024).
        positions: `learned` or `sincos`.
        pool: `cls`, `mean` (of the patches), `cls_mean` (both, side by side) or `attention`.
        patch_bias: Bias of the patch projection.
        activation: Of the MLPs, as `vit.core.Mlp` names them.
        qkv_bias: Bias on the query, key and value projections: on all or none, or one word for each.
        output_bias: Bias on the other projections of the blocks.
        qk_norm: LayerNorm on queries and keys.
        layer_scale: Initial value of LayerScale; None is none.
        drop_path: Stochastic depth of the last block.
        dropout: Dropout of tokens and branches.
        embedding_norm: LayerNorm before the first block.
        encoder_norm: LayerNorm after the last block.
        pool_norm: LayerNorm after pooling.
        norm_eps: Epsilon of all norms.

    Attributes:
        labels: Class names, in the order of the logits; empty where nobody gave any.
        preprocess: Picture (PIL) to float32 tensor (C, height, width); None where nobody gave one.
        prefix: Number of tokens before the patches.
        pool_kind: `cls`, `mean`, `cls_mean` or `attention`.
        autocast: Half-precision dtype that `forward` computes matrix products in, up to the final tokens;
            the head reads them in the weights' dtype, as None, the default, computes everything.

    Raises:
        ValueError: Arguments that do not fit each other, with both values.
    """

    def __init__(
        self,
        classes: int,
        image_size: tuple[int, int],
        *,
        channels: int = 3,
        patch_size: tuple[int, int] = (4, 4),
        tokenizer: str = "patch",
        stem: Sequence[int] | None = None,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
        mlp_ratio: float = 4.0,
        class_token: bool = True,
        registers: int = 0,
        positions: str = "learned",
        pool: str = "cls",
        patch_bias: bool = True,
        activation: str = "gelu",
        qkv_bias: bool | Sequence[bool] = True,
        output_bias: bool = True,
        qk_norm: bool = False,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        embedding_norm: bool = False,
        encoder_norm: bool = True,
        pool_norm: bool = False,
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        if pool in ("cls", "cls_mean") and not class_token:
            raise ValueError(
                f"pool is {pool!r} and class_token is False: set pool to 'mean' or add the token"
            )
        self.labels: list[str] = []
        self.preprocess: Any = None
        self.autocast: torch.dtype | None = None
        self.channels = channels
        self.image_size = image_size
        self.patch_size = patch_size
        self.prefix = int(class_token) + registers
        self.pool_kind = pool
        rows, cols = patch_grid(image_size, patch_size)

        self.tokenizer = _tokenizer(tokenizer, channels, width, patch_size, patch_bias, stem)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if class_token else None
        self.registers = nn.Parameter(torch.zeros(1, registers, width)) if registers else None
        self.positions = GridPositions(rows, cols, width, positions)
        self.dropout = nn.Dropout(dropout)
        self.embedding_norm = nn.LayerNorm(width, eps=norm_eps) if embedding_norm else nn.Identity()
        self.encoder = Encoder(
            width,
            depth,
            heads,
            mlp_ratio=mlp_ratio,
            activation=activation,
            qkv_bias=qkv_bias,
            output_bias=output_bias,
            qk_norm=qk_norm,
            layer_scale=layer_scale,
            drop_path=drop_path,
            dropout=dropout,
            final_norm=encoder_norm,
            norm_eps=norm_eps,
        )
        self.pool = make_pool(pool, width, heads, mlp_ratio=mlp_ratio, norm_eps=norm_eps)
        self.pool_norm = nn.LayerNorm(width, eps=norm_eps) if pool_norm else nn.Identity()
        read = 2 * width if pool == "cls_mean" else width
        self.head = nn.Linear(read, classes) if classes else nn.Identity()
        self._initialise()

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, height, width) float -> logits (B, classes)."""
        if self.autocast is None:
            return self.read(self.encode(images))
        with torch.autocast(images.device.type, self.autocast):
            states = self.encode(images)
        return self.read(states.to(images.dtype))

    def read(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the head makes of final tokens: (B, N, D), as `encode` gives them -> logits (B, classes)."""
        return self.head(self.pool_norm(self.pool(states, self.prefix, mask)))

    def read_token(self, tokens: Tensor) -> Tensor:
        """What the head makes of a token when that is all it reads (the "logit lens").

        (..., D), of those that `encode` gives -> logits (..., classes).
        """
        alone = self.pool(tokens.reshape(-1, 1, tokens.shape[-1]), 0)  # each a sequence of its own
        return self.head(self.pool_norm(alone)).unflatten(0, tokens.shape[:-1])

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, height, width) float -> (B, N, D), after the final norm, prefix tokens included."""
        return self.encoder(self.embed(images))

    def embed(self, images: Tensor) -> Tensor:
        """(B, C, height, width) float -> (B, N, D), what enters the first block.

        Raises:
            ValueError: Not four axes, another number of channels, or patches that do not tile the image.
        """
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ValueError(
                f"images have shape {tuple(images.shape)}, expected (B, {self.channels}, height, width)"
            )
        patches = self.positions(self.tokenizer(images)).flatten(1, 2)
        prefix = [
            token.expand(len(images), -1, -1)
            for token in (self.class_token, self.registers)
            if token is not None
        ]
        tokens = torch.cat([*prefix, patches], dim=1) if prefix else patches
        return self.embedding_norm(self.dropout(tokens))

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of patches in these images (B, C, height, width)."""
        return patch_grid((images.shape[2], images.shape[3]), self.patch_size)

    def _initialise(self) -> None:
        """Matrices by Glorot & Bengio (2010), tokens as large as positions, a zero head: all classes even.

        A fixed standard deviation such as 0.02 suits one width; at a small one, attention stays uniform and
        the first epochs are lost.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for token in (self.class_token, self.registers):
            if token is not None:
                nn.init.normal_(token, std=token.shape[-1] ** -0.5)
        if isinstance(self.head, nn.Linear):
            nn.init.zeros_(self.head.weight)


def _tokenizer(
    kind: str,
    channels: int,
    width: int,
    patch_size: tuple[int, int],
    bias: bool,
    stem: Sequence[int] | None,
) -> nn.Module:
    if kind == "patch":
        if stem is not None:
            raise ValueError(f"stem is {list(stem)} and tokenizer is 'patch': only 'conv' has a stem")
        return PatchTokenizer(channels, width, patch_size, bias=bias)
    if kind == "conv":
        return ConvTokenizer(channels, width, patch_size, stem)
    raise ValueError(f"tokenizer is {kind!r}, expected 'patch' or 'conv'")
