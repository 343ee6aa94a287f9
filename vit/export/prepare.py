"""A model as a module of plain tensors, and the tensors to trace and to test it with."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim

from vit.core import Tower
from vit.core.attention import Attention
from vit.errors import UsageError, VitError
from vit.text.matching import is_encoder_decoder, predicts_next

EXAMPLES = 2  # inputs to trace with: with one, torch takes the batch for a constant
TRACED_TOKENS, TESTED_TOKENS = 16, 7
FURTHER = (1, 2)  # rows and columns of patches that a second tested size has more

Size = tuple[int, ...]  # (height, width) of pictures; (tokens,) of texts


class Prepared(NamedTuple):
    """A model on its way into a file.

    Args:
        model: A copy in eval mode, float32, on the CPU.
        module: What is traced: the tensors of `make` -> `output`.
        reference: What the file must agree with, from the same tensors.
        reads: What it reads: `image`, `text`, or `pictures`, which are uint8.
        axes: By the name of each input, the axes whose length is free, with their ranges.
        output: `logits`, or `features` of a model without a head, or `scores`.
        sizes: At which the file is tested; it is traced with the last.
        make: (number of inputs, size) -> random inputs.
    """

    model: Any
    module: nn.Module
    reference: Callable[..., Tensor]
    reads: str
    axes: dict[str, dict[int, Any]]
    output: str
    sizes: tuple[Size, ...]
    make: Callable[[int, Size], tuple[Tensor, ...]]

    def trace(self) -> torch.export.ExportedProgram:
        """The module as a graph, under `plain_mode`.

        Raises:
            VitError: torch cannot trace it.
        """
        try:
            example = self.make(EXAMPLES, self.sizes[-1])
            return torch.export.export(self.module, example, dynamic_shapes=self.axes)
        except Exception as error:  # of many kinds
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise VitError(f"torch.export cannot trace the model: {reason}") from error


class Images(nn.Module):
    """Images, float32 (B, C, height, width), normalised -> logits or features (B, ...).

    Args:
        model: An image tower.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, height, width) -> (B, ...)."""
        return self.model(images, exact=True)


class Texts(nn.Module):
    """Texts -> logits or features (B, ...).

    Args:
        model: A text tower.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 (B, N) twice -> (B, ...).

        Args:
            input_ids: Ids of tokens.
            attention_mask: 1 = a token, 0 = padding, as the files of other libraries have it.
        """
        return self.model(input_ids, attention_mask != 0, exact=True)


class AnyGrid(nn.Module):
    """Positions of a grid whose size is not known when the file is written: always interpolated.

    Args:
        positions: `vit.positions.GridPositions`.
    """

    def __init__(self, positions: Any):
        super().__init__()
        self.positions = positions

    def forward(self, patches: Tensor) -> Tensor:
        """(B, rows, cols, D) -> (B, rows, cols, D)."""
        table = self.positions.table.permute(2, 0, 1)[None]  # (1, D, rows, cols)
        size = (patches.shape[1], patches.shape[2])
        resized = nn.functional.interpolate(table, size, mode="bicubic", antialias=self.positions.antialias)
        return patches + resized[0].permute(1, 2, 0)


def prepare(model: Tower, *, dynamic_size: bool = False) -> Prepared:
    """A model as it is written to a file. The model itself is not changed.

    Args:
        model: An image or text model, in any mode, dtype and device.
        dynamic_size: Let the file take images of any size that the patches tile; otherwise those of one.

    Raises:
        VitError: The model generates texts, or its positions are those of one size.
        UsageError: `dynamic_size` for a text model.
    """
    require_exportable(model)
    output = "features" if isinstance(model.head, nn.Identity) else "logits"
    copied: Any = frozen_copy(model)
    if model.reads == "text":
        if dynamic_size:
            raise UsageError("--dynamic-size applies to image models: a text file takes texts of any length")
        return _texts(copied, output)
    return _images(copied, output, dynamic_size)


def require_exportable(model: Any) -> None:
    """Refuse a model that answers with texts.

    Raises:
        VitError: With the way out.
    """
    kind = "an encoder-decoder" if is_encoder_decoder(model) else "a language model"
    if is_encoder_decoder(model) or predicts_next(model):
        raise VitError(
            f"the model is {kind}, which writes a text token by token, and a graph computes one step: use "
            "vit generate, or --format safetensors --library transformers"
        )


def frozen_copy(model: Tower) -> Tower:
    """The same model in eval mode, float32, on the CPU, without autocast, recorders or gradients."""
    modules: Any = model
    # What `deepcopy` finds in its memo it does not copy: a recorder may hold tensors of a graph.
    memo: dict[int, Any] = {
        id(part.recorders): {} for part in modules.modules() if isinstance(part, Attention)
    }
    with torch.inference_mode(False):
        copied: Any = copy.deepcopy(modules, memo).float().cpu().eval().requires_grad_(False)
    copied.autocast = None
    return copied


@contextmanager
def plain_mode() -> Iterator[None]:
    """Without gradients, inference tensors and autocast, whatever the caller has switched on."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        yield


def picture_size(model: Any) -> tuple[int, int]:
    """Height and width of the images that the model is used with."""
    preprocess = model.preprocess
    return model.image_size if preprocess is None else (preprocess.height, preprocess.width)


def _images(model: Any, output: str, dynamic_size: bool) -> Prepared:
    height, width = picture_size(model)
    sizes: tuple[Size, ...] = ((height, width),)
    axes: dict[int, Any] = {0: Dim("batch", min=1)}
    if dynamic_size:
        _require_any_size(model)
        patch_height, patch_width = model.patch_size
        sizes += ((height + FURTHER[0] * patch_height, width + FURTHER[1] * patch_width),)
        axes |= {2: patch_height * Dim("rows", min=2), 3: patch_width * Dim("cols", min=2)}

    def make(count: int, size: Size) -> tuple[Tensor, ...]:
        return (torch.randn(count, model.channels, *size, generator=_noise(count)),)

    traced = Images(_for_any_grid(model) if dynamic_size else model)
    return Prepared(model, traced, Images(model), "image", {"images": axes}, output, sizes, make)


def _texts(model: Any, output: str) -> Prepared:
    vocabulary, longest = model.token_embedding.num_embeddings, model.length
    sizes: tuple[Size, ...] = tuple((min(tokens, longest),) for tokens in (TESTED_TOKENS, TRACED_TOKENS))
    axes = {0: Dim("batch", min=1), 1: Dim("tokens", min=1, max=longest)}

    def make(count: int, size: Size) -> tuple[Tensor, ...]:
        """Row i ends i tokens earlier, by turns of three."""
        ids = torch.randint(vocabulary, (count, *size), generator=_noise(count))
        ends = size[0] - torch.arange(count) % min(3, size[0])
        mask = torch.arange(size[0]) < ends[:, None]
        return ids.masked_fill(~mask, model.padding), mask.long()

    names = ("input_ids", "attention_mask")
    module = Texts(model)
    return Prepared(model, module, module, "text", dict.fromkeys(names, axes), output, sizes, make)


def _require_any_size(model: Any) -> None:
    """Refuse a model whose attention has a table of biases for its own grid.

    Raises:
        VitError: With the way out.
    """
    if hasattr(model.relative, "table"):
        rows, cols = model.grid(torch.empty(1, model.channels, *picture_size(model)))
        raise VitError(
            f"--dynamic-size: the model has a table of relative positions for {rows} x {cols} patches, which "
            "a file holds for one size: leave it out"
        )


def _for_any_grid(model: Any) -> Any:
    """The same modules, but for positions, which are interpolated for any grid."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    if model.positions is not None:
        twin.positions = AnyGrid(model.positions)
    return twin


def _noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
