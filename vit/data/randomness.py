"""Counter-based random numbers: a function of (seed, epoch, index), without state.

As in Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3"), with the mixing function of
SplitMix64 (Steele, Lea and Flood 2014). A batch may be cut, shuffled or divided among processes: each example
gets the same numbers.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor

Bits = TypeVar("Bits", int, Tensor)


def _signed(value: int) -> int:
    """The same 64 bits as an int64; tensors have no uint64 arithmetic."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    return value - (1 << 64) if value >> 63 else value


GOLDEN = _signed(0x9E37_79B9_7F4A_7C15)
FIRST = _signed(0xBF58_476D_1CE4_E5B9)
SECOND = _signed(0x94D0_49BB_1331_11EB)


def _wrap(bits: Bits) -> Bits:
    """64 bits of a sum or product; those of int64 tensors have wrapped already."""
    return _signed(bits) if isinstance(bits, int) else bits


def _shift_right(bits: Bits, by: int) -> Bits:
    """Logical shift to the right; `>>` of a signed number is arithmetic and would repeat the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mix(bits: Bits) -> Bits:
    """SplitMix64's finaliser: each input bit flips each output bit with probability 1/2. Products wrap."""
    bits = _wrap((bits ^ _shift_right(bits, 30)) * FIRST)
    bits = _wrap((bits ^ _shift_right(bits, 27)) * SECOND)
    return bits ^ _shift_right(bits, 31)


def hash64(*keys: int | Tensor) -> Tensor:
    """A 64-bit hash of integers, in their order: int64, in the broadcast shape of those that are tensors.

    Leading keys that are no tensors are hashed as Python's integers: the device has nothing to do for them.
    """
    bits: Any = 0
    for key in keys:
        bits = _mix(_wrap((bits ^ (key if isinstance(key, Tensor) else _signed(key))) + GOLDEN))
    return torch.as_tensor(bits)


def uniforms(seed: int, epoch: int | Tensor, indices: Tensor, count: int) -> Tensor:
    """`count` numbers in [0, 1) for each example: a function of seed, epoch and index alone.

    Args:
        seed: The run's seed.
        epoch: The pass over the data; as an int64 tensor () it may change without another compilation.
        indices: int64 (B,); on any device, and the result is on the same.
        count: Numbers per example.

    Returns:
        float32 (B, count).
    """
    columns = torch.arange(count, device=indices.device)
    bits = hash64(seed, epoch, indices.to(torch.int64)[:, None], columns)
    return _shift_right(bits, 40).to(torch.float32) * 2.0**-24  # 24 bits: all that a float32 below 1 can hold


def derive_seed(*keys: int) -> int:
    """One seed, 0 to 2**63 - 1, from several integers."""
    return int(hash64(*keys)) & ((1 << 63) - 1)


def generator(*keys: int) -> torch.Generator:
    """A new generator on the CPU, seeded with the hash of the integers."""
    return torch.Generator().manual_seed(derive_seed(*keys))
