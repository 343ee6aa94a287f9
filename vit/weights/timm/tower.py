"""From a timm `VisionTransformer` to the arguments of ours; whatever ours could not reproduce is refused."""

from dataclasses import fields
from typing import Any

import timm.layers
from timm.models.vision_transformer import Attention, AttentionPoolLatent, Block, LayerScale
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn

from vit.core import BlockSpec
from vit.errors import VitError
from vit.weights.timm.parts import (
    DROPS,
    expect,
    expect_linear,
    find,
    kind_name,
    norm_eps,
    only_value,
    refuse,
    unwrapped,
)

POOLS = {"token": "cls", "avg": "mean", "map": "attention"}
ACTIVATIONS: dict[type, str] = {
    nn.GELU: "gelu",
    timm.layers.get_act_layer("gelu"): "gelu",
    timm.layers.get_act_layer("gelu_tanh"): "gelu_tanh",
    timm.layers.get_act_layer("quick_gelu"): "quick_gelu",
    nn.ReLU: "relu",
}


def require_kind(model: Any) -> None:
    """Refuse what is no plain `VisionTransformer` of timm.

    Raises:
        VitError: The class is named.
    """
    if type(model) is TimmVisionTransformer and "forward" not in vars(model):
        return
    kind = type(model)
    found, way_out = f"a {kind.__name__}", ""
    if kind is TimmVisionTransformer:
        found = "a model with a forward of its own"
    elif isinstance(model, nn.Module):
        found = f"a model of class {kind.__name__}"
    if isinstance(model, str):
        way_out = f'; vit.load_model("timm:{model}") takes a name'
    elif kind.__module__.startswith("transformers."):
        way_out = "; vit.from_huggingface imports models of transformers"
    raise VitError(
        f"cannot import {found}, expected timm's plain VisionTransformer (ViT, DeiT without distillation, "
        f"DINOv2, CLIP, SigLIP){way_out}"
    )


def tower_arguments(model: Any) -> dict[str, Any]:
    """The arguments of `vit.vision.VisionTransformer` that give the same logits.

    Every part is looked at, and every block.

    Args:
        model: timm's `VisionTransformer`.

    Raises:
        VitError: It has a part that ours has not; the part, what it is and what it may be are named.
    """
    require_kind(model)
    for path in ("pos_drop", "patch_drop", "head_drop"):
        expect(model, path, DROPS)
    patches = _patches(model)
    block = _shared_spec(model)
    norms = {path: norm_eps(model, path) for path in ("norm_pre", "norm", "fc_norm")}
    only_value(
        {"the eps of blocks.0.norm1": block.norm_eps}
        | {f"the eps of {path}": eps for path, eps in norms.items() if eps is not None}
    )
    pool = _pool(model)
    head = head_layer(model)
    return {
        "classes": 0 if head is None else head.out_features,
        "block": block,
        **patches,
        "depth": len(find(model, "blocks")),
        "class_token": model.cls_token is not None,
        "registers": 0 if model.reg_token is None else model.reg_token.shape[1],
        "pool": pool,
        "pool_block": _pool_spec(model) if pool == "attention" else None,
        "embedding_norm": norms["norm_pre"] is not None,
        "encoder_norm": norms["norm"] is not None,
        "pool_norm": norms["fc_norm"] is not None,
    }


def head_layer(model: Any) -> nn.Linear | None:
    """The linear layer of the head; None where the head is an identity.

    Layers of dropout beside it in a `Sequential` do nothing in eval mode.

    Raises:
        VitError: It is something else.
    """
    head = find(model, "head")
    layers = [unwrapped(layer) for layer in (head if type(head) is nn.Sequential else [head])]
    layers = [layer for layer in layers if type(layer) not in (nn.Identity, nn.Dropout)]
    if not layers:
        return None
    if len(layers) > 1 or type(layers[0]) is not nn.Linear:
        refuse("head", kind_name(head), "one linear layer, with or without dropout beside it, or an identity")
    if layers[0].in_features != model.embed_dim:
        refuse("head", f"a layer of {layers[0].in_features} features", f"the model's {model.embed_dim}")
    return layers[0]


def _patches(model: Any) -> dict[str, Any]:
    """Pixels, patches and positions."""
    patches = expect(model, "patch_embed", (timm.layers.PatchEmbed,))
    expect(model, "patch_embed.norm", (nn.Identity,))
    project = expect(model, "patch_embed.proj", (nn.Conv2d,))
    size, patch = tuple(patches.img_size), tuple(patches.patch_size)
    plain = (patch, patch, (0, 0), (1, 1), 1)
    if (project.kernel_size, project.stride, project.padding, project.dilation, project.groups) != plain:
        refuse("patch_embed.proj", project, f"a convolution whose kernel and stride are the patch, {patch}")
    if size[0] % patch[0] or size[1] % patch[1]:
        refuse("patch_embed.img_size", size, f"multiples of the patch, {patch}")
    if model.pos_embed is None:
        refuse("pos_embed", "None", "a table of positions")
    return {
        "image_size": size,
        "patch_size": patch,
        "channels": project.in_channels,
        "patch_bias": project.bias is not None,
    }


def _shared_spec(model: Any) -> BlockSpec:
    """What all blocks share."""
    blocks = expect(model, "blocks", (nn.Sequential,))
    if not len(blocks):
        refuse("blocks", "empty", "at least one block")
    specs = [_block_spec(model, f"blocks.{layer}.") for layer in range(len(blocks))]
    for field in fields(BlockSpec):
        only_value(
            {f"the {field.name} of blocks.{i}": getattr(spec, field.name) for i, spec in enumerate(specs)}
        )
    return specs[0]


def _block_spec(model: Any, at: str) -> BlockSpec:
    """One block, whose path is `at`, with a dot after it."""
    width = model.embed_dim
    expect(model, at.removesuffix("."), (Block,))
    attention = expect(model, at + "attn", (Attention,))
    expect(model, at + "attn.norm", (nn.Identity,))
    if getattr(attention, "gate", None) is not None:
        refuse(at + "attn.gate", type(attention.gate).__name__, "none")
    for name in ("attn.attn_drop", "attn.proj_drop", "drop_path1", "drop_path2"):
        expect(model, at + name, DROPS)
    _require_scale(attention, at + "attn", width)
    hidden, activation, mlp_bias = _mlp(model, at + "mlp")
    scales = {f"LayerScale in {at}{name}": _has_layer_scale(model, at + name) for name in ("ls1", "ls2")}
    eps = {f"the eps of {at}{name}": norm_eps(model, at + name, required=True) for name in ("norm1", "norm2")}
    qk_eps = {at + name: norm_eps(model, at + name) for name in ("attn.q_norm", "attn.k_norm")}
    qk_norm = only_value({f"a norm in {path}": value is not None for path, value in qk_eps.items()})
    if qk_norm:
        eps |= {f"the eps of {path}": value for path, value in qk_eps.items()}
    output = expect_linear(model, at + "attn.proj", (width, width))
    return BlockSpec(
        width=width,
        heads=attention.num_heads,
        mlp_ratio=hidden / width,
        activation=activation,
        qkv_bias=expect_linear(model, at + "attn.qkv", (3 * width, width)).bias is not None,
        output_bias=only_value({f"bias of {at}attn.proj": output.bias is not None} | mlp_bias),
        qk_norm=qk_norm,
        layer_scale=1.0 if only_value(scales) else None,
        norm_eps=only_value(eps),
    )


def _pool(model: Any) -> str:
    """The name of the pool."""
    attention = getattr(model, "attn_pool", None) is not None  # timm uses it whatever global_pool says
    kind = "map" if attention else model.global_pool
    if kind not in POOLS:
        refuse("global_pool", repr(kind), f"one of {', '.join(POOLS)}")
    if kind == "token" and model.cls_token is None:
        refuse("global_pool", repr(kind), "another: the model has no class token")
    if kind != "token" and model.pool_include_prefix and model.num_prefix_tokens:
        refuse("pool_include_prefix", "True", "False: a pool of the patches alone")
    return POOLS[kind]


def _pool_spec(model: Any) -> BlockSpec:
    """The attention pool, whose biases are not those of the blocks."""
    width = model.embed_dim
    pool = expect(model, "attn_pool", (AttentionPoolLatent,))
    for name in ("q_norm", "k_norm"):
        if find(model, f"attn_pool.{name}") is not None:  # older versions of timm have none
            expect(model, f"attn_pool.{name}", (nn.Identity,))
    expect(model, "attn_pool.proj_drop", DROPS)
    if tuple(pool.latent.shape) != (1, 1, width):
        refuse("attn_pool.latent", f"of shape {tuple(pool.latent.shape)}", f"(1, 1, {width}): one query")
    if pool.pool != "token" or pool.pos_embed is not None:
        refuse("attn_pool", "one with positions, or a mean of queries", "one query without positions")
    _require_scale(pool, "attn_pool", width)
    query = expect_linear(model, "attn_pool.q", (width, width)).bias is not None
    others = expect_linear(model, "attn_pool.kv", (2 * width, width)).bias is not None
    output = expect_linear(model, "attn_pool.proj", (width, width)).bias is not None
    hidden, activation, mlp_bias = _mlp(model, "attn_pool.mlp")
    eps = norm_eps(model, "attn_pool.norm", required=True)
    assert eps is not None
    return BlockSpec(
        width=width,
        heads=pool.num_heads,
        mlp_ratio=hidden / width,
        activation=activation,
        qkv_bias=query if query == others else (query, others, others),
        output_bias=only_value({"bias of attn_pool.proj": output} | mlp_bias),
        norm_eps=eps,
    )


def _mlp(model: Any, at: str) -> tuple[int, str, dict[str, bool]]:
    """Hidden width, activation, and by layer whether it has a bias."""
    width = model.embed_dim
    expect(model, at, (timm.layers.Mlp,))
    expect(model, at + ".norm", (nn.Identity,))
    for name in ("drop1", "drop2"):
        expect(model, f"{at}.{name}", DROPS)
    activation = expect(model, at + ".act", ACTIVATIONS)
    name = ACTIVATIONS[type(activation)]
    if getattr(activation, "approximate", "none") == "tanh":
        name = "gelu_tanh"
    hidden = expect(model, at + ".fc1", (nn.Linear,)).out_features
    layers = {
        at + ".fc1": expect_linear(model, at + ".fc1", (hidden, width)),
        at + ".fc2": expect_linear(model, at + ".fc2", (width, hidden)),
    }
    return hidden, name, {f"bias of {path}": layer.bias is not None for path, layer in layers.items()}


def _has_layer_scale(model: Any, path: str) -> bool:
    return type(expect(model, path, (LayerScale, nn.Identity))) is not nn.Identity


def _require_scale(attention: Any, at: str, width: int) -> None:
    """Refuse another factor on the scores than 1 / sqrt(K)."""
    usual = (width // attention.num_heads) ** -0.5
    if width % attention.num_heads or attention.scale != usual:
        refuse(f"{at}.scale", attention.scale, f"{usual}, of {attention.num_heads} heads of {width} channels")
