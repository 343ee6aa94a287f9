"""How well a language model predicts texts: perplexity of a token and of a word, bits of a byte."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.functional import cross_entropy

from vit.data.loader import loader
from vit.data.windows import IGNORED, NextTokens
from vit.evaluation.report import Contents
from vit.jobs.ranks import SINGLE_PROCESS, Ranks

SPREAD = 1.96  # standard errors to each side of a 95 % interval
LISTED = 20  # texts in the report


@dataclass
class LanguageEvaluation:
    """What a language model gives the texts of a split, in the order of the split.

    Args:
        losses: float64 (n,), the negative logarithm of each text's probability, in nats: the sum over its
            tokens and its end.
        tokens: int64 (n,), tokens of each text, its end among them.
        words: int64 (n,), words of each text between white space, and its end.
        bytes: int64 (n,), bytes of each text in UTF-8, and its end.
    """

    losses: Tensor
    tokens: Tensor
    words: Tensor
    bytes: Tensor

    @property
    def n(self) -> int:
        """Number of texts."""
        return len(self.losses)

    def figures(self) -> dict[str, Any]:
        """The figures of the whole split, as a dictionary for JSON.

        `loss` is the mean of a token, in nats, and `perplexity` its exponential, with the 95 % `interval`
        over texts. `perplexity_word` is exp(sum of all losses / (words between white space + ends of
        texts)), and `bits_per_byte` the sum in bits / (bytes + ends of texts): both compare models with
        other tokenizers.
        """
        total, tokens = float(self.losses.sum()), int(self.tokens.sum())
        loss = total / tokens
        return {
            "n": self.n,
            "tokens": tokens,
            "words": int(self.words.sum()),
            "bytes": int(self.bytes.sum()),
            "loss": loss,
            "perplexity": _exp(loss),
            "interval": [_exp(loss + side * self._error(loss)) for side in (-SPREAD, SPREAD)],
            "perplexity_word": _exp(total / int(self.words.sum())),
            "bits_per_byte": total / math.log(2) / int(self.bytes.sum()),
        }

    def _error(self, loss: float) -> float:
        """The standard error of the mean loss of a token, a ratio of sums over texts (Cochran 1977, 6.3)."""
        if self.n < 2:
            return 0.0
        residuals = self.losses - loss * self.tokens
        variance = float(residuals.square().sum()) * self.n / (self.n - 1)
        return math.sqrt(variance) / int(self.tokens.sum())


def _exp(value: float) -> float:
    """exp, which is infinite where a float cannot hold it."""
    return math.exp(value) if value < 709 else math.inf


def shown_perplexity(value: float) -> str:
    """A perplexity for a reader, in about four digits; that of a word has no upper bound."""
    if value < 100:
        return f"{value:.2f}"
    return f"{value:,.0f}" if value < 1e6 else f"{value:.3g}"


@torch.inference_mode()
def evaluate_language(
    model: Any, parts: Sequence[NextTokens], *, batch_size: int = 256, ranks: Ranks = SINGLE_PROCESS
) -> LanguageEvaluation:
    """Measure a language model; every token of every text counts once.

    Args:
        model: A causal tower in eval mode whose head gives a logit for each id.
        parts: Texts, one part after the other.
        batch_size: Most windows of a forward pass.
        ranks: Of the processes that share the texts, in a process group.
    """
    device = next(model.parameters()).device
    losses = []
    for part in parts:
        sums = torch.zeros(len(part.texts), dtype=torch.float64)
        for ids, targets, indices in loader(part, batch_size, rank=ranks.rank, world=ranks.world_size):
            sums.index_add_(
                0, part.text_of[indices], window_losses(model, ids.to(device), targets.to(device))
            )
        losses.append(sums)
    total = torch.cat(losses)
    if ranks.world_size > 1:
        distributed.all_reduce(total)
    counts = (torch.cat([getattr(part, name) for part in parts]) for name in ("tokens", "words", "bytes"))
    return LanguageEvaluation(total, *counts)


def window_losses(model: Any, ids: Tensor, targets: Tensor) -> Tensor:
    """The sum of the cross-entropies of each window, float64 (B,) on the CPU.

    Args:
        model: As in `evaluate_language`.
        ids: int64 (B, N).
        targets: int64 (B, N), `IGNORED` at padding.
    """
    chosen = targets != IGNORED
    logits = model.read_token(model.encode(ids)[chosen]).float()
    losses = cross_entropy(logits, targets[chosen], reduction="none")
    return (
        torch.zeros(targets.shape, dtype=torch.float64)
        .masked_scatter(chosen.cpu(), losses.cpu().double())
        .sum(1)
    )


def language_contents(result: LanguageEvaluation, texts: Sequence[str], names: Sequence[str]) -> Contents:
    """What a report shows: the figures, and the texts that the model expects least.

    Args:
        result: The figures.
        texts: In its order.
        names: Of the texts.
    """
    figures = result.figures()
    low, high = figures["interval"]
    facts = {
        "perplexity of a token": shown_perplexity(figures["perplexity"]),
        "95 % interval": f"{shown_perplexity(low)}–{shown_perplexity(high)}",
        "perplexity of a word": shown_perplexity(figures["perplexity_word"]),
        "bits per byte": f"{figures['bits_per_byte']:.3f}",
        "tokens": f"{figures['tokens']:,}",
        "words": f"{figures['words']:,}",
    }
    each = (result.losses / result.tokens).tolist()
    counts = zip(names, result.tokens.tolist(), result.words.tolist(), result.losses.tolist(), strict=True)
    rows = [[name, tokens, words, f"{loss:.6g}"] for name, tokens, words, loss in counts]
    hardest = sorted(range(result.n), key=lambda i: -each[i])[:LISTED]
    table = [
        {
            "text": texts[i],
            "path": names[i],
            "nats of a token": f"{each[i]:.3f}",
            "tokens": int(result.tokens[i]),
        }
        for i in hardest
    ]
    files = {"texts.csv": (["path", "tokens", "words", "loss"], rows)}
    return Contents(facts, {}, {f"Least expected texts ({len(table)} of {result.n:,})": table}, files)
