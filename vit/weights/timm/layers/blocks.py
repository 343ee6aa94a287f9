"""Blocks: what all of them share, as a `BlockSpec`, and their tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import timm.layers
from timm.models.beit import Attention as BeitAttention
from timm.models.beit import Block as BeitBlock
from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, LayerScale, ParallelScalingBlock, ResPostBlock
from timm.models.vision_transformer_relpos import RelPosAttention, RelPosBlock, ResPostRelPosBlock
from torch import Tensor, nn

from vit.core import BlockSpec
from vit.weights.timm.held import Named, same
from vit.weights.timm.layers.attention import attention_tensors, read_attention
from vit.weights.timm.layers.mlp import mlp_tensors, read_mlp
from vit.weights.timm.layers.norms import norm_tensors, norms_at, only_norm
from vit.weights.timm.layers.parallel import parallel_tensors, read_parallel
from vit.weights.timm.parts import DROPS, expect, find, kind_name, only_value, refuse


@dataclass(frozen=True)
class Layout:
    """A class of block whose attention comes before its MLP: `attn`, `mlp`, `norm1`, `norm2`.

    Args:
        attentions: The classes that `attn` may have.
        norm: Where its norms are, as in `BlockSpec`.
        scales: Names of the factors on the branches, a `LayerScale` or a parameter; empty: it has none.
    """

    attentions: tuple[type, ...]
    norm: Literal["pre", "branch"] = "pre"
    scales: tuple[str, ...] = ()


ROTATED = (EvaAttention, timm.layers.AttentionRope)

LAYOUTS: dict[type, Layout] = {
    Block: Layout((timm.layers.Attention,), scales=("ls1", "ls2")),
    ResPostBlock: Layout((timm.layers.Attention,), norm="branch"),
    RelPosBlock: Layout((RelPosAttention,), scales=("ls1", "ls2")),
    ResPostRelPosBlock: Layout((RelPosAttention,), norm="branch"),
    EvaBlock: Layout(ROTATED, scales=("gamma_1", "gamma_2")),
    EvaBlockPostNorm: Layout(ROTATED, norm="branch"),
    BeitBlock: Layout((BeitAttention,), scales=("gamma_1", "gamma_2")),
}

NORMS = {"pre": ("attention_norm", "mlp_norm"), "branch": ("attention_branch_norm", "mlp_branch_norm")}
SCALES = ("attention_scale", "mlp_scale")


def read_blocks(model: Any, kinds: tuple[type, ...]) -> BlockSpec:
    """What all blocks share; every part of each is looked at.

    Args:
        model: timm's, with `blocks` and `embed_dim`.
        kinds: The classes of block that the model's class may hold.

    Raises:
        VitError: A part is not one of ours, or two blocks differ.
    """
    blocks = expect(model, "blocks", (nn.Sequential, nn.ModuleList))
    if not len(blocks):
        refuse("blocks", "empty", "at least one block")
    specs = [_read_block(model, f"blocks.{layer}", kinds) for layer in range(len(blocks))]
    for field in fields(BlockSpec):
        only_value(
            {f"the {field.name} of blocks.{i}": getattr(spec, field.name) for i, spec in enumerate(specs)}
        )
    return specs[0]


def blocks_tensors(model: nn.Module, order: Tensor | None) -> Named:
    """The tensors of all blocks.

    Args:
        model: timm's, whose blocks `read_blocks` takes.
        order: As in `attention_tensors`.
    """
    for layer in range(len(find(model, "blocks"))):
        theirs, ours = f"blocks.{layer}", f"encoder.blocks.{layer}"
        if type(find(model, theirs)) is ParallelScalingBlock:
            yield from parallel_tensors(model, theirs, ours)
        else:
            yield from _block_tensors(model, theirs, ours, order)


def block_fields(
    width: int, hidden: int, attention: Mapping[str, Any], *, output_bias: bool, mlp_bias: bool
) -> dict[str, Any]:
    """Fields of `BlockSpec` that follow from sizes and biases, and those of the attention."""
    return {
        **attention,
        "width": width,
        "mlp_ratio": hidden / width,
        "output_bias": output_bias,
        "mlp_bias": None if mlp_bias == output_bias else mlp_bias,
    }


def _read_block(model: Any, at: str, kinds: tuple[type, ...]) -> BlockSpec:
    block = expect(model, at, kinds)
    width = model.embed_dim
    if type(block) is ParallelScalingBlock:
        return read_parallel(model, at, width)
    layout = LAYOUTS[type(block)]
    attention = read_attention(model, f"{at}.attn", width, layout.attentions)
    for name in ("drop_path1", "drop_path2"):
        expect(model, f"{at}.{name}", DROPS)
    mlp = read_mlp(model, f"{at}.mlp", width)
    scales = {f"LayerScale in {at}.{name}": _scale(model, f"{at}.{name}") for name in layout.scales}
    has_scale = bool(scales) and only_value({path: scale is not None for path, scale in scales.items()})
    norms = norms_at(model, [f"{at}.norm1", f"{at}.norm2"], required=True)
    return BlockSpec(
        **block_fields(
            width, mlp.hidden, attention.fields, output_bias=attention.output_bias, mlp_bias=mlp.bias
        ),
        **mlp.fields,
        **only_norm(norms | attention.norms | mlp.norms),
        norm=layout.norm,
        layer_scale=1.0 if has_scale else None,
    )


def _block_tensors(model: nn.Module, theirs: str, ours: str, order: Tensor | None) -> Named:
    layout = LAYOUTS[type(find(model, theirs))]
    yield from attention_tensors(model, f"{theirs}.attn", f"{ours}.attention", order)
    yield from mlp_tensors(model, f"{theirs}.mlp", f"{ours}.mlp")
    for name, norm in zip(("norm1", "norm2"), NORMS[layout.norm], strict=True):
        yield from norm_tensors(find(model, f"{theirs}.{name}"), f"{ours}.{norm}")
    for name, scale in zip(layout.scales, SCALES, strict=False):
        factor = _scale(model, f"{theirs}.{name}")
        if factor is not None:
            yield f"{ours}.{scale}.factor", same(factor)


def _scale(model: nn.Module, path: str) -> Tensor | None:
    """The factor of a branch; None where there is none."""
    scale = find(model, path)
    if scale is None or isinstance(scale, nn.Identity):
        return None
    if isinstance(scale, nn.Parameter):
        return scale
    if type(scale) is not LayerScale:
        refuse(path, kind_name(scale), "LayerScale or Identity")
    factor: Tensor = expect(model, path, (LayerScale,)).gamma
    return factor
