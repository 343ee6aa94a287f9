"""Fifty names of timm, and every vision transformer in its list: imported with equal logits, or refused."""

from collections import Counter
from typing import Any

import pytest
import timm
import torch

import vit
from vit.errors import VitError
from vit.vision import VisionTransformer
from vit.weights.timm.tower import tower_arguments

from .timm_models import images, randomise

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 7}

IMPORTED = (
    "vit_tiny_patch16_224",
    "vit_small_patch32_224",
    "deit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "beit_base_patch16_224",
    "beitv2_base_patch16_224",
    "eva02_tiny_patch14_224",
    "eva_giant_patch14_224",
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3",
    "vit_small_patch16_dinov3_qkvb",
    "vit_small_plus_patch16_dinov3",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_siglip_gap_224",
    "vit_base_patch16_clip_224",
    "vit_base_patch32_clip_quickgelu_224",
    "vit_medium_patch16_gap_256",
    "vit_relpos_small_patch16_224",
    "vit_relpos_medium_patch16_cls_224",
    "flexivit_small",
    "vit_so150m_patch16_reg4_gap_256",
    "vit_so150m2_patch16_reg1_gap_256",
    "vit_little_patch16_reg1_gap_256",
    "vit_betwixt_patch16_reg4_gap_256",
    "vit_wee_patch16_reg1_gap_256",
    "vit_pwee_patch16_reg1_gap_256",
    "vit_srelpos_small_patch16_224",
    "naflexvit_base_patch16_gap",
    "vit_xsmall_patch16_clip_224",
    "vit_small_patch8_224",
    "vit_base_patch16_rope_mixed_224",
    "vit_small_patch16_rope_224",
    "vit_medium_patch16_rope_reg1_gap_256",
    "vit_base_patch16_xp_224",
    "vit_base_patch16_rpn_224",
    "vit_base_patch16_plus_240",
    "aimv2_large_patch14_224",
    "beit3_base_patch16_224",
    "vit_intern300m_patch14_448",
    "vit_pe_core_tiny_patch16_384",
)

# name -> what the message says.
REFUSED = {
    "samvit_base_patch16_224": "class VisionTransformerSAM (its attention stays within windows",
    "vit_small_r26_s32_224": "patch_embed is HybridEmbed, which takes patches from convolutions (ResNetV2)",
    "vit_base_r50_s16_224": "patch_embed is HybridEmbed, which takes patches from convolutions (ResNetV2)",
    "cait_xxs24_224": "class Cait (its attention mixes heads",
    "xcit_nano_12_p16_224": "class Xcit (its attention is between channels",
    "swin_tiny_patch4_window7_224": "class SwinTransformer (its attention stays within windows",
    "vitamin_small_224": "patch_embed is HybridEmbed, which takes patches from convolutions (MbConvStages)",
    "tiny_vit_5m_224": "class TinyVit (its patches come from convolutions",
}

# What is refused in the list of timm, by the part that is named.
REASONS = {
    "cannot import a model of class": "another class",
    ": patch_embed is HybridEmbed": "patches from a convolutional network",
    ": blocks.0 is": "another block, such as several attentions in parallel",
    ": blocks.0.attn is": "another attention",
    ": LayerScale in blocks.0.gamma_2": "LayerScale on attention alone",
    ": embeds.pos_embed": "NaFlex positions of another kind",
}


def outline(name: str, **arguments: Any) -> Any:
    """The architecture, without values."""
    with torch.device("meta"):
        return timm.create_model(name, **arguments)


def test_there_are_fifty_names() -> None:
    assert len({*IMPORTED, *REFUSED}) == 50


@pytest.mark.parametrize("name", IMPORTED)
def test_an_architecture_is_imported(name: str) -> None:
    """It has as many parameters, but for an MLP of biases that becomes a table."""
    theirs = outline(name, depth=2)
    with torch.device("meta"):
        ours = VisionTransformer(**tower_arguments(theirs))
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in (ours, theirs)]
    assert counts[0] == pytest.approx(counts[1], rel=0.02)


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_is_refused_before_a_download(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def create_model(name: str, *, pretrained: bool = False, **arguments: Any) -> Any:
        assert not pretrained
        return create(name, **arguments)

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(VitError) as caught:
        vit.load_model(f"timm:{name}")
    assert REFUSED[name] in str(caught.value)
    assert "\n" not in str(caught.value)


def small(name: str) -> Any:
    """An architecture with two narrow blocks; where timm cannot make it narrow, its outline alone."""
    try:
        return timm.create_model(name, **SMALL).eval()
    except (TypeError, AssertionError, RuntimeError):
        return outline(name).eval()


def outcome(name: str) -> str:
    """`imported`, with equal logits, or the reason why not."""
    theirs = small(name)
    try:
        tower_arguments(theirs)
    except VitError as error:
        return next((reason for part, reason in REASONS.items() if part in str(error)), repr(error))
    randomise(theirs)
    pixels = torch.randn(1, 3, 64, 64) if hasattr(theirs, "embeds") else images(theirs, 1)
    with torch.no_grad():
        expected = theirs(pixels)
        torch.testing.assert_close(vit.from_timm(theirs)(pixels), expected, atol=1e-4, rtol=0)
        assert expected.std() > 0.05
    return "imported"


@pytest.mark.slow
def test_every_name_is_imported_or_refused_by_name() -> None:
    patterns = ["vit*", "deit*", "eva*", "beit*", "naflexvit*", "flexivit*", "aimv2*", "test_vit*"]
    names = sorted({*timm.list_models(patterns), *timm.list_models(module="vision_transformer")})
    outcomes = {name: outcome(name) for name in names}
    counts = Counter(outcomes.values())
    for reason, count in counts.most_common():
        examples = [name for name in outcomes if outcomes[name] == reason][:3]
        print(f"{count:4d}  {reason}: {', '.join(examples)}")
    assert set(counts) <= {"imported", *REASONS.values()}
    assert counts["imported"] >= 240
