"""What a language model is trained for: the next token."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import Metric

from vit.data.windows import IGNORED


class NextToken(nn.Module):
    """Cross-entropy of the next token at every position that is no padding; the best epoch has the lowest.

    Targets are int64 (B, N), `IGNORED` at padding. All positions of a batch count alike, whatever text they
    are of.

    Args:
        classes: Number of ids.
        tokens_per_word: Of the validation texts: the perplexity of a word follows from that of a token.
        label_smoothing: As in `vit.training.objective.OneLabel`, in training.

    Attributes:
        figure: As in `vit.training.objective.OneLabel`.
    """

    figure, figure_name, sign = "perplexity", "perplexity", -1
    more = (("perplexity_word", "of a word"),)

    def __init__(self, classes: int, *, tokens_per_word: float, label_smoothing: float = 0.0):
        super().__init__()
        self.classes, self.tokens_per_word = classes, tokens_per_word
        self.label_smoothing = label_smoothing

    def outputs(self, model: Any, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Ids (B, N), targets (B, N) -> logits (T, classes) and targets (T,).

        In validation padding is not read. In training, where batches have little of it, it is: to learn how
        much there is, the host would have to wait for the device.
        """
        states = model.encode(inputs)
        if self.training:
            return model.read_token(states).flatten(0, 1), targets.flatten()
        chosen = targets != IGNORED
        return model.read_token(states[chosen]), targets[chosen]

    def shown(self, value: float, digits: int = 2) -> str:
        """The metric, for a reader."""
        return f"{value:.{digits}f}"

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of a training step: float32 (T, classes) and int64 (T,) -> a scalar."""
        return cross_entropy(logits, targets, label_smoothing=self.label_smoothing, ignore_index=IGNORED)

    def val_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Without label smoothing."""
        return cross_entropy(logits, targets)

    def count(self, targets: Tensor) -> Tensor:
        """What a loss is the mean over."""
        return (targets != IGNORED).sum()

    def truth(self, targets: Tensor) -> Tensor:
        """What the metrics compare logits with."""
        return targets

    def following(self, val_loss: Tensor) -> dict[str, Tensor]:
        """The figures of `more`, from the mean validation loss of a token."""
        return {"perplexity_word": (val_loss * self.tokens_per_word).exp()}

    def train_metric(self) -> Metric:
        """The perplexity of a token."""
        return Perplexity()

    def val_metric(self) -> Metric:
        """The perplexity of a token."""
        return Perplexity()


class Perplexity(Metric):
    """exp of the mean cross-entropy of all tokens so far; 1 is certainty, the number of ids is a guess.

    torchmetrics' own takes the logarithm of a probability, which is infinite where that rounds to 0.
    """

    full_state_update = False
    total: Tensor
    tokens: Tensor

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("tokens", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add tokens: floats (T, classes), int64 (T,), `IGNORED` at padding."""
        total = cross_entropy(logits, targets, reduction="sum", ignore_index=IGNORED)
        self.total += total.to(self.total.dtype)
        self.tokens += (targets != IGNORED).sum()

    def compute(self) -> Tensor:
        """A scalar."""
        return (self.total / self.tokens).exp()
