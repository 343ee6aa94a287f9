"""Blocks whose attention and MLP read the same tokens in one layer (Dehghani et al. 2023, section 2)."""

from timm.models.vision_transformer import LayerScale
from torch import Tensor, nn

from vit.core import BlockSpec
from vit.weights.timm.held import Named, always, same, total
from vit.weights.timm.layers.attention import require_scale
from vit.weights.timm.layers.mlp import read_activation
from vit.weights.timm.layers.norms import norm_tensors, norms_at, only_norm
from vit.weights.timm.parts import DROPS, expect, expect_linear, find, only_value, refuse

PARTS = ("mlp.expand", "attention.query", "attention.key", "attention.value")  # of the layer, in its order


def read_parallel(model: nn.Module, at: str, width: int) -> BlockSpec:
    """A `ParallelScalingBlock`, whose class is looked at.

    Args:
        model: timm's.
        at: Path of the block.
        width: D.

    Raises:
        VitError: A part of it is not one of ours.
    """
    block = find(model, at)
    for name in ("attn_drop", "mlp_drop", "drop_path"):
        expect(model, f"{at}.{name}", DROPS)
    head_width = require_scale(block, at, width)
    hidden = expect(model, f"{at}.in_proj", (nn.Linear,)).out_features - 3 * width
    expect_linear(model, f"{at}.in_proj", (hidden + 3 * width, width))
    if list(block.in_split) != [hidden, width, width, width] or head_width != block.head_dim:
        refuse(f"{at}.in_split", list(block.in_split), f"{[hidden, width, width, width]}")
    if block.out_proj is not None:
        expect_linear(model, f"{at}.out_proj", (width, width + hidden))
    else:
        expect_linear(model, f"{at}.attn_out_proj", (width, width))
        expect_linear(model, f"{at}.mlp_out_proj", (width, hidden))
    scale = expect(model, f"{at}.ls", (LayerScale, nn.Identity))
    norms = norms_at(model, [f"{at}.in_norm"], required=True)
    qk_norms = norms_at(model, [f"{at}.q_norm", f"{at}.k_norm"])
    qk_norm = only_value(
        {f"a norm in {at}.{name}": f"{at}.{name}" in qk_norms for name in ("q_norm", "k_norm")}
    )
    output, contract = _outputs(model, at, width)
    return BlockSpec(
        width=width,
        heads=block.num_heads,
        mlp_ratio=hidden / width,
        parallel=True,
        activation=read_activation(model, f"{at}.mlp_act"),
        qkv_bias=block.in_proj.bias is not None,
        output_bias=output[1] is not None,
        mlp_bias=_mlp_bias(output[1] is not None, bool(_expand_biases(model, at)), contract[1]),
        qk_norm=qk_norm,
        layer_scale=None if isinstance(scale, nn.Identity) else 1.0,
        **only_norm(norms | qk_norms),
    )


def parallel_tensors(model: nn.Module, at: str, ours: str) -> Named:
    """The tensors of a block that `read_parallel` takes, under the names of ours."""
    block = find(model, at)
    width = block.in_split[-1]
    enter = find(model, f"{at}.in_proj")
    for name, weight in zip(PARTS, enter.weight.split(block.in_split), strict=True):
        yield f"{ours}.{name}.weight", same(weight)
    if enter.bias is not None:
        for name, bias in zip(PARTS[1:], enter.bias.split(block.in_split)[1:], strict=True):
            yield f"{ours}.{name}.bias", same(bias)
    output, contract = _outputs(model, at, width)
    expand_biases, contract_bias = _expand_biases(model, at), contract[1]
    if expand_biases or contract_bias is not None:
        none = always(enter.weight.new_zeros(block.in_split[0]))
        yield f"{ours}.mlp.expand.bias", total([*map(same, expand_biases)]) if expand_biases else none
        none = always(enter.weight.new_zeros(width))
        yield f"{ours}.mlp.contract.bias", none if contract_bias is None else same(contract_bias)
    yield f"{ours}.attention.output.weight", same(output[0])
    if output[1] is not None:
        yield f"{ours}.attention.output.bias", same(output[1])
    yield f"{ours}.mlp.contract.weight", same(contract[0])
    for theirs, norm in {
        "in_norm": "attention_norm",
        "q_norm": "attention.query_norm",
        "k_norm": "attention.key_norm",
    }.items():
        yield from norm_tensors(find(model, f"{at}.{theirs}"), f"{ours}.{norm}")
    scale = find(model, f"{at}.ls")
    if not isinstance(scale, nn.Identity):  # one factor on the sum is the same factor on both branches
        yield f"{ours}.attention_scale.factor", same(scale.gamma)
        yield f"{ours}.mlp_scale.factor", same(scale.gamma)


def _outputs(
    model: nn.Module, at: str, width: int
) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
    """Weight and bias of the last layer of attention, and of the MLP; a layer of both has one bias."""
    both = find(model, f"{at}.out_proj")
    if both is not None:
        return (both.weight[:, :width], both.bias), (both.weight[:, width:], None)
    attention, mlp = find(model, f"{at}.attn_out_proj"), find(model, f"{at}.mlp_out_proj")
    return (attention.weight, attention.bias), (mlp.weight, mlp.bias)


def _expand_biases(model: nn.Module, at: str) -> list[Tensor]:
    """Of the first layer of the MLP: in the common layer, a parameter of its own, or both, to be added."""
    block, enter = find(model, at), find(model, f"{at}.in_proj")
    biases = [] if enter.bias is None else [enter.bias.split(block.in_split)[0]]
    return biases + ([] if block.mlp_bias is None else [block.mlp_bias])


def _mlp_bias(output: bool, expand: bool, contract: Tensor | None) -> bool | None:
    """The field of `BlockSpec`: one flag for both layers, None where it is that of the output projection."""
    has = expand or contract is not None
    return None if has == output else has
