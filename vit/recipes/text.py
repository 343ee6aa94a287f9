"""The recipe for texts: data, tokenizer, tower, word dropout."""

from pathlib import Path
from typing import Any

from vit.config import Config, ModelConfig, TextConfig
from vit.core import Tower
from vit.data.augmentation.tokens import TokenMasking
from vit.data.splits.record import SplitRecord
from vit.errors import VitError
from vit.recipes.checks import NOISES, SIZES
from vit.recipes.data import load_data, tokenised_splits, unchanged
from vit.recipes.run import (
    PreparedRun,
    build_classifier,
    build_objective,
    pool_arguments,
    zero_init_branches,
)
from vit.text import Tokenizer, train_tokenizer
from vit.weights.models import load_model, make_tower


def prepare_texts(
    config: Config, checkpoint: Path | None = None, record: SplitRecord | None = None
) -> PreparedRun:
    """Read the texts, train or load the tokenizer, and build the model that a config describes.

    Args:
        config: The run's config.
        checkpoint: The one to resume from; its weights are not loaded here.
        record: Of the run that is continued.

    Raises:
        VitError: The data are missing or broken, `text.start` is not a text model, or the parts of the model
            do not fit each other.
    """
    text = config.text
    raw = load_data(config.data, record)
    classes = len(raw.labels)
    if text.start is None:
        tokenizer = train_tokenizer(
            raw.train.texts,
            vocabulary=text.vocabulary,
            length=text.length,
            lowercase=text.lowercase,
            pieces=text.pieces,
        )
        arguments = _architecture(config.model, classes, tokenizer) | pool_arguments(config.model, checkpoint)
        model: Any = make_tower(arguments)
        zero_init_branches(model)
    else:
        tokenizer, model = _pretrained(text, config.model, classes)
    special_ids = tokenizer("").tolist()
    keep = [tokenizer.padding, *special_ids]
    module = build_classifier(
        config,
        model,
        build_objective(config, raw),
        augment=TokenMasking(config.seed, text.blank, tokenizer.blank, keep),
        normalise=unchanged,
    )
    return PreparedRun(tokenised_splits(raw, tokenizer), model, tokenizer, unchanged, module)


def _pretrained(config: TextConfig, model_config: ModelConfig, classes: int) -> tuple[Tokenizer, Tower]:
    """The tokenizer of `text.start`, and a tower with its weights and a new head."""
    start = load_model(str(config.start))
    if start.reads != "text":
        raise VitError(f"text.start is {config.start}, which reads {start.reads}s: expected a text model")
    tokenizer = start.preprocess.cut(min(config.length, start.length))
    changes = {"classes": classes, "dropout": model_config.dropout, "drop_path": model_config.drop_path}
    model = make_tower(start.architecture | changes)
    weights = {name: tensor for name, tensor in start.state_dict().items() if not name.startswith("head.")}
    model.load_state_dict(weights, strict=False)
    return tokenizer, model


def _architecture(config: ModelConfig, classes: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """Arguments of `make_tower` for a pre-norm `TextTransformer`, as plain values that JSON can hold."""
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
