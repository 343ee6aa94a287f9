"""Accuracy on corrupted images: 15 corruptions at five severities (Hendrycks & Dietterich 2019)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vit.errors import VitError
from vit.evaluation.corruptions.corrupt import corrupt
from vit.evaluation.corruptions.roster import CORRUPTIONS, SEVERITIES
from vit.evaluation.removal import interval


@dataclass
class Robustness:
    """Which predictions of a model are right, on clean and on corrupted images.

    Args:
        names: The corruptions.
        clean: bool (n,), for each image.
        corrupted: bool (n, corruptions, severities).
    """

    names: tuple[str, ...]
    clean: Tensor
    corrupted: Tensor

    def rows(self) -> list[dict[str, Any]]:
        """A row for each corruption and severity: `corruption`, `severity`, `accuracy`, `n`."""
        shares = self.corrupted.double().mean(0).tolist()
        return [
            {"corruption": name, "severity": severity, "accuracy": accuracy, "n": len(self.clean)}
            for name, of_name in zip(self.names, shares, strict=True)
            for severity, accuracy in zip(SEVERITIES, of_name, strict=True)
        ]

    def figures(self) -> dict[str, Any]:
        """Plain values.

        `n` images, `accuracy_clean` on the images as they are, `accuracy` the mean over corruptions and
        severities, `interval` its 95 % interval over images, `accuracy_by_corruption` the mean over
        severities, and `rows`.
        """
        of_image = self.corrupted.double().mean((1, 2))
        by_corruption = self.corrupted.double().mean((0, 2)).tolist()
        return {
            "n": len(self.clean),
            "accuracy_clean": float(self.clean.double().mean()),
            "accuracy": float(of_image.mean()),
            "interval": list(interval(of_image.numpy())) if len(of_image) > 1 else None,
            "accuracy_by_corruption": dict(zip(self.names, by_corruption, strict=True)),
            "rows": self.rows(),
        }


@torch.inference_mode()
def measure_corruptions(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    prepare: Callable[[Tensor], Tensor],
    normalise: Callable[[Tensor], Tensor],
    *,
    class_order: Tensor | None = None,
    names: Sequence[str] = tuple(CORRUPTIONS),
    seed: int = 0,
) -> Robustness:
    """Measure a model on images, clean and with each corruption at each severity.

    The result does not depend on how images are put into batches.

    Args:
        model: In eval mode; images -> logits (B, classes).
        batches: (pixels, targets, indices) as `vit.data.loader` yields them, pixels uint8 (B, C, height,
            width) on the CPU. The corruption of an image depends on its index.
        prepare: From pixels to the model's channels, on the CPU; called after the corruption.
        normalise: From prepared pixels to the model's input, on its device.
        class_order: int64 (classes of the dataset,), the model's class for each; None: the same order.
        names: Corruptions of `vit.evaluation.corruptions.roster`.
        seed: Decides the random numbers of the corruptions.

    Raises:
        VitError: There are no images.
        UsageError: There is no such corruption.
    """
    device = next(model.parameters()).device

    def right(pixels: Tensor, truth: Tensor) -> Tensor:
        return model(normalise(prepare(pixels).to(device))).argmax(-1).cpu() == truth

    clean, corrupted = [], []
    for pixels, targets, indices in batches:
        truth = targets if class_order is None else class_order[targets]
        clean.append(right(pixels, truth))
        variants = [
            right(corrupt(pixels, name, severity, indices, seed=seed), truth)
            for name in names
            for severity in SEVERITIES
        ]
        corrupted.append(torch.stack(variants, 1).unflatten(1, (len(names), len(SEVERITIES))))
    if not clean:
        raise VitError("corruptions are measured on 0 images, expected at least one: choose another split")
    return Robustness(tuple(names), torch.cat(clean), torch.cat(corrupted))
