"""Families of timm's image models in small: equal features and logits, in float32 and in float64."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import vit
from vit.errors import VitError

from .timm_models import randomise

SMALL: dict[str, Any] = {"depth": 2, "embed_dim": 24, "num_heads": 3, "num_classes": 7, "img_size": (32, 48)}

# name -> arguments in place of those of `SMALL` and the architecture.
MODELS: dict[str, dict[str, Any]] = {
    "eva02_tiny_patch14_224": {"img_size": (28, 70)},  # rotary, scaled to a reference grid; SwiGLU
    "eva02_base_patch14_448": {"img_size": (28, 70)},  # separate projections, norms inside
    "eva_giant_patch14_224": {"img_size": (28, 42)},
    "vit_small_patch16_dinov3": {},
    "vit_small_patch16_dinov3_qkvb": {"dynamic_img_size": False},
    "vit_small_plus_patch16_dinov3": {},
    "vit_small_patch16_rope_224": {},
    "vit_small_patch16_rope_ape_224": {"dynamic_img_size": False},
    "vit_base_patch16_rope_mixed_224": {},
    "vit_small_patch16_rope_mixed_ape_224": {"rope_grid_indexing": "ij", "dynamic_img_size": False},
    "vit_medium_patch16_rope_reg1_gap_256": {"qk_norm": True},
    "vit_base_patch16_rope_reg1_gap_256": {"rope_rotate_half": True, "rope_grid_indexing": "xy"},
    "vit_pe_core_tiny_patch16_384": {},  # rotary from 1 on, columns first; attention pool of all tokens
    "vit_pe_lang_large_patch14_448": {"img_size": (28, 42)},
    "vit_pe_spatial_tiny_patch16_512": {},
    "beit_base_patch16_224": {},
    "beitv2_base_patch16_224": {"num_classes": 0},
    "vit_relpos_small_patch16_224": {},
    "vit_relpos_medium_patch16_cls_224": {},
    "vit_relpos_base_patch32_plus_rpn_256": {"img_size": (64, 96)},
    "vit_srelpos_small_patch16_224": {},
    "deit_tiny_distilled_patch16_224": {},
    "vit_base_patch16_xp_224": {},
    "vit_pwee_patch16_reg1_gap_256": {},
    "vit_base_patch16_rpn_224": {},
    "aimv2_large_patch14_224": {"img_size": (28, 42)},
    "beit3_base_patch16_224": {},
    "vit_intern300m_patch14_448": {"img_size": (28, 42)},
    "flexivit_small": {},
    "vit_base_patch16_siglip_gap_224": {},
    "vit_so400m_patch14_siglip_384": {"img_size": (40, 51)},  # patches do not tile the image
    "vit_so400m_patch14_siglip_gap_384": {"img_size": (40, 51)},
    "naflexvit_base_patch16_gap": {"img_size": None, "pos_embed_grid_size": (2, 3)},
    "naflexvit_base_patch16_map": {
        "img_size": None,
        "pos_embed_grid_size": (2, 3),
        "pool_include_prefix": True,
        "embed_norm_layer": "layernorm",
        "patchify_channels_last": False,
    },
}

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("beit_base_patch16_224", {"use_shared_rel_pos_bias": True}),
    ("beit_base_patch16_224", {"use_shared_rel_pos_bias": True, "use_rel_pos_bias": False}),
    ("beit_base_patch16_224", {"use_abs_pos_emb": True, "global_pool": "token", "qkv_bias": False}),
    ("beit_base_patch16_224", {"swiglu_mlp": True, "scale_mlp": True, "use_rel_pos_bias": False}),
    ("beit_base_patch16_224", {"depth": 1}),
    ("vit_relpos_small_patch16_224", {"rel_pos_type": "bias", "qk_norm": True}),
    ("vit_relpos_medium_patch16_cls_224", {"rel_pos_type": "bias", "shared_rel_pos": True}),
    ("vit_relpos_small_patch16_224", {"rel_pos_type": "mlp-swin", "rel_pos_dim": 5}),
    ("eva02_tiny_patch14_224", {"img_size": (28, 70), "qkv_bias": False, "qkv_fused": False}),
    ("eva02_tiny_patch14_224", {"img_size": (28, 70), "use_rot_pos_emb": False, "init_values": 0.3}),
    ("eva_giant_patch14_224", {"img_size": (28, 42), "use_post_norm": True, "scale_mlp": True}),
    ("vit_small_patch16_dinov3", {"use_abs_pos_emb": True, "no_embed_class": True}),
    ("naflexvit_base_patch16_gap", {"img_size": None, "pos_embed": "none", "rope_type": "axial"}),
    (
        "naflexvit_base_patch16_gap",
        {"img_size": None, "pos_embed_grid_size": (2, 3), "class_token": True, "rope_type": "mixed"},
    ),
]


def small(name: str, **arguments: Any) -> Any:
    """timm's model with few and narrow blocks and weights of order one."""
    usual = {key: value for key, value in (SMALL | arguments).items() if value is not None}
    model = timm.create_model(name, **usual).eval()
    randomise(model)
    return model


def pixels_of(model: Any, *, rows: int | None = None, cols: int | None = None) -> torch.Tensor:
    """Pixels of the model's own size, or of other numbers of patches."""
    patches = getattr(model, "patch_embed", None) or model.embeds
    height, width = getattr(patches, "img_size", (32, 48))
    patch_height, patch_width = patches.patch_size
    height, width = (rows or 0) * patch_height or height, (cols or 0) * patch_width or width
    return torch.randn(2, 3, height, width, dtype=torch.float64)


def assert_equal(theirs: Any, pixels: torch.Tensor, *, exact: float = 1e-10) -> None:
    """Features and logits, in float32 and in float64."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, exact)):
        model, images = theirs.to(dtype), pixels.to(dtype)
        ours = vit.from_timm(model)
        with torch.no_grad():
            features, logits = model.forward_features(images), model(images)
            assert logits.std() > 0.05
            torch.testing.assert_close(ours.encode(images), features, atol=tolerance, rtol=tolerance)
            torch.testing.assert_close(ours(images), logits, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_features_and_logits_equal_timms(name: str) -> None:
    theirs = small(name, **MODELS[name])
    assert_equal(theirs, pixels_of(theirs))


@pytest.mark.parametrize(("name", "arguments"), VARIANTS, ids=str)
def test_variants(name: str, arguments: dict[str, Any]) -> None:
    theirs = small(name, **arguments)
    assert_equal(theirs, pixels_of(theirs))


@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch16_dinov3",
        "vit_small_patch16_rope_224",
        "vit_base_patch16_rope_mixed_224",
        "vit_medium_patch16_rope_reg1_gap_256",
        "vit_pe_spatial_tiny_patch16_512",
        "eva02_tiny_patch14_224",
    ],
)
def test_rotary_positions_of_another_size(name: str) -> None:
    """Rotations alone are equal to rounding of float64; a table of positions is interpolated in float32."""
    theirs = small(name, img_size=(42, 70) if "patch14" in name else (48, 80), dynamic_img_size=True)
    exact = 1e-10 if theirs.pos_embed is None else 1e-5
    assert_equal(theirs, pixels_of(theirs, rows=5, cols=2), exact=exact)


@pytest.mark.parametrize(
    "name", ["vit_pe_core_tiny_patch16_384", "eva_giant_patch14_224", "aimv2_large_patch14_224"]
)
def test_a_table_of_positions_of_another_size(name: str) -> None:
    theirs = small(name, img_size=(42, 70) if "patch14" in name else (48, 80), dynamic_img_size=True)
    assert_equal(theirs, pixels_of(theirs, rows=7, cols=2), exact=1e-5)


def test_naflex_positions_of_another_size() -> None:
    theirs = small("naflexvit_base_patch16_gap", img_size=None, pos_embed_grid_size=(3, 5))
    assert_equal(theirs, pixels_of(theirs, rows=4, cols=7), exact=1e-5)


@pytest.mark.parametrize("name", ["beit_base_patch16_224", "vit_relpos_small_patch16_224"])
def test_biases_are_interpolated_for_another_size(name: str) -> None:
    """A table that is linear in the offsets keeps its middle, and another size of picture is accepted."""
    ours = vit.from_timm(small(name))
    relative = ours.relative
    with torch.no_grad():
        relative.table.copy_(torch.arange(relative.table.shape[-1]).float().expand_as(relative.table))
        middle = relative.table[0, 0, 1, relative.table.shape[-1] // 2]
        resized = relative.resized(3, 4)
        assert resized.shape[2:] == (5, 7)
        torch.testing.assert_close(resized[0, 0, 2, 3], middle)
        assert ours(torch.randn(1, 3, 48, 64)).shape == (1, 7)


def test_pixels_after_the_last_whole_patch_are_not_read() -> None:
    ours = vit.from_timm(small("vit_so400m_patch14_siglip_gap_384", img_size=(40, 51)))
    pixels = torch.randn(1, 3, 40, 51)
    beyond = pixels.clone()
    beyond[:, :, 28:], beyond[..., 42:] = 9.0, 9.0
    with torch.no_grad():
        assert torch.equal(ours(pixels), ours(beyond))
    assert (ours.image_size, ours.grid(pixels), ours.usual_tokens) == ((40, 51), (2, 3), 6)
    assert (ours.preprocess.height, ours.preprocess.width) == (40, 51)
    with pytest.raises(ValueError, match="image is 13 x 51 pixels, expected at least one patch, 14 x 14"):
        ours(pixels[:, :, :13])


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vit_small_patch16_dinov3", 256),
        ("beit_base_patch16_224", 224),
        ("naflexvit_base_patch16_gap", 384),
        ("deit_tiny_distilled_patch16_224", 224),
    ],
)
def test_preprocessing_and_labels_travel(name: str, size: int) -> None:
    theirs = timm.create_model(name, depth=1)
    ours = vit.from_timm(theirs)
    assert (ours.preprocess.height, ours.preprocess.width) == (size, size)
    config = timm.data.resolve_model_data_config(theirs)
    assert (ours.preprocess.mean, ours.preprocess.crop) == (config["mean"], config["crop_pct"])
    assert len(ours.labels) in (0, theirs.num_classes)
    if name == "beit_base_patch16_224":
        assert ours.labels[0] == "tench, Tinca tinca"


def changed(path: str, value: Any) -> Callable[[Any], None]:
    """A function that sets one attribute somewhere in a model."""

    def change(model: Any) -> None:
        *owners, name = path.split(".")
        for owner in owners:
            model = getattr(model, owner)
        setattr(model, name, value)

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("eva02_tiny_patch14_224", changed("rope", nn.Identity()), "rope is Identity, expected RotaryEmb"),
        ("eva02_tiny_patch14_224", changed("rope.in_pixels", True), "rope.grid_type is 'index', expected"),
        (
            "eva02_tiny_patch14_224",
            changed("rope.grid_indexing", "yx"),
            "grid_indexing is 'yx', expected",
        ),
        ("eva02_tiny_patch14_224", changed("rope.dim", 12), "rope.dim is 12, expected 8, the channels of a"),
        (
            "eva02_tiny_patch14_224",
            changed("blocks.1.attn.rotate_half", True),
            "blocks.1.attn.rotate_half is True, expected False, as rotate_half of rope",
        ),
        (
            "eva02_tiny_patch14_224",
            changed("blocks.1.attn.num_prefix_tokens", 0),
            "blocks.1.attn.num_prefix_tokens is 0, expected 1, as num_prefix_tokens",
        ),
        (
            "eva02_tiny_patch14_224",
            changed("blocks.1.attn.gate", nn.Linear(24, 24)),
            "blocks.1.attn.gate is Linear, expected none",
        ),
        (
            "eva_giant_patch14_224",
            changed("blocks.1.attn.k_bias", torch.ones(24)),
            "blocks.1.attn.k_bias is not zero, expected zero",
        ),
        (
            "eva_giant_patch14_224",
            changed("blocks.1.attn.qkv", nn.Linear(24, 72)),
            "blocks.1.attn.qkv.bias is a tensor, expected None",
        ),
        ("vit_small_patch16_dinov3", changed("rope.normalize_coords", "max"), "'max', expected 'separate'"),
        ("vit_small_patch16_dinov3", changed("rope.max_period", 9.0), "shortest and longest period, exp"),
        (
            "vit_small_patch16_dinov3",
            changed("blocks.1.gamma_1", None),
            "LayerScale in blocks.1.gamma_2 is True, expected False",
        ),
        (
            "beit_base_patch16_224",
            changed("blocks.1.attn.relative_position_bias_table", None),
            "the bias of blocks.1 by relative positions is none, expected one, as blocks.0.attn",
        ),
        (
            "beit_base_patch16_224",
            changed("blocks.1.attn.window_size", (3, 2)),
            r"blocks.1.attn.window_size is \(3, 2\), expected \(2, 3\), the grid",
        ),
        (
            "beit_base_patch16_224",
            changed("blocks.1.attn.relative_position_bias_table", nn.Parameter(torch.zeros(17, 3))),
            r"relative_position_bias_table is of shape \(17, 3\), expected \(15 or 3 more, 3\)",
        ),
        (
            "vit_relpos_small_patch16_224",
            changed("blocks.1.attn.rel_pos.mlp.act", nn.GELU()),
            "blocks.1.attn.rel_pos.mlp.act is GELU, expected ReLU",
        ),
        (
            "vit_relpos_small_patch16_224",
            changed("blocks.1.attn.rel_pos.bias_act", nn.Tanh()),
            "blocks.1.attn.rel_pos.bias_act is Tanh, expected Identity or Sigmoid",
        ),
        (
            "vit_base_patch16_xp_224",
            changed("blocks.1.mlp_act", nn.Mish()),
            "blocks.1.mlp_act is Mish, expected GELU or",
        ),
        ("vit_base_patch16_xp_224", changed("blocks.1.ls", nn.Tanh()), "blocks.1.ls is Tanh, expected"),
        (
            "deit_tiny_distilled_patch16_224",
            changed("head_dist", nn.Linear(24, 5)),
            "head_dist is a layer of 5 classes, expected 7, as head has",
        ),
        (
            "aimv2_large_patch14_224",
            changed("norm", nn.LayerNorm(24, eps=1e-5)),
            "the kind of norm in norm is layer, expected rms, as the kind of norm in blocks.0",
        ),
    ],
)
def test_every_part_is_looked_at(name: str, change: Callable[[Any], None], message: str) -> None:
    theirs = small(name, **MODELS.get(name, {}))
    change(theirs)
    with pytest.raises(VitError, match=message) as caught:
        vit.from_timm(theirs)
    assert "\n" not in str(caught.value)


def test_a_bias_of_offsets_in_training_mode_has_no_dropout() -> None:
    theirs = small("vit_relpos_small_patch16_224")
    expected = vit.from_timm(theirs).relative.table
    assert torch.equal(vit.from_timm(theirs.train()).relative.table, expected)


def test_a_model_without_values_is_looked_at_too() -> None:
    """So that a name is refused, or not, before its weights are downloaded."""
    from vit.weights.timm.tower import tower_arguments

    for name in ("beit_base_patch16_224", "vit_relpos_small_patch16_224", "eva02_tiny_patch14_224"):
        with torch.device("meta"):
            theirs = timm.create_model(name)
        assert tower_arguments(theirs)["relative"]["kind"] in ("table", "rotary")


@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch16_dinov3",
        "beit_base_patch16_224",
        "vit_relpos_small_patch16_224",
        "deit_tiny_distilled_patch16_224",
        "vit_pe_core_tiny_patch16_384",
    ],
)
def test_a_folder_of_timm(name: str, tmp_path: Path) -> None:
    arguments = SMALL | {"img_size": 32}
    theirs = timm.create_model(name, **arguments).eval()
    randomise(theirs)
    timm.models.save_for_hf(theirs, tmp_path, safe_serialization=True, model_args=arguments)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            vit.load_model(f"timm:{tmp_path}")(pixels), theirs(pixels), atol=1e-5, rtol=0
        )


def test_a_bundle_gives_the_same_logits(tmp_path: Path) -> None:
    for name in ("vit_small_patch16_dinov3", "beit_base_patch16_224", "vit_so400m_patch14_siglip_384"):
        theirs = small(name, **MODELS[name])
        ours, pixels = vit.from_timm(theirs), pixels_of(theirs).float()
        ours.save(tmp_path / name)
        with torch.no_grad():
            assert torch.equal(vit.load_model(tmp_path / name)(pixels), ours(pixels))


def test_a_pool_of_all_tokens_can_be_explained() -> None:
    """The row of its pool holds the prefix too."""
    theirs = small("vit_pe_core_tiny_patch16_384")
    ours, pixels = vit.from_timm(theirs), pixels_of(theirs).float()
    with torch.no_grad(), vit.record_attention(ours) as tape:
        ours(pixels)
    assert tape.pool_weights().shape == (2, 8, 1, ours.prefix + 6)
    for method in ("rollout", "relevance", "legrad"):
        maps = vit.attend(ours, pixels, method=method)
        assert maps.shape == (2, 2, 3)
        assert maps.isfinite().all()


def test_a_file_of_another_class_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"blocks.0.norm1.weight": torch.zeros(3)}, file)
    with pytest.raises(VitError, match="eva02_tiny_patch14_224, of class Eva: files of weights are read for"):
        vit.load_model(file, like="timm:eva02_tiny_patch14_224")
