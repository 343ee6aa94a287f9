"""What the recipes for images and for texts share: the parts of a training run, and its Lightning module."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vit.config import Config, ModelConfig, OptimConfig
from vit.core import Tower
from vit.data.augmentation.mix import Mix
from vit.data.datasets import Splits
from vit.data.preprocess import Preprocess
from vit.text import Tokenizer
from vit.training.checkpoints import DurableIO
from vit.training.module import Classifier
from vit.training.optim import build_optimizer, lr_factor


@dataclass
class PreparedRun:
    """The parts of a training run, before its first step.

    Args:
        splits: The data.
        model: The tower.
        preprocess: From an image or a text to what the tower reads; it is stored with the weights.
        normalise: From a batch of the splits, pixels or ids, to inputs of the tower.
        module: The Lightning module around the tower.
    """

    splits: Splits[Any]
    model: Tower
    preprocess: Preprocess | Tokenizer
    normalise: Callable[[Tensor], Tensor]
    module: Classifier

    @property
    def num_parameters(self) -> int:
        """Number of the tower's parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def build_classifier(
    config: Config,
    model: nn.Module,
    classes: int,
    *,
    augment: Callable[[Tensor, Tensor, int], Tensor],
    normalise: Callable[[Tensor], Tensor],
    grow: Callable[[Tensor, float], Tensor] | None = None,
) -> Classifier:
    """The Lightning module around a model, with the loss, optimiser and schedule of a config.

    Args:
        config: The run's config.
        model: Inputs -> logits (B, classes).
        classes: Number of classes.
        augment: As in `Classifier`, as are `normalise` and `grow`.
        normalise: See `augment`.
        grow: See `augment`.
    """
    optim = config.optim
    return Classifier(
        model,
        classes,
        augment=augment,
        normalise=normalise,
        mix=Mix(config.augment.mixup, config.augment.cutmix, classes, config.seed),
        make_optimizer=_optimizer(optim),
        lr_factor=partial(lr_factor, warmup=optim.warmup, schedule=optim.schedule),
        grow=grow,
        label_smoothing=optim.label_smoothing,
    )


def _optimizer(config: OptimConfig) -> Any:
    return partial(
        build_optimizer,
        name=config.name,
        lr=config.lr,
        muon_lr=config.muon_lr,
        weight_decay=config.weight_decay,
        betas=config.betas,
    )


def pool_arguments(config: ModelConfig, checkpoint: Path | None) -> dict[str, Any]:
    """Arguments of `make_tower` for an attention pool, which is built as the blocks are.

    Args:
        config: The model's; a checkpoint is read only if it has an attention pool.
        checkpoint: Of the run that is resumed. In runs of version 0.1 the pool has biases whatever
            `model.qkv_bias` is, as `make_tower` builds it without `pool_block`.
    """
    if checkpoint is not None and config.pool == "attention":
        weights = DurableIO().load_checkpoint(checkpoint)["state_dict"]
        if "model.pool.attention.query.bias" in weights:
            return {}
    return {"pool_block": None}


def zero_init_branches(model: Tower) -> None:
    """Zero the last layer of every attention and MLP, so that each block starts as the identity."""
    blocks: Any = model.encoder.blocks
    for block in blocks:
        nn.init.zeros_(block.attention.output.weight)
        nn.init.zeros_(block.mlp.contract.weight)
