"""Encoder-decoders: the attention of both stacks as one, among the tokens of source and target together.

Raw maps, rollout and pages then work on them as on one stack. The encoder's layers come first and the
decoder's after them, as they are computed: attention to the source reads the encoder's last states.

    layer of the encoder        layer of the decoder

      source   target             source   target
    [ W        0      ] source  [ 1        0      ]
    [ 0        1      ] target  [ cross/2  self/2 ]
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vit.core import Tape


def joint_layers(tape: Tape, encoder: str = "encoder", decoder: str = "decoder") -> Iterator[Tensor]:
    """Yield the joint weights of each layer, first layer first: (B, H, M + N, M + N), at least float32.

    Tokens are the M of the source and then the N of the target. Tokens of the stack that a layer does not
    belong to keep to themselves; a row of the target in a decoder's layer is half attention to the source and
    half self-attention. So every row sums to 1.

    Args:
        tape: Of a pass through both stacks, which have the same number of heads.
        encoder: The encoder's stack.
        decoder: The decoder's.
    """
    target = next(tape.layers(decoder)).shape[-1]
    source = 0
    for weights in tape.layers(encoder):
        source = weights.shape[-1]
        yield _joined(weights, weights.new_zeros(*weights.shape[:2], target, source), _eye(weights, target))
    crosses = tape.layers(f"{decoder}.cross")
    for weights, cross in zip(tape.layers(decoder), crosses, strict=True):
        yield _joined(_eye(weights, source), cross / 2, weights / 2)


def _joined(source: Tensor, cross: Tensor, target: Tensor) -> Tensor:
    """(B, H, M, M), (B, H, N, M), (B, H, N, N) -> (B, H, M + N, M + N)."""
    above = torch.nn.functional.pad(source, (0, target.shape[-1]))
    return torch.cat([above, torch.cat([cross, target], -1)], -2)


def _eye(weights: Tensor, tokens: int) -> Tensor:
    """The identity for each head, (B, H, tokens, tokens)."""
    eye = torch.eye(tokens, dtype=weights.dtype, device=weights.device)
    return eye.expand(*weights.shape[:2], -1, -1)
