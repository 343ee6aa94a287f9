"""The recipe for images: data, tower, augmentation, overlays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn.functional import one_hot

from vit.attribution.explain import explain
from vit.config import AugmentConfig, Config, ModelConfig
from vit.core import Tower
from vit.data.augmentation.augment import Augment
from vit.data.augmentation.resize import ProgressiveResize
from vit.data.images import Images, evenly_spaced
from vit.data.preprocess import Preprocess
from vit.data.splits.division import Splits
from vit.data.splits.record import SplitRecord
from vit.recipes.data import load_data, preprocess_for
from vit.recipes.run import (
    PreparedRun,
    build_classifier,
    build_objective,
    pool_arguments,
    zero_init_branches,
)
from vit.training.callbacks.overlays import Overlays, round_robin_by_class
from vit.training.module import Classifier
from vit.training.objective import Objective
from vit.vision import ConvTokenizer
from vit.weights.models import make_tower

WHITENING_IMAGES = 1024  # training images from which the conv tokenizer computes its whitening
WHITENING_BATCH = 32


def prepare_images(
    config: Config, checkpoint: Path | None = None, record: SplitRecord | None = None
) -> PreparedRun:
    """Read the images and build the model that a config describes.

    Args:
        config: The run's config.
        checkpoint: The one to resume from; its weights are not loaded here.
        record: Of the run that is continued.

    Raises:
        VitError: The data are missing or broken, or the parts of the model do not fit each other.
    """
    splits = load_data(config.data, record)
    preprocess = preprocess_for(splits, config.data.resize)
    arguments = _architecture(config.model, len(splits.labels), preprocess) | pool_arguments(
        config.model, checkpoint
    )
    model = _build_tower(arguments, splits, preprocess)
    module = image_classifier(config, model, build_objective(config, splits), preprocess)
    return PreparedRun(splits, model, preprocess, preprocess.normalise, module)


def image_classifier(config: Config, model: Any, objective: Objective, preprocess: Preprocess) -> Classifier:
    """The Lightning module around any image model, with the augmentation of a config."""
    augment = config.augment
    grow = None
    if augment.grow_from < 1:
        grow = ProgressiveResize(augment.grow_from, augment.grow_until, _pair(config.model.patch_size))
    return build_classifier(
        config,
        model,
        objective,
        augment=_augment(augment, config.seed, preprocess),
        normalise=preprocess.normalise,
        grow=grow,
    )


def overlays(config: Config, run: PreparedRun, folder: Path) -> Sequence[Callback]:
    """The callback that draws attribution maps of a few validation images; for texts there is none.

    Args:
        config: The run's config.
        run: Its parts.
        folder: The run folder.
    """
    splits = run.splits
    if run.model.reads != "image":
        return []
    several = splits.val.targets.ndim == 2
    # The class of each image, or which set of labels it has.
    sets = splits.val.targets.nan_to_num().unique(dim=0, return_inverse=True)[1]
    chosen = round_robin_by_class(sets, config.trainer.overlays)
    if not chosen:
        return []
    pixels, targets, _ = splits.val[chosen]
    method = config.trainer.overlay_method

    def maps(model: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        explanation = explain(model, images, method)
        logits = explanation.logits.float()
        return explanation.maps, logits.sigmoid() if several else logits.softmax(-1)

    present = targets == 1 if several else one_hot(targets, len(splits.labels)) == 1
    truths = [", ".join(splits.labels[i] for i in row.nonzero()[:, 0].tolist()) for row in present]
    return [Overlays(folder / "overlays", pixels, truths, splits.labels, run.normalise, maps, method)]


def _build_tower(arguments: dict[str, Any], splits: Splits[Images], preprocess: Preprocess) -> Tower:
    """A tower with initial weights; a conv tokenizer's whitening is computed from training images."""
    model: Any = make_tower(arguments)
    zero_init_branches(model)
    if isinstance(model.tokenizer, ConvTokenizer):
        batches = evenly_spaced(len(splits.train), WHITENING_IMAGES).split(WHITENING_BATCH)
        model.tokenizer.adapt(preprocess.normalise(splits.train[indices][0]) for indices in batches)
    return model


def _architecture(config: ModelConfig, classes: int, preprocess: Preprocess) -> dict[str, Any]:
    """Arguments of `make_tower` for a `VisionTransformer`, as plain values that JSON can hold."""
    return vars(config) | {
        "classes": classes,
        "image_size": [preprocess.height, preprocess.width],
        "channels": preprocess.channels,
        "patch_size": _pair(config.patch_size),
    }


def _augment(config: AugmentConfig, seed: int, preprocess: Preprocess) -> Augment:
    return Augment(
        seed,
        preprocess.mean,
        preprocess.std,
        crop=config.crop,
        padding=config.padding,
        scale=config.scale,
        flip=config.flip,
        policy=config.policy,
        rand_ops=config.rand_ops,
        rand_magnitude=config.rand_magnitude,
        erase=config.erase,
    )


def _pair(size: int | tuple[int, int]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)
