"""What all recipes share: the parts of a training run, and its Lightning module."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vit.config import Config, DataConfig, ModelConfig, OptimConfig
from vit.core import Tower
from vit.data.augmentation.mix import Mix
from vit.data.augmentation.resize import ProgressiveResize
from vit.data.balance import class_weights, positive_weights
from vit.data.loader import loader
from vit.data.preprocess import Preprocess
from vit.data.roster import find_dataset
from vit.data.splits.division import Splits
from vit.evaluation.language import LanguageEvaluation, evaluate_language
from vit.evaluation.metrics import Evaluation, evaluate
from vit.evaluation.several.metrics import USUAL_THRESHOLD, MultilabelEvaluation, evaluate_several
from vit.recipes.initial import Initial
from vit.text import Tokenizer
from vit.training.checkpoints import DurableIO
from vit.training.module import Classifier
from vit.training.objective import NextToken, Objective, OneLabel, SeveralLabels
from vit.training.optim import build_optimizer, lr_factor
from vit.weights import Bundle

# Keys of `data` that go into the bundle; a path would mean nothing on another machine.
PORTABLE = ("name", "val_fraction", "test_fraction", "split_seed")
SEVERAL = ("label_separator", "label_columns")  # of a model of several labels, where they are given


@dataclass
class PreparedRun:
    """The parts of a training run, before its first step.

    Args:
        splits: The data.
        initial: The tower, and where its weights come from.
        preprocess: From an image or a text to what the tower reads; it is stored with the weights.
        normalise: From a batch of the splits, pixels or ids, to inputs of the tower.
        module: The Lightning module around the tower, or around its head alone.
    """

    splits: Splits[Any]
    initial: Initial
    preprocess: Preprocess | Tokenizer
    normalise: Callable[[Tensor], Tensor]
    module: Classifier

    @property
    def model(self) -> Any:
        """The tower."""
        return self.initial.model

    @property
    def keeps_record(self) -> bool:
        """Whether the run records which examples are in which part: where the data may change."""
        return find_dataset(self.splits.name).is_format

    def bundle(self, data: DataConfig, weights: dict[str, Tensor]) -> Bundle:
        """The tower as a bundle, not yet measured.

        Args:
            data: The dataset's config; what of it does not depend on the machine is stored.
            weights: The tower's; empty for a description alone.
        """
        labels = self.splits.labels
        several = self.splits.train.targets.ndim == 2
        kept = [*PORTABLE, *(name for name in SEVERAL if several and getattr(data, name))]
        training: dict[str, Any] = {
            "data": {name: value for name, value in vars(data).items() if name in kept}
        }
        if self.initial.card:
            training["init"] = self.initial.card
        return Bundle(
            architecture=self.model.architecture,
            labels=labels,
            preprocess=self.preprocess.to_dict(),
            weights=weights,
            tokenizer=getattr(self.preprocess, "definition", None),
            training=training,
            thresholds=[USUAL_THRESHOLD] * len(labels) if several else [],
        )

    @property
    def writes(self) -> bool:
        """Whether it trains a language model."""
        return isinstance(self.module.objective, NextToken)

    def measure(self, model: Any) -> Evaluation | MultilabelEvaluation | LanguageEvaluation:
        """The tower on the validation split, with the temperature or the thresholds that suit it.

        Args:
            model: From `bundle`, in eval mode.
        """
        if self.writes:
            return evaluate_language(model, [self.splits.val])
        batches = loader(self.splits.val, 256)
        if model.thresholds:
            return evaluate_several(model, batches, self.normalise, thresholds="fit")
        return evaluate(model, batches, self.normalise, len(model.labels), temperature="fit")

    @property
    def num_parameters(self) -> int:
        """Number of the tower's parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def build_objective(config: Config, splits: Splits[Any]) -> Objective:
    """What the data are trained for: one label per example, or several.

    Args:
        config: The run's config.
        splits: The data; their targets decide.

    Raises:
        VitError: `data.balance` does not suit them.
    """
    smoothing, targets, classes = config.optim.label_smoothing, splits.train.targets, len(splits.labels)
    weighted = config.data.balance == "weights"
    if targets.ndim == 2:
        weights = positive_weights(targets) if weighted else None
        return SeveralLabels(classes, label_smoothing=smoothing, positive_weights=weights)
    weights = class_weights(targets, classes) if weighted else None
    return OneLabel(classes, label_smoothing=smoothing, class_weights=weights)


def build_classifier(
    config: Config,
    model: nn.Module,
    objective: Objective,
    *,
    augment: Callable[[Tensor, Tensor, Any], Tensor],
    normalise: Callable[[Tensor], Tensor],
    grow: ProgressiveResize | None = None,
) -> Classifier:
    """The Lightning module around a model, with the optimiser and schedule of a config.

    Args:
        config: The run's config.
        model: Inputs -> logits (B, classes).
        objective: From `build_objective`.
        augment: As in `Classifier`, as are `normalise` and `grow`.
        normalise: See `augment`.
        grow: See `augment`.
    """
    optim = config.optim
    return Classifier(
        model,
        objective,
        augment=augment,
        normalise=normalise,
        mix=Mix(config.augment.mixup, config.augment.cutmix, objective.classes, config.seed),
        make_optimizer=_optimizer(optim),
        lr_factor=partial(lr_factor, warmup=optim.warmup, schedule=optim.schedule),
        grow=grow,
        keep_statistics=config.model.init is not None,
    )


def _optimizer(config: OptimConfig) -> Any:
    return partial(
        build_optimizer,
        name=config.name,
        lr=config.lr,
        muon_lr=config.muon_lr,
        weight_decay=config.weight_decay,
        betas=config.betas,
        layer_decay=config.layer_decay,
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


def position_arguments(kind: str, fixed: str) -> dict[str, Any]:
    """Arguments of `make_tower` for the value of `model.positions`.

    Args:
        kind: The value.
        fixed: What the tower calls a table that is not learned.
    """
    if kind == "rotary":
        return {"positions": "none", "relative": {"kind": "rotary"}}
    return {"positions": {"sincos": fixed}.get(kind, kind)}


def zero_init_branches(model: Tower) -> None:
    """Zero the last layer of every attention and MLP, so that each block starts as the identity."""
    blocks: Any = model.encoder.blocks
    for block in blocks:
        nn.init.zeros_(block.attention.output.weight)
        nn.init.zeros_(block.mlp.contract.weight)
