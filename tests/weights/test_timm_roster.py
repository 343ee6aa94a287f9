"""Every vision transformer in timm's list: imported with equal logits, or refused by name."""

from collections import Counter
from typing import Any

import pytest
import timm
import torch

import vit
from vit.errors import VitError
from vit.weights.timm.tower import tower_arguments

from .timm_models import images, randomise

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 7}

# What is refused, by the part that is named.
REASONS = {
    "cannot import a model of class": "another class than VisionTransformer",
    ": patch_embed is HybridEmbed": "hybrid: patches from a convolutional network",
    ": patch_embed.img_size is": "a picture size that patches do not tile",
    ": patch_embed.norm is": "a norm on the patches",
    ": pos_embed is None": "no table of positions",
    ": blocks.0 is": "another block, such as a parallel one",
    ": blocks.0.attn is": "another attention",
    ": blocks.0.attn.norm is": "norms inside attention or MLP",
    ": blocks.0.mlp is": "SwiGLU, or another MLP",
    ": blocks.0.norm1 is": "RMSNorm",
    ": pool_include_prefix is": "another pool",
    ": global_pool is": "another pool",
}


def names() -> list[str]:
    listed = timm.list_models(["vit*", "deit*"]) + timm.list_models(module="vision_transformer")
    return sorted(set(listed))


def small(name: str) -> Any:
    """An architecture with two narrow blocks; where timm cannot make it narrow, its outline alone."""
    try:
        return timm.create_model(name, **SMALL).eval()
    except (TypeError, AssertionError, RuntimeError):
        with torch.device("meta"):
            return timm.create_model(name).eval()


def outcome(name: str) -> str:
    """`imported`, with equal logits, or the reason why not."""
    theirs = small(name)
    try:
        tower_arguments(theirs)
    except VitError as error:
        return next((reason for part, reason in REASONS.items() if part in str(error)), repr(error))
    randomise(theirs)
    pixels = images(theirs, 1)
    with torch.no_grad():
        expected = theirs(pixels)
        torch.testing.assert_close(vit.from_timm(theirs)(pixels), expected, atol=1e-4, rtol=0)
        assert expected.std() > 0.1
    return "imported"


@pytest.mark.slow
def test_every_name_is_imported_or_refused_by_name() -> None:
    outcomes = {name: outcome(name) for name in names()}
    counts = Counter(outcomes.values())
    for reason, count in counts.most_common():
        examples = [name for name in outcomes if outcomes[name] == reason][:3]
        print(f"{count:4d}  {reason}: {', '.join(examples)}")
    assert set(counts) <= {"imported", *REASONS.values()}
    assert counts["imported"] >= 120
