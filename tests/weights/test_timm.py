"""timm's models and ours give the same logits, from random weights; other parts are refused by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import LayerScale, ParallelScalingBlock, ResPostBlock
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import vit
from vit.errors import VitError

from .timm_models import images, randomised, tiny

# name -> arguments: between them class token or none, registers, LayerScale, mean and attention pool, norms
# before the blocks and after pooling, positions with and without the prefix, bias or none, three activations.
MODELS: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {"depth": 4},
    "deit_small_patch16_224": {"depth": 2},
    "deit3_small_patch16_224": {"depth": 2},
    "vit_small_patch14_dinov2": {"depth": 3, "img_size": 70, "num_classes": 11},
    "vit_small_patch14_reg4_dinov2": {"depth": 3, "img_size": 56, "num_classes": 11},
    "vit_wee_patch16_reg1_gap_256": {"depth": 2},
    "vit_medium_patch16_gap_240": {"depth": 2},
    "vit_so150m_patch16_reg4_map_256": {"depth": 1, "num_classes": 7},
    "vit_base_patch16_siglip_224": {"depth": 1, "num_classes": 7},
    "vit_base_patch32_clip_224": {"depth": 1, "num_classes": 5},
    "vit_base_patch32_clip_quickgelu_224": {"depth": 1, "num_classes": 5},
    "vit_so400m_patch14_siglip_224": {"depth": 1, "embed_dim": 72, "num_heads": 3, "num_classes": 5},
}

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "pool": ("vit_tiny_patch16_224", {"global_pool": "max"}, "global_pool is 'max'"),
    "no pool": ("vit_tiny_patch16_224", {"global_pool": ""}, "global_pool is ''"),
    "refined pool": ("vit_tiny_patch16_224", {"global_pool": "prr"}, "attn_pool is AttentionPoolPrr"),
    "activation": ("vit_tiny_patch16_224", {"act_layer": "mish"}, "blocks.0.mlp.act is Mish"),
    "norm": ("vit_tiny_patch16_224", {"norm_layer": "simplenorm"}, "blocks.0.norm1 is SimpleNorm"),
    "attention": ("vit_tiny_patch16_224", {"attn_layer": "diff"}, "blocks.0.attn is DiffAttention"),
    "padding": (
        "vit_tiny_patch16_224",
        {"img_size": 225, "dynamic_img_size": True, "dynamic_img_pad": True},
        r"img_size is \(225, 225\), expected multiples of the patch, .* where dynamic_img_pad is True",
    ),
    "parallel things": (
        "vit_small_patch16_18x2_224",
        {"embed_dim": 48, "num_heads": 3},
        "is ParallelThingsBlock",
    ),
    "hybrid": (
        "vit_small_r26_s32_224",
        {"embed_dim": 48, "num_heads": 3},
        r"patch_embed is HybridEmbed, which takes patches from convolutions \(ResNetV2\), expected Patch",
    ),
    "distilled features": (
        "deit_tiny_distilled_patch16_224",
        {"num_classes": 0},
        "head is Identity, expected a linear layer: the logits are the mean of two heads",
    ),
    "grouped queries": (
        "vit_small_patch16_rope_224",
        {"num_kv_heads": 2, "qkv_fused": False},
        "blocks.0.attn.num_kv_heads is 2, expected 6, one per head of queries",
    ),
    "ResNet": ("resnet18", {}, "class ResNet, expected"),
    "features": ("vit_tiny_patch16_224", {"features_only": True}, "class FeatureGetterNet, expected"),
}


def same_logits(theirs: Any, pixels: Tensor) -> None:
    with torch.no_grad():
        expected = theirs(pixels)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(vit.from_timm(theirs)(pixels), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_timms(name: str) -> None:
    theirs = randomised(name, dynamic_img_size=True, **MODELS[name])
    ours = vit.from_timm(theirs)
    patch = theirs.patch_embed.patch_size[0]
    for size in (theirs.patch_embed.img_size, (5 * patch, 3 * patch)):
        pixels = torch.randn(2, 3, *size)
        with torch.no_grad():
            expected, features = theirs(pixels), theirs.forward_features(pixels)
            assert expected.abs().max() > 0.1
            torch.testing.assert_close(ours(pixels), expected, atol=1e-5, rtol=0)
            torch.testing.assert_close(ours.encode(pixels), features, atol=1e-4, rtol=1e-4)
    assert not ours.training


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_classes": 0},
        {"qk_norm": True, "qkv_bias": False},
        {"proj_bias": False},
        {"act_layer": "relu"},
        {"act_layer": "gelu_tanh"},
        {"in_chans": 5},
        {"in_chans": 1},
        {"global_pool": "map", "fc_norm": True},
        {"fc_norm": True},
        {"final_norm": False},
        {"global_pool": "avg", "fc_norm": False},
        {"global_pool": "avg", "class_token": False, "pool_include_prefix": True},
        {"pre_norm": True, "reg_tokens": 3, "init_values": 0.5},
        {"no_embed_class": True, "mlp_ratio": 2.7},
        {"norm_layer": partial(nn.LayerNorm, eps=0.01)},
        {"norm_layer": partial(timm.layers.LayerNorm, affine=False)},
        {"drop_rate": 0.3, "proj_drop_rate": 0.3, "drop_path_rate": 0.3, "patch_drop_rate": 0.3},
        {"dynamic_img_size": True, "dynamic_img_pad": True},
        {"img_size": (31, 45)},
        {"pos_embed": "none"},
        {"act_layer": "silu"},
        {"mlp_layer": timm.layers.SwiGLU, "proj_bias": False},
        {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": None, "scale_mlp_norm": True},
        {"mlp_layer": partial(timm.layers.GluMlp, gate_last=True), "act_layer": "gelu"},
        {"norm_layer": "rmsnorm", "embed_norm_layer": "rmsnorm", "qk_norm": True},
        {"embed_norm_layer": partial(timm.layers.LayerNorm, eps=1e-6)},
        {"scale_attn_norm": True, "scale_mlp_norm": True},
        {"global_pool": "avg", "pool_include_prefix": True},
        {"global_pool": "map", "pool_include_prefix": True, "reg_tokens": 2},
        {"block_fn": ResPostBlock, "init_values": 0.3},
        {"block_fn": ParallelScalingBlock},
        {"block_fn": ParallelScalingBlock, "qkv_bias": False, "init_values": 0.3, "qk_norm": True},
        {"block_fn": partial(ParallelScalingBlock, fuse_out_proj=True)},
        {"block_fn": ParallelScalingBlock, "proj_bias": False, "qkv_bias": False},
    ],
    ids=str,
)
def test_variants(arguments: dict[str, Any]) -> None:
    theirs = tiny(**arguments)
    same_logits(theirs, images(theirs))


@pytest.mark.parametrize(
    ("head", "classes"),
    [
        (nn.Linear(39, 10), 10),
        (nn.Linear(39, 3, bias=False), 3),
        (nn.Identity(), 0),
        (nn.Sequential(nn.Dropout(0.5), nn.Linear(39, 7)), 7),
        (nn.Sequential(nn.Linear(39, 7), nn.Identity()), 7),
        (nn.Sequential(), 0),
    ],
    ids=str,
)
def test_a_new_head_is_followed(head: nn.Module, classes: int) -> None:
    theirs = tiny()
    theirs.head = head.eval()
    same_logits(theirs, images(theirs))
    ours = vit.from_timm(theirs)
    assert (ours.labels, ours.architecture["classes"]) == ([], classes)


@pytest.mark.parametrize("pool", ["avg", "token"])
@pytest.mark.parametrize("classes", [0, 5])
def test_reset_classifier(classes: int, pool: str) -> None:
    theirs = tiny(global_pool="map")
    theirs.reset_classifier(classes, pool)
    same_logits(theirs, images(theirs))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            nn.Sequential(nn.Linear(39, 20), nn.ReLU(), nn.Linear(20, 3)),
            r"head is Sequential\(Linear, ReLU, Linear\), expected",
        ),
        (
            nn.Sequential(nn.BatchNorm1d(39), nn.Linear(39, 3)),
            r"head is Sequential\(BatchNorm1d, Linear\), expected",
        ),
        (nn.Bilinear(39, 39, 3), "head is Bilinear, expected"),
        (weight_norm(nn.Linear(39, 3)), "head is ParametrizedLinear, expected"),
        (nn.Linear(38, 3), "head is a layer of 38 features, expected the model's 39"),
        (None, "head is missing, expected"),
    ],
    ids=str,
)
def test_another_head_is_refused_by_name(head: nn.Module | None, message: str) -> None:
    theirs = tiny()
    theirs.head = head
    with pytest.raises(VitError, match=message):
        vit.from_timm(theirs)


def changed(path: str, value: Any) -> Callable[[Any], None]:
    """A function that sets one attribute somewhere in a model."""

    def change(model: Any) -> None:
        *owners, name = path.split(".")
        for owner in owners:
            model = getattr(model, owner)
        setattr(model, name, value)

    return change


def tiny_part(path: str, **arguments: object) -> Any:
    part = tiny(**arguments)
    for name in path.split("."):
        part = getattr(part, name)
    return part


class OtherBlock(timm.models.vision_transformer.Block):
    """A subclass, which may compute anything."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda model: changed("blocks.3", OtherBlock(39, 3))(model),
            "blocks.3 is OtherBlock, expected Block",
        ),
        (changed("blocks.3", nn.Identity()), "blocks.3 is Identity, expected Block"),
        (changed("blocks.3.mlp.act", nn.ReLU()), "the activation of blocks.3 is relu, expected gelu, as"),
        (
            changed("blocks.3.mlp.act", nn.GELU("tanh")),
            "the activation of blocks.3 is gelu_tanh, expected gelu",
        ),
        (changed("blocks.3.mlp.act", nn.Mish()), "blocks.3.mlp.act is Mish, expected GELU or"),
        (changed("blocks.3.norm2", nn.Identity()), "blocks.3.norm2 is Identity, expected LayerNorm"),
        (changed("blocks.3.norm2", nn.RMSNorm(39)), "blocks.3.norm2 is RMSNorm, expected LayerNorm"),
        (changed("blocks.3.norm2.eps", 0.1), "the eps of blocks.3.norm2 is 0.1, expected 1e-06, as"),
        (
            lambda model: changed("blocks.3", tiny_part("blocks.1", num_heads=13))(model),
            "the heads of blocks.3 is 13",
        ),
        (
            lambda model: changed("blocks.3", tiny_part("blocks.1", mlp_ratio=2))(model),
            "the mlp_ratio of blocks.3",
        ),
        (
            lambda model: changed("blocks.3", tiny_part("blocks.1", qkv_bias=False))(model),
            "the qkv_bias of blocks.3",
        ),
        (
            lambda model: changed("blocks.3", tiny_part("blocks.1", proj_bias=False))(model),
            "the output_bias of blo",
        ),
        (
            lambda model: changed("blocks.3", tiny_part("blocks.1", qk_norm=True))(model),
            "the qk_norm of blocks.3",
        ),
        (
            lambda model: changed("blocks.3", tiny_part("blocks.1", init_values=1.0))(model),
            "the layer_scale of bl",
        ),
        (
            changed("blocks.3.ls2", LayerScale(39)),
            "LayerScale in blocks.3.ls2 is True, expected False",
        ),
        (
            changed("blocks.3.attn.q_norm", nn.LayerNorm(13)),
            "a norm in blocks.3.attn.k_norm is False, expected True",
        ),
        (
            changed("blocks.3.attn.qkv", nn.Linear(39, 39)),
            r"blocks.3.attn.qkv is a linear layer of shape \(39, 39\)",
        ),
        (
            changed("blocks.3.attn.proj", weight_norm(nn.Linear(39, 39))),
            "blocks.3.attn.proj is ParametrizedLinear",
        ),
        (
            changed("blocks.3.mlp.fc2", nn.Linear(156, 39, bias=False)),
            "bias of blocks.3.mlp.fc2 is False, expected",
        ),
        (changed("blocks.3.attn.scale", 1.0), "blocks.3.attn.scale is 1.0, expected 0.277"),
        (changed("blocks.3.attn.gate", nn.Linear(39, 39)), "blocks.3.attn.gate is Linear, expected none"),
        (
            changed("blocks.3.attn.forward", lambda tokens: tokens),
            "blocks.3.attn.forward is a function of its own",
        ),
        (changed("blocks.3.drop_path2", nn.Tanh()), "blocks.3.drop_path2 is Tanh, expected Dropout or"),
        (changed("forward", lambda pixels: pixels), "cannot import a model with a forward of its own"),
        (changed("blocks", nn.Sequential()), "blocks is empty, expected at least one block"),
        (
            changed("pos_embed", nn.Parameter(torch.zeros(1, 17, 39))),
            "the length of pos_embed is 17, expected 16",
        ),
        (changed("norm", nn.BatchNorm1d(39)), "norm is BatchNorm1d, expected LayerNorm"),
        (changed("norm.eps", 0.1), "the eps of norm is 0.1, expected 1e-06, as the eps of blocks.0$"),
        (changed("fc_norm", nn.GroupNorm(3, 39)), "fc_norm is GroupNorm, expected LayerNorm"),
        (changed("pos_drop", nn.ReLU()), "pos_drop is ReLU, expected Dropout"),
        (changed("patch_embed", nn.Conv2d(3, 39, 8, 8)), "patch_embed is Conv2d, expected PatchEmbed"),
        (
            changed("patch_embed.proj.stride", (4, 4)),
            "patch_embed.proj is Conv2d.*expected a convolution whose",
        ),
        (changed("global_pool", "avgmax"), "global_pool is 'avgmax', expected one of token, avg, map"),
        (changed("attn_pool", nn.Linear(39, 39)), "attn_pool is Linear, expected AttentionPoolLatent"),
    ],
)
def test_every_part_of_every_block_is_looked_at(change: Callable[[Any], None], message: str) -> None:
    theirs = tiny(depth=4)
    change(theirs)
    with pytest.raises(VitError, match=message):
        vit.from_timm(theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            changed("attn_pool.latent", nn.Parameter(torch.zeros(1, 2, 39))),
            r"attn_pool.latent is of shape \(1, 2, 39",
        ),
        (changed("attn_pool.pool", "avg"), "attn_pool is one with positions, or a mean"),
        (changed("attn_pool.q", nn.Identity()), "attn_pool.q is Identity, expected Linear"),
        (changed("attn_pool.norm", nn.Identity()), "attn_pool.norm is Identity, expected LayerNorm"),
        (changed("attn_pool.mlp", None), "attn_pool.mlp is missing, expected Mlp"),
        (changed("attn_pool.mlp.act", nn.Mish()), "attn_pool.mlp.act is Mish, expected"),
        (changed("attn_pool.q_norm", nn.LayerNorm(13)), "attn_pool.q_norm is LayerNorm, expected Identity"),
        (changed("attn_pool.scale", 1.0), "attn_pool.scale is 1.0, expected 0.277"),
    ],
)
def test_every_part_of_an_attention_pool_is_looked_at(change: Callable[[Any], None], message: str) -> None:
    theirs = tiny(global_pool="map")
    change(theirs)
    with pytest.raises(VitError, match=message):
        vit.from_timm(theirs)


def test_an_attention_pool_may_differ_from_the_blocks() -> None:
    theirs = tiny(global_pool="map", qkv_bias=False, proj_bias=False)
    theirs.attn_pool.norm.eps, theirs.attn_pool.mlp.act = 0.1, nn.ReLU()
    same_logits(theirs, images(theirs))


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_imported_is_named(what: str) -> None:
    name, arguments, message = REFUSED[what]
    depth = {"depth": 1} if name.startswith(("vit", "deit")) and "features_only" not in arguments else {}
    with pytest.raises(VitError, match=message) as caught:
        vit.from_timm(timm.create_model(name, **depth, **arguments))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ("vit_tiny_patch16_224", r'cannot import a str.*vit.load_model\("timm:vit_tiny_patch16_224"\)'),
        (None, "cannot import a NoneType, expected one of timm's VisionTransformer"),
        (nn.Linear(2, 3), "cannot import a model of class Linear, expected"),
    ],
)
def test_what_is_no_model_of_timm_is_named(thing: Any, message: str) -> None:
    with pytest.raises(VitError, match=message):
        vit.from_timm(thing)


def test_a_model_of_transformers_is_told_where_to_go() -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=6, num_hidden_layers=1, num_attention_heads=1, intermediate_size=6)
    with pytest.raises(VitError, match=r"ViTModel.*vit.from_huggingface imports models of transformers"):
        vit.from_timm(ViTModel(config))


@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        nn.DataParallel,
        lambda model: changed("blocks.1", torch.compile(model.blocks[1]))(model) or model,
        lambda model: changed("blocks", torch.compile(model.blocks))(model) or model,
        lambda model: changed("patch_embed", torch.compile(model.patch_embed))(model) or model,
        lambda model: changed("head", torch.compile(model.head))(model) or model,
    ],
)
def test_wrapped_models_are_unwrapped(wrap: Callable[[Any], Any]) -> None:
    theirs = tiny()
    pixels = images(theirs)
    with torch.no_grad():
        expected = theirs(pixels)
        torch.testing.assert_close(vit.from_timm(wrap(theirs))(pixels), expected, atol=1e-5, rtol=0)


def test_a_model_without_weights_is_refused() -> None:
    with torch.device("meta"):
        theirs = timm.create_model("vit_tiny_patch16_224")
    with pytest.raises(VitError, match="cls_token is on the meta device, without values"):
        vit.from_timm(theirs)


def test_a_sharded_model_is_refused(tmp_path: Any) -> None:
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import init_device_mesh

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        theirs = tiny()
        fully_shard(theirs, mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(VitError, match="cls_token is a DTensor, expected a plain tensor: gather sharded"):
            vit.from_timm(theirs)
    finally:
        dist.destroy_process_group()


def test_a_model_of_two_dtypes_is_refused() -> None:
    theirs = tiny()
    theirs.head.half()
    with pytest.raises(VitError, match=r"the dtype of head.weight is torch.float16, expected torch.float32"):
        vit.from_timm(theirs)


def test_another_picture_size_travels() -> None:
    theirs = randomised("vit_tiny_patch16_224", img_size=(48, 80), depth=1)
    ours = vit.from_timm(theirs)
    assert (ours.image_size, tuple(ours.positions.table.shape[:2])) == ((48, 80), (3, 5))
    assert (ours.preprocess.height, ours.preprocess.width) == (48, 80)
    theirs.set_input_size((80, 32))
    same_logits(theirs, images(theirs))


def test_weights_are_copied_not_shared() -> None:
    theirs = tiny()
    ours = vit.from_timm(theirs)
    before = ours.head.weight.clone()
    nn.init.zeros_(theirs.head.weight)
    assert torch.equal(ours.head.weight, before)


def test_dtype_is_kept() -> None:
    theirs = tiny().double()
    assert vit.from_timm(theirs).head.weight.dtype == torch.float64
    same_logits(theirs, images(theirs))
