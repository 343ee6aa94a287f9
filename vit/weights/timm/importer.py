"""Copy a timm `VisionTransformer` into ours: the same logits, and attention that can be recorded."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vit.core import BlockSpec
from vit.errors import VitError
from vit.vision import VisionTransformer

POOLS = {"token": "cls", "avg": "mean", "map": "attention"}


def from_timm(model: Any) -> VisionTransformer:
    """Copy the weights of a timm `VisionTransformer` (ViT, DeiT, DINOv2, with registers, any of their pools).

    Dropout and stochastic depth are not copied. The result is in eval mode, on the device and in the dtype
    of `model`, and shares no memory with it.

    Args:
        model: `timm.create_model("vit_...")`.

    Returns:
        Ours; logits differ by at most rounding.

    Raises:
        VitError: No timm `VisionTransformer`, or one with a part that ours has not; the part is named.
    """
    from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer

    if type(model) is not TimmVisionTransformer:
        raise VitError(
            f"cannot import a {type(model).__name__}, expected timm's plain VisionTransformer "
            "(ViT, DeiT without distillation, DINOv2)"
        )
    for what, found in _unsupported(model):
        raise VitError(f"cannot import this timm model: its {what} is {found}, which vit does not have")
    block: Any = model.blocks[0]
    width = model.embed_dim
    ours = VisionTransformer(
        model.num_classes,
        tuple(model.patch_embed.img_size),
        BlockSpec(
            width=width,
            heads=block.attn.num_heads,
            mlp_ratio=block.mlp.fc1.out_features / width,
            qkv_bias=block.attn.qkv.bias is not None,
            output_bias=block.attn.proj.bias is not None,
            qk_norm=isinstance(block.attn.q_norm, nn.LayerNorm),
            layer_scale=None if isinstance(block.ls1, nn.Identity) else 1.0,
            norm_eps=block.norm1.eps,
        ),
        channels=model.in_chans,
        patch_size=tuple(model.patch_embed.patch_size),
        depth=len(model.blocks),
        class_token=model.has_class_token,
        registers=model.num_reg_tokens,
        pool=POOLS[model.global_pool],
        pool_block=_pool_block(model),
        patch_bias=model.patch_embed.proj.bias is not None,
        embedding_norm=isinstance(model.norm_pre, nn.LayerNorm),
        encoder_norm=isinstance(model.norm, nn.LayerNorm),
        pool_norm=isinstance(model.fc_norm, nn.LayerNorm),
    )
    first = next(model.parameters())
    ours = ours.to(device=first.device, dtype=first.dtype)
    ours.load_state_dict(dict(_converted(model)))
    return ours.eval()


def _pool_block(model: Any) -> BlockSpec | None:
    """The attention pool of a timm model, whose biases are not those of its blocks."""
    if model.global_pool != "map":
        return None
    pool = model.attn_pool
    return BlockSpec(
        width=model.embed_dim,
        heads=pool.num_heads,
        mlp_ratio=pool.mlp.fc1.out_features / model.embed_dim,
        qkv_bias=pool.q.bias is not None,
        output_bias=pool.proj.bias is not None,
        norm_eps=pool.norm.eps,
    )


def _unsupported(model: Any) -> Iterator[tuple[str, str]]:
    """Yield (part, what it is) for everything that ours could not reproduce."""
    from timm.layers import Mlp, PatchEmbed
    from timm.models.vision_transformer import Attention, Block

    block: Any = model.blocks[0]
    kinds = [
        ("patch embedding", model.patch_embed, PatchEmbed),
        ("patch norm", model.patch_embed.norm, nn.Identity),
        ("block", block, Block),
    ]
    if isinstance(block, Block):
        kinds += [
            ("attention", block.attn, Attention),
            ("attention norm", block.attn.norm, nn.Identity),
            ("MLP", block.mlp, Mlp),
            ("MLP norm", block.mlp.norm, nn.Identity),
            ("activation", block.mlp.act, nn.GELU),
            ("norm", block.norm1, nn.LayerNorm),
        ]
    for what, part, expected in kinds:
        if not isinstance(part, expected):
            yield what, type(part).__name__
    if getattr(getattr(block, "attn", None), "gate", None) is not None:
        yield "attention", "gated"
    if getattr(getattr(block.mlp, "act", None), "approximate", "none") != "none":
        yield "activation", "tanh GELU"
    if model.global_pool not in POOLS:
        yield "pooling", repr(model.global_pool)
    if model.pool_include_prefix:
        yield "pooling", "one that includes prefix tokens"
    if model.pos_embed is None:
        yield "position embedding", "absent"


def _converted(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield our names and timm's tensors."""
    state = model.state_dict()
    yield "tokenizer.project.weight", state["patch_embed.proj.weight"].flatten(1)
    if "patch_embed.proj.bias" in state:
        yield "tokenizer.project.bias", state["patch_embed.proj.bias"]

    # timm adds a position to the prefix tokens too; for us that is a part of the tokens themselves.
    positions = state["pos_embed"]
    prefix_positions = 0 if model.no_embed_class else model.num_prefix_tokens
    prefix = torch.cat(
        [state[name] for name in ("cls_token", "reg_token") if name in state] or [positions[:, :0]], 1
    )
    if prefix_positions:
        prefix = prefix + positions[:, :prefix_positions]
    if model.has_class_token:
        yield "class_token", prefix[:, :1]
    if model.num_reg_tokens:
        yield "registers", prefix[:, int(model.has_class_token) :]
    yield "positions.table", positions[0, prefix_positions:].unflatten(0, tuple(model.patch_embed.grid_size))

    for layer in range(len(model.blocks)):
        yield from _block(state, f"blocks.{layer}.", f"encoder.blocks.{layer}.")
    renamed = {"norm_pre": "embedding_norm", "norm": "encoder.norm", "fc_norm": "pool_norm", "head": "head"}
    for theirs, ours in renamed.items():
        yield from _parts(state, theirs, ours)
    if model.global_pool == "map":
        yield "pool.query", state["attn_pool.latent"]
        yield from _parts(state, "attn_pool.q", "pool.attention.query")
        yield from _split(state, "attn_pool.kv", "pool.attention.", ("key", "value"))
        yield from _parts(state, "attn_pool.proj", "pool.attention.output")
        yield from _parts(state, "attn_pool.norm", "pool.mlp_norm")
        yield from _parts(state, "attn_pool.mlp.fc1", "pool.mlp.expand")
        yield from _parts(state, "attn_pool.mlp.fc2", "pool.mlp.contract")


def _block(state: dict[str, Tensor], theirs: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    renamed = {
        "norm1": "attention_norm",
        "attn.q_norm": "attention.query_norm",
        "attn.k_norm": "attention.key_norm",
        "attn.proj": "attention.output",
        "norm2": "mlp_norm",
        "mlp.fc1": "mlp.expand",
        "mlp.fc2": "mlp.contract",
    }
    yield from _split(state, theirs + "attn.qkv", ours + "attention.", ("query", "key", "value"))
    for their_part, our_part in renamed.items():
        yield from _parts(state, theirs + their_part, ours + our_part)
    for their_scale, our_scale in (("ls1", "attention_scale"), ("ls2", "mlp_scale")):
        if f"{theirs}{their_scale}.gamma" in state:
            yield f"{ours}{our_scale}.factor", state[f"{theirs}{their_scale}.gamma"]


def _parts(state: dict[str, Tensor], theirs: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    """Weight and bias of one layer, as far as they exist."""
    for part in ("weight", "bias"):
        if f"{theirs}.{part}" in state:
            yield f"{ours}.{part}", state[f"{theirs}.{part}"]


def _split(
    state: dict[str, Tensor], theirs: str, ours: str, names: tuple[str, ...]
) -> Iterator[tuple[str, Tensor]]:
    """One stacked projection into its parts."""
    for part in ("weight", "bias"):
        if f"{theirs}.{part}" in state:
            for name, tensor in zip(names, state[f"{theirs}.{part}"].chunk(len(names)), strict=True):
                yield f"{ours}{name}.{part}", tensor
