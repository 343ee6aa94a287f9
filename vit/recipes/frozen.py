"""A run that trains the head alone: what the head reads is computed once, and trained on."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vit.config import Config
from vit.core import Tower
from vit.data.features import FeatureExamples
from vit.data.splits.division import Splits
from vit.device import best_device
from vit.recipes.data import unchanged
from vit.recipes.features import frozen_features
from vit.recipes.run import PreparedRun, build_classifier
from vit.training.module import Classifier
from vit.training.objective import Objective
from vit.weights.models import make_tower


class HeadAlone(nn.Module):
    """The head of a tower. Nothing else of it is trained, averaged, or in a checkpoint.

    It reads features of mean 0 and deviation 1 (He et al. 2022, "Masked autoencoders", A.1), so that one
    learning rate suits all models; `vit.weights.unfinished.checkpoint_weights` makes the tower's head of it.

    Args:
        tower: Its head is copied.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, tower: Tower):
        super().__init__()
        head: Any = deepcopy(tower.head)
        self.head = head
        self.register_buffer("mean", torch.zeros(head.in_features))
        self.register_buffer("std", torch.ones(head.in_features))

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Take mean and deviation from features (n, F); logits stay as they are."""
        self.std = features.std(0, correction=0).clamp(min=1e-6)
        self.mean = features.mean(0)
        self.head.bias += self.head.weight @ self.mean
        self.head.weight *= self.std

    def forward(self, features: Tensor) -> Tensor:
        """What the head reads, (B, F) -> logits (B, classes)."""
        return self.head((features - self.mean) / self.std)


def head_classifier(config: Config, tower: Tower, objective: Objective) -> Classifier:
    """The Lightning module around the head of a tower, for features."""
    return build_classifier(config, HeadAlone(tower), objective, augment=as_they_are, normalise=unchanged)


def as_they_are(features: Tensor, indices: Tensor, epoch: int | Tensor) -> Tensor:
    """Features are not augmented."""
    return features


def feature_splits(run: PreparedRun, config: Config) -> Splits[FeatureExamples]:
    """The features of train and val, in place of pictures or texts; the module is given their deviation.

    Args:
        run: Its model is moved to the device that computes, and back.
        config: `trainer.accelerator` names the device, and `data.batch_size` is that of the passes.
    """
    device = torch.device("cpu") if config.trainer.accelerator == "cpu" else best_device()
    model = _unscaled(run.model).eval().to(device)

    def to_inputs(raw: Tensor) -> Tensor:
        return run.normalise(raw.to(device))

    def features(examples: Any) -> FeatureExamples:
        found = frozen_features(model, examples, to_inputs, batch_size=config.data.batch_size)
        return FeatureExamples(found, examples.targets, examples.names, examples.digests)

    splits = replace(run.splits, train=features(run.splits.train), val=features(run.splits.val), test=None)
    model.cpu()
    head: Any = run.module.model
    head.standardise(splits.train.features)
    return splits


def _unscaled(tower: Any) -> Any:
    """The tower, or one whose `features` are as its head reads them: not scaled to length 1."""
    if not tower.architecture.get("unit"):
        return tower
    other = make_tower(tower.architecture | {"unit": False})
    other.load_state_dict(tower.state_dict())
    other.preprocess = tower.preprocess
    return other
