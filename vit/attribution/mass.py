"""Patches that take attention from all others, and the share of attention on tokens that maps do not show."""

import math

import torch
from torch import Tensor

from vit.core import Recording, Slot, Tower, attention_slots, watch_attention

UNUSUAL = 2.0  # times the median patch norm of the image
SINK = 20.0  # times an even share of the other patches' attention
ENTRIES = 1 << 22  # pairs of tokens, per head, of the images whose attention is computed at once


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


@torch.no_grad()
def attention_received(model: Tower, images: Tensor) -> Tensor:
    """How much attention each patch draws from the others, in the layer where it draws most.

    Heads are averaged, and of each patch's attention only that to other patches counts. What a patch receives
    is the median over the others, so that it has to draw from most of them: what similar patches alone attend
    to, such as a part of an object, has a low median. The unit is an even share, 1 / (patches - 1).

    Args:
        model: In eval mode.
        images: (B, C, height, width), preprocessed. The weights of one layer are in memory at a time, of as
            many images as have 4 million pairs of tokens.

    Returns:
        float32 (B, patches); 1 is what all patches would get of uniform attention.
    """
    tokens = model.prefix + math.prod(model.grid(images))
    parts = images.split(max(ENTRIES // tokens**2, 1))
    return torch.cat([_largest(model, part) for part in parts])


def sink_patches(received: Tensor) -> Tensor:
    """Sinks of attention: patches that most others give more than 20 times an even share in some layer.

    They are to others what registers are (Darcet et al. 2024), and what the first token is in a text (Xiao et
    al. 2024, "Efficient streaming language models with attention sinks"), also where their norm is as usual.
    The threshold is ours; docs/attention.md has figures.

    Args:
        received: (B, patches), of `attention_received`.

    Returns:
        bool (B, patches)
    """
    return received > SINK


def _largest(model: Tower, images: Tensor) -> Tensor:
    """`attention_received`, all images at once."""
    layers: list[Tensor] = []
    stack = next(iter(attention_slots(model))).stack

    def visit(slot: Slot, recording: Recording, values: Tensor, mixed: Tensor) -> None:
        if slot.stack == stack:
            layers.append(_received(recording.weights().mean(1)[:, model.prefix :, model.prefix :]))

    with watch_attention(model, visit):
        model.encode(images)
    return torch.stack(layers).amax(0).float()


def _received(weights: Tensor) -> Tensor:
    """Weights between patches (B, P, P), queries by keys -> (B, P), the median share times P - 1."""
    count = weights.shape[-1]
    if count == 1:
        return weights.new_zeros(len(weights), 1)
    same = torch.eye(count, dtype=torch.bool, device=weights.device)
    others = weights.masked_fill(same, 0)
    share = others / others.sum(-1, keepdim=True).clamp(min=torch.finfo(others.dtype).tiny)
    return share.masked_fill(same, torch.nan).nanmedian(1).values * (count - 1)


def attention_mass(
    scores: Tensor, prefix: int, class_token: bool, outliers: Tensor, sinks: Tensor | None = None
) -> dict[str, Tensor]:
    """Split a row of attention by the kind of token attended to.

    Args:
        scores: (B, N), not negative: a row of raw attention or of rollout.
        prefix: Number of tokens before the patches.
        class_token: Whether the first of them is a class token; the rest are registers.
        outliers: bool (B, patches)
        sinks: bool (B, patches); None: not known.

    Returns:
        Shares (B,) that sum to 1: `class`, `registers`, `outliers`, `patches` (all others). And `sinks`, if
        they are known, that of sinks whatever their norm: a part of the last two.
    """
    share = scores / scores.sum(1, keepdim=True)
    patches = share[:, prefix:]
    outlying = torch.where(outliers, patches, 0.0).sum(1)
    known = {} if sinks is None else {"sinks": torch.where(sinks, patches, 0.0).sum(1)}
    return {
        "class": share[:, : int(class_token)].sum(1),
        "registers": share[:, int(class_token) : prefix].sum(1),
        "outliers": outlying,
        "patches": patches.sum(1) - outlying,
        **known,
    }
