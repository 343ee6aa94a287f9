"""Checks of a config: ranges, names, and values that do not fit each other. Imports no torch."""

import re
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from vit.attribution.roster import QUICK_METHODS
from vit.config import USUAL_LENGTH, Config, nearest
from vit.data.roster import DATASETS
from vit.errors import UsageError, VitError
from vit.ranges import RANGES, require

# Keys whose values are the names of a roster.
CHOICES = {"data.name": tuple(DATASETS), "trainer.overlay_method": QUICK_METHODS}

# Keys of `model` that text towers have too; the others apply to images only.
SIZES = ("width", "depth", "heads", "mlp_ratio", "positions", "pool", "qkv_bias", "layer_scale")
NOISES = ("drop_path", "dropout")
TOKENIZING = ("vocabulary", "lowercase", "pieces")  # keys of `text` that a tokenizer of its own decides
LANGUAGE = ("width", "depth", "heads", "mlp_ratio", "positions", "qkv_bias", "layer_scale", "tied")
BYTES = 260  # ids of the smallest vocabulary of a language model
WEIGHTS = ("init", "like", "key", "freeze")  # where the weights come from, and which are trained

TRACKERS = ("wandb", "trackio")  # values of `trainer.logger` that are packages, and extras of vit

# Values of `Config` that earlier versions wrote out where they were left out.
WRITTEN_OUT = {"text.length": USUAL_LENGTH}


def check(config: Config) -> Config:
    """Refuse values that cannot work, before any data is read.

    Returns:
        The config, with its own `text.length` where it trains from scratch.

    Raises:
        UsageError: With the key, its value, and what was expected.
        VitError: The package of `trainer.logger` is not installed.
    """
    for key in RANGES:
        if (value := _value(config, key)) is not None:
            require(key, value)
    for key, names in CHOICES.items():
        if (name := _value(config, key)) not in names:
            raise UsageError(f"{key} is {name!r}{nearest(name, list(names))}")
    _check_combinations(config)
    _check_labels(config)
    _check_language_model(config)
    _check_sections(config)
    _check_weights(config)
    _check_logger(config.trainer.logger)
    if config.model.init is None and config.text.length is None:
        return replace(config, text=replace(config.text, length=USUAL_LENGTH))
    return config


def _value(config: Config, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _check_combinations(config: Config) -> None:
    """Refuse values that do not fit each other."""
    model, optim, trainer = config.model, config.optim, config.trainer
    expectations = [
        (
            "model.width", model.width, model.width > 0 and model.width % model.heads == 0,
            f"a multiple of heads = {model.heads}",
        ),
        (
            "model.pool", model.pool, model.pool != "cls" or model.class_token or _reads_texts(config),
            "mean or attention where class_token is false",
        ),
        (
            "optim.ema", optim.ema, optim.ema == 0 or not trainer.strategy.startswith("fsdp"),
            f"0 where trainer.strategy is {trainer.strategy}: sharded weights are not averaged",
        ),
        (
            "trainer.compile", shown(trainer.compile),
            trainer.compile is not True or not trainer.strategy.startswith("fsdp"),
            f"auto or false where trainer.strategy is {trainer.strategy}: sharded weights are not compiled",
        ),
        (
            "trainer.max_epochs", trainer.max_epochs,
            trainer.max_time is not None if trainer.max_epochs is None else trainer.max_epochs >= 1,
            "a number, or trainer.max_time: one of them ends the run",
        ),
        (
            "trainer.max_time", trainer.max_time,
            trainer.max_time is None or re.fullmatch(r"\d\d:\d\d:\d\d:\d\d", trainer.max_time), "DD:HH:MM:SS",
        ),
    ]  # fmt: skip
    for key, value, good, expected in expectations:
        if not good:
            raise UsageError(f"{key} is {value}, expected {expected}")


def _check_labels(config: Config) -> None:
    """Refuse keys for several labels per example that contradict each other, or the rest."""
    data = config.data
    given = [name for name in ("label_separator", "label_columns") if getattr(data, name) not in (None, ())]
    if len(given) == 2:
        raise UsageError(
            f"data.label_separator is {data.label_separator!r}, and data.label_columns is "
            f"{list(data.label_columns)}: both say where several labels are, give one of them"
        )
    for key in given:
        value = getattr(data, key)
        if not DATASETS[data.name].is_format:
            raise UsageError(
                f"data.{key} is {value!r}, and data.name is {data.name}, whose examples have one label each: "
                "leave the key out"
            )
        if data.balance == "sampler":
            raise UsageError(
                f"data.balance is sampler, and data.{key} is {value!r}: an example with several labels "
                "cannot be drawn for one of them; data.balance weights weighs them in the loss"
            )


def _reads_texts(config: Config) -> bool:
    return DATASETS[config.data.name].kind == "text"


def _check_sections(config: Config) -> None:
    """Refuse keys that would have no effect: those for images with a text dataset, and vice versa."""
    name, init = config.data.name, config.model.init
    if not _reads_texts(config):
        _require_defaults(config, "text", (), f"data.name is {name}, an image dataset")
        return
    if (size := config.data.image_size) is not None:
        raise UsageError(
            f"data.image_size is {shown(size)}, and data.name is {name}, a text dataset: leave the key out"
        )
    way_out = "leave the key out" if init is None else f"leave the key out, as in {usual(config)}"
    _require_defaults(config, "augment", (), f"data.name is {name}, a text dataset", way_out)
    sizes = ("tokenizer", "tied", *SIZES, *NOISES, *WEIGHTS)
    _require_defaults(config, "model", sizes, f"data.name is {name}, a text dataset")
    if init is not None:
        _require_defaults(
            config, "text", ("length", "blank"), f"model.init is {init}, which has its own tokenizer"
        )


def _check_language_model(config: Config) -> None:
    """Refuse what a language model has not, and the keys of one where the data have labels."""
    name = config.data.name
    if DATASETS[name].labelled:
        if config.model.tied:
            raise UsageError(
                f"model.tied is true, and data.name is {name}, on which no language model is trained: leave "
                "the key out, or give data.name lines"
            )
        return
    reason = f"data.name is {name}, texts without labels, on which a language model is trained"
    _require_defaults(config, "model", (*LANGUAGE, *NOISES, "init", "like", "key"), reason)
    for key in ("label_column", "label_separator", "label_columns", "balance"):
        if (value := getattr(config.data, key)) != getattr(Config().data, key):
            raise UsageError(f"data.{key} is {shown(value)}, and {reason}: leave the key out")
    if config.text.pieces != "bpe":
        raise UsageError(
            f"text.pieces is {config.text.pieces}, and {reason}: it could not write the words that occur "
            "once; give bpe"
        )
    if config.text.vocabulary < BYTES:
        raise UsageError(
            f"text.vocabulary is {config.text.vocabulary}, and {reason}: expected at least {BYTES}, 256 "
            "bytes and 4 special tokens"
        )


def _check_weights(config: Config) -> None:
    """Refuse keys of weights to start from that have no effect, and with frozen ones those of training.

    Whether sizes in `model` contradict the weights is known once these are read (`vit.recipes.initial`).
    """
    model = config.model
    if model.init == "":
        raise UsageError("model.init is '', expected a MODEL; leave the key out to train from scratch")
    if model.init is None:
        for key in WEIGHTS:
            if value := getattr(model, key):
                raise UsageError(
                    f"model.{key} is {shown(value)}, and model.init, the weights to start from, is missing"
                )
    if model.freeze:
        reason = "model.freeze is true: the head is trained on features that are computed once"
        _require_defaults(config, "augment", (), reason)
        _require_defaults(config, "text", ("length",), reason)
        for key in NOISES:
            if value := getattr(model, key):
                raise UsageError(f"model.{key} is {value}, and {reason}: leave the key out")


def _check_logger(name: str) -> None:
    """Refuse a logger whose package is not installed."""
    if name not in TRACKERS:
        return
    spec = find_spec(name)
    # A folder `wandb` of offline runs looks like a package without files.
    if spec is None or spec.origin is None:
        raise VitError(f"trainer.logger is {name}, which needs the package {name}: pip install 'vit[{name}]'")


def usual(config: Config) -> str:
    """The options for weights to start from: the shipped config that suits, and these data."""
    whole = "finetune_text" if _reads_texts(config) else "finetune"
    return f"--config {'probe' if config.model.freeze else whole} --data.name {config.data.name}"


def shown(value: Any) -> str:
    """A value as YAML spells it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require_defaults(
    config: Config,
    section: str,
    free: tuple[str, ...],
    reason: str,
    way_out: str = "leave the key out",
) -> None:
    """Refuse keys of a section that differ from their defaults, but for those that are free."""
    defaults = getattr(Config(), section)
    for key, value in vars(getattr(config, section)).items():
        usual_values = (getattr(defaults, key), WRITTEN_OUT.get(f"{section}.{key}"))
        if key not in free and value not in usual_values:
            raise UsageError(f"{section}.{key} is {shown(value)}, and {reason}: {way_out}")
