"""Attribution overlays of the same few validation images after each epoch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2.functional import to_pil_image

from vit.viewer import contact_sheet, overlay

SIDE = 224  # pixels of one drawn image
Explain = Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]


class Overlays(Callback):
    """Draws attribution maps over the same images after each validation.

    The drawings go to `FOLDER/epoch_NNN.png` and to the run's loggers. With averaged weights (EMA) they show
    the averaged model, if this callback comes before that one in the trainer's list. A model whose weights
    are sharded between processes (FSDP) is not drawn.

    Args:
        folder: Created when it is needed.
        pixels: uint8 (n, C, height, width), of validation images.
        truths: The n label names of these images; of several labels, joined.
        labels: Class names in the order of the logits.
        normalise: Pixels -> float images (n, C, height, width).
        explain: (model, images) -> maps (n, rows, cols) and probabilities (n, classes).
        caption: A line below each drawing, for example the method's name.
    """

    def __init__(
        self,
        folder: Path,
        pixels: Tensor,
        truths: Sequence[str],
        labels: Sequence[str],
        normalise: Callable[[Tensor], Tensor],
        explain: Explain,
        caption: str = "",
    ):
        self.folder = folder
        self.pixels = pixels
        self.truths = truths
        self.labels = labels
        self.normalise = normalise
        self.explain = explain
        self.caption = caption

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw, except after Lightning's sanity check before the training."""
        unsharded = isinstance(trainer.strategy, (SingleDeviceStrategy, DDPStrategy))
        if trainer.sanity_checking or not trainer.is_global_zero or not unsharded:
            return
        model = pl_module.model
        assert isinstance(model, nn.Module)
        maps, probabilities = self.explain(model, self.normalise(self.pixels.to(pl_module.device)))
        epoch = trainer.current_epoch + 1
        sheet = self._sheet(maps.cpu(), probabilities.float().cpu())
        self.folder.mkdir(parents=True, exist_ok=True)
        sheet.save(self.folder / f"epoch_{epoch:03}.png")
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):  # Weights & Biases, MLflow, ...
                step = trainer.global_step - 1  # as Lightning counts that of this validation's figures
                logger.log_image("overlays", [sheet], step=step)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("overlays", np.asarray(sheet), epoch, dataformats="HWC")

    def _sheet(self, maps: Tensor, probabilities: Tensor) -> Image.Image:
        scores, predicted = probabilities.max(-1)
        drawn = []
        for pixels, heat, score, index, truth in zip(
            self.pixels, maps, scores.tolist(), predicted.tolist(), self.truths, strict=True
        ):
            label = self.labels[index]
            title = f"{label} · {100 * score:.0f} %" + ("" if label == truth else f", is {truth or 'none'}")
            # A diverged run still gets its drawing.
            heat = torch.nan_to_num(heat, nan=0.0, posinf=0.0, neginf=0.0)
            drawn.append(overlay(to_pil_image(pixels), heat, title=title, caption=self.caption, side=SIDE))
        return contact_sheet(drawn, columns=2)


def round_robin_by_class(targets: Tensor, count: int) -> list[int]:
    """Up to `count` indices: the first image of every class, then the second of every class, and so on."""
    seen: dict[int, int] = {}  # class -> images of it so far
    ranked = []
    for index, target in enumerate(targets.tolist()):
        ranked.append((seen.get(target, 0), target, index))
        seen[target] = seen.get(target, 0) + 1
    return [index for _, _, index in sorted(ranked)[:count]]
