"""Before the blocks: patches, tokens of the prefix, and a table of positions."""

from typing import Any, NamedTuple

import timm.layers
from torch import Tensor, nn

from vit.weights.timm.held import Held, Named, flat, same, total
from vit.weights.timm.layers.norms import Norm, norm_tensors, norms_at
from vit.weights.timm.parts import expect, find, refuse


class EmbeddingPart(NamedTuple):
    """What is before the blocks.

    Args:
        arguments: Of our tower.
        norms: By path.
    """

    arguments: dict[str, Any]
    norms: dict[str, Norm]


def read_embedding(model: Any) -> EmbeddingPart:
    """Patches of a `PatchEmbed`, a class token, registers, positions.

    Raises:
        VitError: A part is not one of ours.
    """
    _require_plain(model)
    norms = norms_at(model, ["patch_embed.norm"])
    patches, project = find(model, "patch_embed"), expect(model, "patch_embed.proj", (nn.Conv2d,))
    size, patch = tuple(patches.img_size), tuple(patches.patch_size)
    plain = (patch, patch, (0, 0), (1, 1), 1)
    if (project.kernel_size, project.stride, project.padding, project.dilation, project.groups) != plain:
        refuse("patch_embed.proj", project, f"a convolution whose kernel and stride are the patch, {patch}")
    rest = bool(size[0] % patch[0] or size[1] % patch[1])
    if rest and patches.dynamic_img_pad:
        refuse(
            "patch_embed.img_size", size, f"multiples of the patch, {patch}, where dynamic_img_pad is True"
        )
    arguments = {
        "image_size": size,
        "patch_size": patch,
        "channels": project.in_channels,
        "patch_bias": project.bias is not None,
        "patch_norm": bool(norms),
        "trim": rest,
        "positions": "none" if getattr(model, "pos_embed", None) is None else "learned",
    }
    return EmbeddingPart(arguments | read_prefix(model), norms)


def read_prefix(model: Any) -> dict[str, Any]:
    """Class token and registers: arguments of our tower."""
    more = _more_tokens(model)
    return {
        "class_token": model.cls_token is not None,
        "registers": 0 if more is None else more.shape[1],
    }


def embedding_tensors(model: Any) -> Named:
    """The tensors of what `read_embedding` takes, under our names.

    timm may add a position to the tokens of the prefix too; for us that is a part of the tokens themselves.
    """
    project = find(model, "patch_embed.proj")
    yield "tokenizer.project.weight", flat(project.weight)
    if project.bias is not None:
        yield "tokenizer.project.bias", same(project.bias)
    yield from norm_tensors(find(model, "patch_embed.norm"), "patch_norm")
    positions = getattr(model, "pos_embed", None)  # (1, N or patches, D)
    length = 0 if getattr(model, "no_embed_class", False) else model.num_prefix_tokens
    yield from prefix_tensors(model, None if positions is None else positions[:, :length])
    if positions is not None:
        grid = tuple(find(model, "patch_embed").grid_size)
        if positions.shape[1] != length + grid[0] * grid[1]:
            refuse(
                "the length of pos_embed", positions.shape[1], f"{length + grid[0] * grid[1]}, one per token"
            )
        yield "positions.table", same(positions[0, length:].unflatten(0, grid))


def prefix_tensors(model: Any, positions: Tensor | None) -> Named:
    """Class token and registers, with their positions (1, prefix or 0, D) added; None: they have none."""
    begin = 0
    for name, token in (("class_token", model.cls_token), ("registers", _more_tokens(model))):
        if token is not None:
            end = begin + token.shape[1]
            yield name, _placed(token, None if positions is None else positions[:, begin:end])
            begin = end


def _placed(token: Tensor, positions: Tensor | None) -> Held:
    """Tokens of the prefix with their positions, of as many or of none."""
    return (
        same(token) if positions is None or not positions.shape[1] else total([same(token), same(positions)])
    )


def _more_tokens(model: Any) -> Tensor | None:
    """Registers, or the token of distillation (Touvron et al. 2021), (1, registers, D)."""
    registers = getattr(model, "reg_token", None)
    return getattr(model, "dist_token", None) if registers is None else registers


def _require_plain(model: Any) -> None:
    """Refuse patches that do not come straight from pixels.

    Raises:
        VitError: What is in front is named.
    """
    if type(find(model, "patch_embed")) is timm.layers.HybridEmbed:
        front = type(find(model, "patch_embed.backbone")).__name__
        refuse(
            "patch_embed",
            f"HybridEmbed, which takes patches from convolutions ({front})",
            "PatchEmbed, which takes them from pixels",
        )
    expect(model, "patch_embed", (timm.layers.PatchEmbed,))
