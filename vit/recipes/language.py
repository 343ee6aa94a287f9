"""The recipe for language models: texts without labels, a tokenizer of bytes, a causal tower."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vit.config import USUAL_LENGTH, Config, ModelConfig
from vit.data.augmentation.tokens import TokenMasking
from vit.data.splits.division import Splits
from vit.data.splits.record import SplitRecord
from vit.data.texts import RawTexts
from vit.data.windows import NextTokens
from vit.recipes.checks import NOISES, SIZES
from vit.recipes.data import load_data, next_tokens, unchanged
from vit.recipes.initial import Initial, read_start, start_language, start_tokenizer
from vit.recipes.run import PreparedRun, build_classifier, position_arguments, zero_init_branches
from vit.text import Tokenizer
from vit.text.byte_pairs import END, train_byte_pairs
from vit.training.objective import NextToken
from vit.weights.models import make_tower


def prepare_language(
    config: Config, checkpoint: Path | None = None, record: SplitRecord | None = None
) -> PreparedRun:
    """Read the texts, train or load the tokenizer, and build the model that a config describes.

    Args:
        config: The run's config.
        checkpoint: The one to resume from; its weights are not loaded here.
        record: Of the run that is continued.

    Raises:
        UsageError: The config contradicts the weights of `model.init`.
        VitError: The data are missing or broken, `model.init` is no language model, or the parts of the model
            do not fit each other.
    """
    start = None if config.model.init is None else read_start(config, checkpoint)
    raw: Splits[RawTexts] = load_data(config.data, record)
    if start is None:
        initial = _from_scratch(config, raw.train)
        tokenizer = initial.model.preprocess
    else:
        initial = start_language(start, config.model)
        tokenizer = start_tokenizer(start, None if checkpoint else config.text.length)
        initial.model.preprocess = tokenizer
    model: Any = initial.model
    splits = _windows(raw, tokenizer, model.ends)
    objective = NextToken(
        model.architecture["classes"],
        tokens_per_word=float(splits.val.tokens.sum() / splits.val.words.sum()),
        label_smoothing=config.optim.label_smoothing,
    )
    keep = [tokenizer.padding, *tokenizer("").tolist()]
    masking = TokenMasking(config.seed, config.text.blank, tokenizer.blank, keep)
    module = build_classifier(config, model, objective, augment=masking, normalise=unchanged)
    return PreparedRun(splits, initial, tokenizer, unchanged, module)


def _from_scratch(config: Config, train: RawTexts) -> Initial:
    """A model with initial weights, and a tokenizer of its own."""
    text = config.text
    tokenizer = train_byte_pairs(
        train.texts,
        vocabulary=text.vocabulary,
        length=text.length or USUAL_LENGTH,
        lowercase=text.lowercase,
    )
    end = tokenizer.id_of(END)
    assert end is not None
    model: Any = make_tower(_architecture(config.model, tokenizer, end))
    zero_init_branches(model)
    model.preprocess = tokenizer
    return Initial(model, {}, "")


def _architecture(config: ModelConfig, tokenizer: Tokenizer, end: int) -> dict[str, Any]:
    """Arguments of `make_tower` for a pre-norm causal `TextTransformer`, plain values that JSON can hold."""
    shared = {name: getattr(config, name) for name in (*SIZES, *NOISES)}
    return shared | {
        "tower": "text",
        "causal": True,
        "pool": "last",
        "pool_block": None,
        "classes": tokenizer.vocabulary,
        "vocabulary": tokenizer.vocabulary,
        "length": tokenizer.length,
        "padding": tokenizer.padding,
        "ends": [end],
        "tied": config.tied,
        **position_arguments(config.positions, "sinusoidal"),
        "norm": "pre",
        "embedding_norm": False,
        "encoder_norm": True,
        "norm_eps": 1e-6,
    }


def _windows(raw: Splits[RawTexts], tokenizer: Tokenizer, ends: Sequence[int]) -> Splits[NextTokens]:
    """All parts as windows."""
    train, val, test, new = (
        None if part is None else next_tokens(part, tokenizer, ends, tokenizer.length)
        for part in (raw.train, raw.val, raw.test, raw.new)
    )
    assert train is not None
    assert val is not None
    return Splits(train, val, test, raw.labels, raw.name, raw.skipped, raw.notes, new)
