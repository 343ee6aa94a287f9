"""timm's models and ours give the same logits, from random weights: no download."""

import pytest
import timm
import torch
from torch import nn

import vit
from vit.errors import VitError

# name -> arguments: between them class token or none, registers, LayerScale, mean and attention pool, norms
# before the blocks and after pooling, positions with and without the prefix, bias or none.
MODELS = {
    "vit_tiny_patch16_224": {},
    "deit_small_patch16_224": {"depth": 4},
    "deit3_small_patch16_224": {"depth": 4},
    "vit_small_patch14_dinov2": {"depth": 4, "img_size": 70, "num_classes": 11},
    "vit_small_patch14_reg4_dinov2": {"depth": 4, "img_size": 56, "num_classes": 11},
    "vit_wee_patch16_reg1_gap_256": {"depth": 4},
    "vit_medium_patch16_gap_240": {"depth": 4},
    "vit_so150m_patch16_reg4_map_256": {"depth": 2, "num_classes": 7},
    "vit_base_patch16_siglip_224": {"depth": 1, "num_classes": 7},
    "vit_base_patch32_clip_224": {"depth": 2, "num_classes": 5},
}


def randomised(name: str, **arguments: object) -> nn.Module:
    """timm's model with weights large enough that logits are of order one, and no two parameters alike."""
    torch.manual_seed(0)
    model = timm.create_model(name, dynamic_img_size=True, **arguments).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            else:
                parameter.copy_(float("norm" in parameter_name) + 0.2 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_timms(name: str) -> None:
    theirs = randomised(name, **MODELS[name])
    ours = vit.from_timm(theirs)
    patch = theirs.patch_embed.patch_size[0]
    for size in (theirs.patch_embed.img_size, (5 * patch, 3 * patch)):
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            expected, features = theirs(images), theirs.forward_features(images)
            assert expected.abs().max() > 0.1
            difference = float((ours(images) - expected).abs().max())
            print(f"{name} at {size[0]} x {size[1]}: {difference:.1e} of {float(expected.abs().max()):.1f}")
            assert difference <= 1e-5
            torch.testing.assert_close(ours.encode(images), features, atol=1e-4, rtol=1e-4)
    assert not ours.training


def test_without_a_head() -> None:
    theirs = randomised("vit_tiny_patch16_224", depth=2, num_classes=0)
    images = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(vit.from_timm(theirs)(images), theirs(images), atol=1e-5, rtol=0)


def test_qk_norm_and_no_bias() -> None:
    theirs = randomised("vit_tiny_patch16_224", depth=2, qk_norm=True, qkv_bias=False)
    images = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(vit.from_timm(theirs)(images), theirs(images), atol=1e-5, rtol=0)


def test_weights_are_copied_not_shared() -> None:
    theirs = randomised("vit_tiny_patch16_224", depth=1)
    ours = vit.from_timm(theirs)
    before = ours.head.weight.clone()
    nn.init.zeros_(theirs.head.weight)
    assert torch.equal(ours.head.weight, before)


def test_dtype_is_kept() -> None:
    assert (
        vit.from_timm(randomised("vit_tiny_patch16_224", depth=1).double()).head.weight.dtype == torch.float64
    )


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("vit_tiny_patch16_224", {"global_pool": "max"}, "pooling is 'max'"),
        ("vit_tiny_patch16_224", {"act_layer": "quick_gelu"}, "activation is QuickGELU"),
        ("vit_tiny_patch16_224", {"act_layer": "gelu_tanh"}, "activation is"),
        ("vit_tiny_patch16_224", {"pos_embed": "none"}, "position embedding is absent"),
        ("vit_giant_patch14_dinov2", {"depth": 1, "embed_dim": 48, "num_heads": 3}, "MLP is"),
        ("deit_tiny_distilled_patch16_224", {"depth": 1}, "VisionTransformerDistilled"),
        ("resnet18", {}, "ResNet"),
    ],
)
def test_what_cannot_be_imported_is_named(name: str, arguments: dict[str, object], part: str) -> None:
    with pytest.raises(VitError, match=part):
        vit.from_timm(timm.create_model(name, **arguments))
