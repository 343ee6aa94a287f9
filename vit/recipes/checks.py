"""Values of a config that cannot work together, refused before any data is read. Imports no torch."""

import re

from vit.config import TEXTS, Config
from vit.errors import UsageError

# Of the tower, what texts have too; the rest is of pictures.
SIZES = ("width", "depth", "heads", "mlp_ratio", "positions", "pool", "qkv_bias", "layer_scale")
NOISES = ("drop_path", "dropout")


def check(config: Config) -> Config:
    """Refuse values that cannot work together, before any data is read.

    Raises:
        UsageError: With the key, its value, and what was expected.
    """
    data, augment, text, model, optim, trainer = (
        config.data, config.augment, config.text, config.model, config.optim, config.trainer
    )  # fmt: skip
    expectations = [
        ("data.batch_size", data.batch_size, data.batch_size >= 1, "at least 1"),
        ("data.val_fraction", data.val_fraction, 0 < data.val_fraction < 1, "between 0 and 1"),
        ("data.test_fraction", data.test_fraction, 0 <= data.test_fraction < 1, "from 0 up to 1"),
        ("augment.padding", augment.padding, 0 <= augment.padding < 1, "from 0 up to 1"),
        ("augment.erase", augment.erase, 0 <= augment.erase <= 1, "from 0 to 1"),
        ("augment.grow_from", augment.grow_from, 0 < augment.grow_from <= 1, "above 0 up to 1"),
        ("augment.grow_until", augment.grow_until, 0 <= augment.grow_until <= 1, "from 0 to 1"),
        ("text.vocabulary", text.vocabulary, text.vocabulary >= 100, "at least 100"),
        ("text.length", text.length, text.length >= 3, "at least 3"),
        ("text.blank", text.blank, 0 <= text.blank < 1, "from 0 up to 1"),
        ("model.heads", model.heads, model.heads >= 1, "at least 1"),
        (
            "model.width", model.width, model.width > 0 and model.width % max(model.heads, 1) == 0,
            f"a multiple of heads = {model.heads}",
        ),
        ("model.depth", model.depth, model.depth >= 1, "at least 1"),
        (
            "model.pool", model.pool, model.pool != "cls" or model.class_token or data.name in TEXTS,
            "mean or attention where class_token is false",
        ),
        ("augment.scale", augment.scale, 0 < augment.scale[0] <= augment.scale[1] <= 1, "two areas up to 1"),
        ("model.registers", model.registers, model.registers >= 0, "0 or more"),
        ("model.drop_path", model.drop_path, 0 <= model.drop_path < 1, "from 0 up to 1"),
        ("model.dropout", model.dropout, 0 <= model.dropout < 1, "from 0 up to 1"),
        ("optim.lr", optim.lr, optim.lr > 0, "above 0"),
        ("optim.muon_lr", optim.muon_lr, optim.muon_lr > 0, "above 0"),
        ("optim.label_smoothing", optim.label_smoothing, 0 <= optim.label_smoothing < 1, "from 0 up to 1"),
        ("trainer.overlays", trainer.overlays, trainer.overlays >= 0, "0 or more"),
        ("trainer.accumulate", trainer.accumulate, trainer.accumulate >= 1, "at least 1"),
        ("trainer.save_every", trainer.save_every, trainer.save_every >= 0, "0 or more seconds"),
        ("optim.warmup", optim.warmup, 0 <= optim.warmup < 1, "a part of the run, from 0 up to 1"),
        ("optim.ema", optim.ema, 0 <= optim.ema < 1, "from 0 up to 1"),
        (
            "optim.ema", optim.ema, optim.ema == 0 or not trainer.strategy.startswith("fsdp"),
            f"0 where trainer.strategy is {trainer.strategy}: divided weights are not averaged",
        ),
        (
            "trainer.max_epochs", trainer.max_epochs,
            trainer.max_time is not None if trainer.max_epochs is None else trainer.max_epochs >= 1,
            "a number, or trainer.max_time: one of them ends the run",
        ),
        ("trainer.max_time", trainer.max_time, _is_duration(trainer.max_time), "DD:HH:MM:SS"),
    ]  # fmt: skip
    for key, value, good, expected in expectations:
        if not good:
            raise UsageError(f"{key} is {value}, expected {expected}")
    _check_sections(config)
    return config


def _is_duration(text: str | None) -> bool:
    return text is None or re.fullmatch(r"\d\d:\d\d:\d\d:\d\d", text) is not None


def _check_sections(config: Config) -> None:
    """Refuse what would have no effect: keys of pictures where data are texts, and the other way round."""
    texts, start = config.data.name in TEXTS, config.text.start
    if not texts:
        _leave_out(config, "text", (), f"data.name is {config.data.name}, which is of pictures")
        return
    of_texts = f"data.name is {config.data.name}, which is of texts"
    _leave_out(config, "augment", (), of_texts)
    _leave_out(config, "model", ("tokenizer", *SIZES, *NOISES), of_texts)
    if start is not None:
        _leave_out(config, "model", NOISES, f"text.start is {start}, which brings its own architecture")


def _leave_out(config: Config, section: str, welcome: tuple[str, ...], why: str) -> None:
    """Refuse keys of a section that differ from their defaults, but for those that are welcome."""
    plain = getattr(Config(), section)
    for key, value in vars(getattr(config, section)).items():
        if key not in welcome and value != getattr(plain, key):
            raise UsageError(f"{section}.{key} is {value}, and {why}: leave the key out")
