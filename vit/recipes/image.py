"""The recipe for images: data, tower, augmentation, overlays."""

from collections.abc import Sequence
from functools import partial
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
from vit.data.preprocess import Preprocess, match_channels
from vit.data.splits.division import Splits
from vit.data.splits.record import SplitRecord
from vit.recipes.checks import WEIGHTS
from vit.recipes.data import load_data, preprocess_for
from vit.recipes.frozen import head_classifier
from vit.recipes.initial import Initial, read_start, start_preprocess, start_tower
from vit.recipes.run import (
    PreparedRun,
    build_classifier,
    build_objective,
    pool_arguments,
    position_arguments,
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
        UsageError: The config contradicts the weights of `model.init`.
        VitError: The data are missing or broken, or the parts of the model do not fit each other.
    """
    if config.model.init is None:
        splits = load_data(config.data, record)
        preprocess = preprocess_for(splits, config.data.resize or "crop")
        arguments = _architecture(config.model, len(splits.labels), preprocess)
        model = _build_tower(arguments | pool_arguments(config.model, checkpoint), splits, preprocess)
        initial = Initial(model, {}, "")
    else:
        start = read_start(config, checkpoint)
        preprocess = start_preprocess(start, config.data)
        splits = load_data(config.data, record, preprocess)
        size, several = (preprocess.height, preprocess.width), splits.train.targets.ndim == 2
        initial = start_tower(start, config.model, splits.labels, several=several, size=size)
    initial.model.preprocess = preprocess
    objective = build_objective(config, splits)
    if config.model.freeze:
        module = head_classifier(config, initial.model, objective)
    else:
        module = image_classifier(config, initial.model, objective, preprocess)
    return PreparedRun(splits, initial, preprocess, partial(_to_inputs, preprocess=preprocess), module)


def _to_inputs(pixels: Tensor, *, preprocess: Preprocess) -> Tensor:
    """uint8 (B, 1 or 3, height, width) -> float32 (B, C, height, width), as the model reads them."""
    return preprocess.normalise(match_channels(pixels, preprocess.channels))


def image_classifier(config: Config, model: Any, objective: Objective, preprocess: Preprocess) -> Classifier:
    """The Lightning module around any image model, with the augmentation of a config."""
    settings = config.augment
    grow = None
    if settings.grow_from < 1:
        patch_size = getattr(model, "patch_size", None) or _pair(config.model.patch_size)
        grow = ProgressiveResize(settings.grow_from, settings.grow_until, patch_size)
    return build_classifier(
        config,
        model,
        objective,
        augment=_augment(settings, config.seed, preprocess),
        normalise=partial(_to_inputs, preprocess=preprocess),
        grow=grow,
    )


def overlays(config: Config, run: PreparedRun, folder: Path) -> Sequence[Callback]:
    """The callback that draws attribution maps of a few validation images.

    For texts there is none, and none where the head is trained alone.

    Args:
        config: The run's config.
        run: Its parts.
        folder: The run folder.
    """
    splits = run.splits
    if run.model.reads != "image" or config.model.freeze:
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
    sizes = {name: value for name, value in vars(config).items() if name not in (*WEIGHTS, "tied")}
    return sizes | {
        **position_arguments(config.positions, "sincos"),
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
