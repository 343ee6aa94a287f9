"""The share of attention on class token, registers and patches of unusual norm, which maps do not show."""

import torch
from torch import Tensor

UNUSUAL = 2.0  # times the median patch norm of the image


def outlier_patches(states: Tensor, prefix: int) -> Tensor:
    """Patches whose norm is more than twice the median of their image's patches.

    Large models store global information in a few background patches, which have a large norm (Darcet et al.
    2024, "Vision transformers need registers", section 2.1). The paper reads its threshold off one model's
    histogram; a multiple of the median fits any model.

    Args:
        states: (B, N, D), tokens after the last block, before any final norm.
        prefix: Number of tokens before the patches.

    Returns:
        bool (B, patches)
    """
    norms = states[:, prefix:].float().norm(dim=-1)
    return norms > UNUSUAL * norms.median(1, keepdim=True).values


def attention_mass(scores: Tensor, prefix: int, class_token: bool, outliers: Tensor) -> dict[str, Tensor]:
    """Split a row of attention by the kind of token attended to.

    Args:
        scores: (B, N), not negative: a row of raw attention or of rollout.
        prefix: Number of tokens before the patches.
        class_token: Whether the first of them is a class token; the rest are registers.
        outliers: bool (B, patches)

    Returns:
        Shares (B,) that sum to 1: `class`, `registers`, `outliers`, `patches` (all others).
    """
    share = scores / scores.sum(1, keepdim=True)
    patches = share[:, prefix:]
    outlying = torch.where(outliers, patches, 0.0).sum(1)
    return {
        "class": share[:, : int(class_token)].sum(1),
        "registers": share[:, int(class_token) : prefix].sum(1),
        "outliers": outlying,
        "patches": patches.sum(1) - outlying,
    }
