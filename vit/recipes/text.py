"""The recipe for texts: data, tokenizer, tower, word dropout."""

from pathlib import Path
from typing import Any

from vit.config import USUAL_LENGTH, Config, ModelConfig
from vit.data.augmentation.tokens import TokenMasking
from vit.data.splits.record import SplitRecord
from vit.recipes.checks import NOISES, SIZES
from vit.recipes.data import load_data, tokenised_splits, unchanged
from vit.recipes.frozen import head_classifier
from vit.recipes.initial import Initial, read_start, start_tokenizer, start_tower
from vit.recipes.run import (
    PreparedRun,
    build_classifier,
    build_objective,
    pool_arguments,
    position_arguments,
    zero_init_branches,
)
from vit.text import Tokenizer, train_tokenizer
from vit.weights.models import make_tower


def prepare_texts(
    config: Config, checkpoint: Path | None = None, record: SplitRecord | None = None
) -> PreparedRun:
    """Read the texts, train or load the tokenizer, and build the model that a config describes.

    Args:
        config: The run's config.
        checkpoint: The one to resume from; its weights are not loaded here.
        record: Of the run that is continued.

    Raises:
        UsageError: The config contradicts the weights of `model.init`.
        VitError: The data are missing or broken, or the parts of the model do not fit each other.
    """
    text = config.text
    start = None if config.model.init is None else read_start(config, checkpoint)
    raw = load_data(config.data, record)
    if start is None:
        tokenizer = train_tokenizer(
            raw.train.texts,
            vocabulary=text.vocabulary,
            length=text.length or USUAL_LENGTH,
            lowercase=text.lowercase,
            pieces=text.pieces,
        )
        arguments = _architecture(config.model, len(raw.labels), tokenizer)
        model: Any = make_tower(arguments | pool_arguments(config.model, checkpoint))
        zero_init_branches(model)
        initial = Initial(model, {}, "")
    else:
        tokenizer = start_tokenizer(start, None if checkpoint else text.length)
        initial = start_tower(start, config.model, raw.labels, several=raw.train.targets.ndim == 2)
    initial.model.preprocess = tokenizer
    objective = build_objective(config, raw)
    if config.model.freeze:
        module = head_classifier(config, initial.model, objective)
    else:
        keep = [tokenizer.padding, *tokenizer("").tolist()]
        masking = TokenMasking(config.seed, text.blank, tokenizer.blank, keep)
        module = build_classifier(config, initial.model, objective, augment=masking, normalise=unchanged)
    return PreparedRun(tokenised_splits(raw, tokenizer), initial, tokenizer, unchanged, module)


def _architecture(config: ModelConfig, classes: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """Arguments of `make_tower` for a pre-norm `TextTransformer`, as plain values that JSON can hold."""
    shared = {name: getattr(config, name) for name in (*SIZES, *NOISES)}
    return shared | {
        "tower": "text",
        "classes": classes,
        "vocabulary": tokenizer.vocabulary,
        "length": tokenizer.length,
        "padding": tokenizer.padding,
        **position_arguments(config.positions, "sinusoidal"),
        "norm": "pre",
        "embedding_norm": False,
        "neighbours": {"patch": 1, "conv": 3}[config.tokenizer],
        "encoder_norm": True,
        "norm_eps": 1e-6,
    }
