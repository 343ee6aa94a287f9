"""How the next token is chosen from logits."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from vit.errors import UsageError
from vit.text.generation.arguments import require_integer, require_number

BITS = 53  # of a float64's fraction


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen.

    Args:
        temperature: Divides the logits; 0: always the most probable token.
        top_k: Choose among this many of the most probable tokens (Fan et al. 2018, section 5.1); None: all.
        top_p: Choose among the fewest most probable tokens that have this probability together (Holtzman et
            al. 2020, section 3.1, "nucleus sampling"), one at least; None: all.
        seed: The same seed, prompt and model give the same text, whatever else is in the batch. None: a text
            differs each time.

    Raises:
        UsageError: A number outside its range, something else than a number, or `top_k` or `top_p` with a
            temperature of 0, where they would have no effect.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        require_number("temperature", self.temperature)
        if not 0 <= self.temperature < torch.inf:
            raise UsageError(
                f"temperature is {self.temperature}, expected 0 (the most probable token) or more, and finite"
            )
        if self.top_k is not None:
            require_integer("top_k", self.top_k)
            if self.top_k < 1:
                raise UsageError(f"top_k is {self.top_k}, expected at least 1: a number of tokens")
        if self.top_p is not None:
            require_number("top_p", self.top_p)
            if not 0 < self.top_p <= 1:
                raise UsageError(f"top_p is {self.top_p}, expected a probability above 0 and at most 1")
        if self.seed is not None:
            require_integer("seed", self.seed)
        for name in ("top_k", "top_p"):
            if self.temperature == 0 and (value := getattr(self, name)) is not None:
                raise UsageError(
                    f"{name} is {value}, and temperature is 0, which takes the most probable token and draws "
                    "none: give a temperature above 0, 1 for the model's own probabilities"
                )

    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """One token for each row.

        Args:
            logits: (B, V).
            uniform: float64 (B,), random numbers in [0, 1).

        Returns:
            int64 (B,), on the device of the logits.
        """
        if self.temperature == 0:
            return logits.argmax(-1)
        # On the CPU: not every accelerator has float64, and the choice is the same on all of them.
        scores, order = (logits.cpu().double() / self.temperature).sort(dim=-1, descending=True, stable=True)
        scores, order = scores[:, : self.top_k], order[:, : self.top_k]
        weights = (scores - scores[:, :1]).exp()  # the first is 1
        total = weights.cumsum(-1)
        if self.top_p is not None:
            before = (total - weights) / total[:, -1:]
            weights = weights.masked_fill(before >= self.top_p, 0)  # before the first there is nothing
            total = weights.cumsum(-1)
        at = uniform[:, None] * total[:, -1:]
        place = torch.searchsorted(total, at, right=True).clamp(max=total.shape[-1] - 1)
        return order.gather(1, place)[:, 0].to(logits.device)


class Streams:
    """Random numbers of each prompt: a hash of seed, prompt and step, so that no row depends on another.

    Args:
        seed: None: another one for each row, so that equal prompts differ.
        prompts: The ids of each row.
    """

    def __init__(self, seed: int | None, prompts: Sequence[Sequence[int]]):
        seeds = [secrets.token_hex() if seed is None else str(seed) for _ in prompts]
        self.keys = [
            blake2b(f"{own}:{','.join(map(str, prompt))}".encode(), digest_size=32).digest()
            for own, prompt in zip(seeds, prompts, strict=True)
        ]

    def uniform(self, rows: Sequence[int], step: int) -> Tensor:
        """Numbers in [0, 1) for the step of these rows, float64 (B,)."""
        return torch.tensor([_uniform(self.keys[row], step) for row in rows], dtype=torch.float64)


def _uniform(key: bytes, step: int) -> float:
    drawn = blake2b(step.to_bytes(8, "big"), key=key, digest_size=8).digest()
    return (int.from_bytes(drawn, "big") >> (64 - BITS)) * 2.0**-BITS
