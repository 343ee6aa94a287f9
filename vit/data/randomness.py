"""Chance as a function: the same numbers for the same (seed, epoch, index), whoever asks and in what order.

A counter-based generator, as in Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3"), with
the mixing function of SplitMix64 (Steele, Lea and Flood 2014). No state, so a batch may be cut, shuffled or
spread over processes, and each picture still gets its own numbers.
"""

import torch
from torch import Tensor


def _signed(word: int) -> int:
    """The same 64 bits as an int64; tensors have no uint64 arithmetic."""
    word &= 0xFFFF_FFFF_FFFF_FFFF
    return word - (1 << 64) if word >> 63 else word


GOLDEN = _signed(0x9E37_79B9_7F4A_7C15)
FIRST = _signed(0xBF58_476D_1CE4_E5B9)
SECOND = _signed(0x94D0_49BB_1331_11EB)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """A logical shift to the right; that of int64 would drag the sign along."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mixed(bits: Tensor) -> Tensor:
    """SplitMix64's finaliser: every bit in changes every bit out with probability 1/2. Products wrap."""
    bits = (bits ^ _shifted(bits, 30)) * FIRST
    bits = (bits ^ _shifted(bits, 27)) * SECOND
    return bits ^ _shifted(bits, 31)


def hashed(*words: int | Tensor) -> Tensor:
    """64 well mixed bits for each combination of the words: int64, in the broadcast shape of the tensors."""
    bits = torch.zeros((), dtype=torch.int64)
    for word in words:
        bits = _mixed((bits ^ (word if isinstance(word, Tensor) else _signed(word))) + GOLDEN)
    return bits


def uniforms(seed: int, epoch: int, indices: Tensor, count: int) -> Tensor:
    """`count` numbers in [0, 1) for each picture: a function of seed, epoch and index alone.

    Args:
        seed: The run's seed.
        epoch: The pass over the data.
        indices: int64 (B,); on any device, and the result is on the same.
        count: Numbers per picture.

    Returns:
        float32 (B, count).
    """
    columns = torch.arange(count, device=indices.device)
    bits = hashed(seed, epoch, indices.to(torch.int64)[:, None], columns)
    return _shifted(bits, 40).to(torch.float32) * 2.0**-24  # 24 bits: all that a float32 below 1 can hold


def seed_of(*words: int) -> int:
    """One seed, 0 to 2**63 - 1, out of many words."""
    return int(hashed(*words)) & ((1 << 63) - 1)


def generator(*words: int) -> torch.Generator:
    """A generator on the CPU of its own, seeded with the hash of the words."""
    return torch.Generator().manual_seed(seed_of(*words))
