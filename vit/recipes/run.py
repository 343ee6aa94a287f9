"""From a config to all that a training run is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from vit.attribution.explain import explain
from vit.config import TEXTS, AugmentConfig, Config, ModelConfig, OptimConfig, TextConfig
from vit.data.augmentation.augment import Augment, Mix, ProgressiveResize
from vit.data.datasets import Splits
from vit.data.images import Images, spread
from vit.data.preprocess import Preprocess
from vit.data.texts import TokenMasking
from vit.errors import VitError
from vit.recipes.checks import NOISES, SIZES
from vit.recipes.data import load_data, preprocess_for, read_sentences, tokenised, unchanged
from vit.text import TextTransformer, Tokenizer, train_tokenizer
from vit.training.module import Classifier
from vit.training.optim import build_optimizer, rate
from vit.training.overlays import Overlays, one_of_each
from vit.vision import ConvTokenizer, VisionTransformer
from vit.weights.models import load_model, make_tower


@dataclass
class Run:
    """All that a training run is made of.

    Args:
        what: `pictures` or `texts`.
        splits: What it learns from and is judged by.
        model: The tower, before its first step.
        architecture: The tower's arguments, plain values.
        preprocess: From a picture or text to what the tower reads; travels with the weights.
        normalise: From a batch of the splits to what the tower reads.
        module: The Lightning module around the tower.
    """

    what: str
    splits: Splits[Any]
    model: VisionTransformer | TextTransformer
    architecture: dict[str, Any]
    preprocess: Preprocess | Tokenizer
    normalise: Callable[[Tensor], Tensor]
    module: Classifier


def prepare(config: Config) -> Run:
    """Read the data and build the model that a config describes.

    Raises:
        VitError: The data are missing or broken, or the parts of the model do not fit each other.
    """
    return _of_texts(config) if config.data.name in TEXTS else _of_pictures(config)


def _of_pictures(config: Config) -> Run:
    splits = load_data(config.data)
    preprocess = preprocess_for(splits)
    arguments = architecture(config.model, len(splits.labels), preprocess)
    model = untrained(arguments, splits, preprocess)
    module = picture_classifier(config, model, len(splits.labels), preprocess)
    return Run("pictures", splits, model, arguments, preprocess, preprocess.normalise, module)


def picture_classifier(config: Config, model: nn.Module, classes: int, preprocess: Preprocess) -> Classifier:
    """The Lightning module around any model of pictures."""
    augment = _augment(config.augment, config.seed, preprocess)
    grow = None
    if config.augment.grow_from < 1:
        grow = ProgressiveResize(
            config.augment.grow_from, config.augment.grow_until, _pair(config.model.patch_size)
        )
    return _classifier(config, model, classes, augment=augment, normalise=preprocess.normalise, grow=grow)


def _of_texts(config: Config) -> Run:
    sentences = read_sentences(config.data)
    classes = len(sentences.labels)
    if config.text.start is None:
        tokenizer = train_tokenizer(
            sentences.train.texts,
            vocabulary=config.text.vocabulary,
            length=config.text.length,
            lowercase=config.text.lowercase,
            pieces=config.text.pieces,
        )
        arguments = text_architecture(config.model, classes, tokenizer)
        model: Any = make_tower(arguments)
        _silence(model)
    else:
        tokenizer, arguments, model = _started(config.text, config.model, classes)
    special = tokenizer("").tolist()
    module = _classifier(
        config,
        model,
        classes,
        augment=TokenMasking(config.seed, config.text.blank, tokenizer.blank, [tokenizer.padding, *special]),
        normalise=unchanged,
    )
    return Run("texts", tokenised(sentences, tokenizer), model, arguments, tokenizer, unchanged, module)


def _started(
    config: TextConfig, model_config: ModelConfig, classes: int
) -> tuple[Tokenizer, dict[str, Any], TextTransformer]:
    """A tower with another's weights and a fresh head, and its tokenizer."""
    start = load_model(str(config.start))
    if not isinstance(start, TextTransformer):
        raise VitError(f"text.start is {config.start}, a model of pictures: expected one of texts")
    tokenizer = start.preprocess.cut(min(config.length, start.length))
    changes = {"classes": classes, "dropout": model_config.dropout, "drop_path": model_config.drop_path}
    arguments = start.architecture | changes
    model: Any = make_tower(arguments)
    weights = {name: tensor for name, tensor in start.state_dict().items() if not name.startswith("head.")}
    model.load_state_dict(weights, strict=False)
    return tokenizer, arguments, model


def architecture(config: ModelConfig, classes: int, preprocess: Preprocess) -> dict[str, Any]:
    """Arguments of `VisionTransformer`, as plain values that JSON can hold."""
    arguments = vars(config) | {
        "classes": classes,
        "image_size": [preprocess.height, preprocess.width],
        "channels": preprocess.channels,
        "patch_size": _pair(config.patch_size),
    }
    return arguments


def text_architecture(config: ModelConfig, classes: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """Arguments of `TextTransformer`, pre-norm as the image tower, as plain values that JSON can hold."""
    shared = {name: getattr(config, name) for name in (*SIZES, *NOISES)}
    return shared | {
        "tower": "text",
        "classes": classes,
        "vocabulary": tokenizer.vocabulary,
        "length": tokenizer.length,
        "padding": tokenizer.padding,
        "positions": {"learned": "learned", "sincos": "sinusoidal"}[config.positions],
        "norm": "pre",
        "embedding_norm": False,
        "neighbours": {"patch": 1, "conv": 3}[config.tokenizer],
        "encoder_norm": True,
        "norm_eps": 1e-6,
    }


def untrained(arguments: dict[str, Any], splits: Splits[Images], preprocess: Preprocess) -> VisionTransformer:
    """A tower to be trained on these pictures, which set the conv tokenizer's whitening."""
    model: Any = make_tower(arguments)
    _silence(model)
    if isinstance(model.tokenizer, ConvTokenizer):
        places = spread(len(splits.train), 1024).split(32)
        model.tokenizer.adapt(preprocess.normalise(splits.train[some][0]) for some in places)
    return model


def _silence(model: VisionTransformer | TextTransformer) -> None:
    """Let each branch of a block start by adding nothing: the deepest tower starts as the shallowest."""
    blocks: Any = model.encoder.blocks
    for block in blocks:
        nn.init.zeros_(block.attention.output.weight)
        nn.init.zeros_(block.mlp.contract.weight)


def _classifier(
    config: Config,
    model: nn.Module,
    classes: int,
    *,
    augment: Callable[[Tensor, Tensor, int], Tensor],
    normalise: Callable[[Tensor], Tensor],
    grow: Callable[[Tensor, float], Tensor] | None = None,
) -> Classifier:
    optim = config.optim
    return Classifier(
        model,
        classes,
        augment=augment,
        normalise=normalise,
        mix=Mix(config.augment.mixup, config.augment.cutmix, classes, config.seed),
        make_optimizer=_optimizer(optim),
        rate=partial(rate, warmup=optim.warmup, schedule=optim.schedule),
        grow=grow,
        label_smoothing=optim.label_smoothing,
    )


def overlays(config: Config, run: Run, folder: Path) -> Sequence[Callback]:
    """The callback that draws a few validation pictures after each epoch; none where none are wanted."""
    splits = run.splits
    chosen = one_of_each(splits.val.targets, config.trainer.overlays) if run.what == "pictures" else []
    if not chosen:
        return []
    pixels, targets, _ = splits.val[chosen]
    method = config.trainer.overlay_method

    def maps(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        found = explain(model, images, method)  # type: ignore[arg-type]
        return found.maps, found.logits

    truths = [splits.labels[target] for target in targets.tolist()]
    return [Overlays(folder / "overlays", pixels, truths, splits.labels, run.normalise, maps, method)]


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


def _optimizer(config: OptimConfig) -> Any:
    return partial(
        build_optimizer,
        name=config.name,
        lr=config.lr,
        muon_lr=config.muon_lr,
        weight_decay=config.weight_decay,
        betas=config.betas,
    )


def _pair(size: int | tuple[int, int]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)
