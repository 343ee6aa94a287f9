"""From a config to the weights that a run starts from: another model's, or its own where it is continued."""

import logging
from dataclasses import dataclass, field, replace
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vit.bundle import CONFIG
from vit.config import Config, DataConfig, ModelConfig
from vit.core import Tower
from vit.data.datasets import image_size_of
from vit.data.preprocess import Preprocess
from vit.data.roster import DATASETS
from vit.errors import UsageError, VitError
from vit.recipes.checks import NOISES, WEIGHTS, shown, usual
from vit.text import Tokenizer
from vit.text.matching import predicts_next
from vit.training.checkpoints import read_frozen
from vit.weights.models import described_tower, load_model, make_tower, weights_card
from vit.weights.unfinished import read_outline

SHOWN = 8  # digits of a hash


@dataclass(frozen=True)
class Start:
    """A model to start from.

    Args:
        model: In eval mode, with `labels`, `thresholds` and `preprocess`.
        word: The MODEL word that names it.
        card: Where its weights come from: `word`, where given `like` and `key`, and where known `sha256` and
            `license`; in a run that is continued also `head`.
        said: Lines of the log as it was read.
    """

    model: Any
    word: str
    card: dict[str, str]
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Initial:
    """The tower that a run begins with.

    Args:
        model: The tower, for the labels of the data.
        card: `training.init` of the run's bundle; empty where it is trained from scratch.
        note: What was taken from where, one line; empty from scratch.
        said: Lines of the log as the weights were read.
    """

    model: Any
    card: dict[str, str]
    note: str
    said: list[str] = field(default_factory=list)


def read_start(config: Config, checkpoint: Path | None = None) -> Start:
    """The model that `model.init` names.

    Args:
        config: The run's config.
        checkpoint: Of the run that is continued; its own description counts then, and the weights, which it
            has, are not read again.

    Raises:
        UsageError: A key of `model` contradicts the weights.
        VitError: The model cannot be read, or does not suit the data.
    """
    kind, model_config = DATASETS[config.data.name].kind, config.model
    folder = None if checkpoint is None else checkpoint.parent.parent
    if folder is not None and (folder / "model" / CONFIG).is_file():
        start = _start_of_run(model_config, folder)
    else:
        start = _read(model_config)
    if start.model.reads != kind:
        raise VitError(
            f"model.init is {start.word}, which reads {start.model.reads}s, and data.name is "
            f"{config.data.name}, which has {kind}s"
        )
    if start.model.preprocess is None:
        needed = {"image": "size, mean and deviation of its pictures", "text": "its tokenizer"}[kind]
        raise VitError(
            f"model.init is {start.word}, which does not say how it reads {kind}s: it lacks {needed}"
        )
    _require_fitting(config, start)
    return start


def _read(config: ModelConfig) -> Start:
    """The model of `init`, `like` and `key`."""
    named = {name: value for name in ("like", "key") if (value := getattr(config, name)) is not None}
    lines, log = BufferingHandler(1000), logging.getLogger("vit")
    log.addHandler(lines)
    try:
        model = load_model(str(config.init), **named)
    finally:
        log.removeHandler(lines)
    said = [record.getMessage() for record in lines.buffer]
    return Start(model, str(config.init), weights_card(model) | named, said)


def _start_of_run(config: ModelConfig, folder: Path) -> Start:
    """A run as its own start; with `model.freeze` it has the weights that are not in its checkpoints."""
    outline = read_outline(folder / "model")
    model = described_tower(outline)
    if config.freeze:
        model.load_state_dict(model.state_dict() | read_frozen(folder / "checkpoints"))
    return Start(model, str(config.init), outline.training.get("init", {}))


def _require_fitting(config: Config, start: Start) -> None:
    """Refuse keys of `model` that are neither left out nor what the weights have."""
    architecture = start.model.architecture
    given = config.model
    found = {name: architecture.get(name) for name in vars(given)}
    if start.model.reads == "image":
        found["patch_size"] = _side(architecture["patch_size"])
    else:
        found["tokenizer"] = "patch" if architecture.get("neighbours", 1) == 1 else "conv"
        found["positions"] = {"sinusoidal": "sincos"}.get(found["positions"], found["positions"])
    for key, default in vars(ModelConfig()).items():
        value = _side(getattr(given, key)) if key == "patch_size" else getattr(given, key)
        value = list(value) if isinstance(value, tuple) else value
        if key not in (*WEIGHTS, *NOISES) and value not in (default, found[key]):
            raise UsageError(
                f"model.{key} is {shown(value)}, and the weights of {start.word} have {shown(found[key])}: "
                f"leave the key out, as in {usual(config)}"
            )


def _side(size: Any) -> Any:
    """One side of a square, both of another rectangle."""
    return size if isinstance(size, int) else size[0] if size[0] == size[1] else list(size)


def start_preprocess(start: Start, config: DataConfig) -> Preprocess:
    """The preprocessing of the weights, for the size of pictures that a run asks for.

    Raises:
        UsageError: The patches do not tile this size.
    """
    own: Preprocess = start.model.preprocess
    height, width = size = image_size_of(config.image_size) or (own.height, own.width)
    patch = start.model.patch_size
    if height % patch[0] or width % patch[1]:
        below = [side // step * step for side, step in zip(size, patch, strict=True)]
        above = [side + step for side, step in zip(below, patch, strict=True)]
        sizes = [f"{rows} x {cols}" for rows, cols in (below, above) if rows and cols]
        raise UsageError(
            f"data.image_size is {height} x {width}, and the patches of {start.word} have {patch[0]} x "
            f"{patch[1]} pixels, which do not tile it: the next "
            f"{'size is' if len(sizes) == 1 else 'sizes are'} {' and '.join(sizes)}"
        )
    return replace(own, height=height, width=width, resize=config.resize or own.resize)


def start_tokenizer(start: Start, length: int | None) -> Tokenizer:
    """The tokenizer of the weights, for texts of a length.

    Raises:
        UsageError: They have fewer positions.
    """
    own: Tokenizer = start.model.preprocess
    if length is None:
        return own
    if length > (positions := start.model.length):
        raise UsageError(
            f"text.length is {length}, and the weights of {start.word} have {positions} positions: give at "
            f"most {positions}, or leave the key out"
        )
    return own.cut(length)


def start_tower(
    start: Start,
    config: ModelConfig,
    labels: list[str],
    *,
    several: bool,
    size: tuple[int, int] | None = None,
) -> Initial:
    """A tower with the weights of another, for the labels of the data.

    Learned positions are interpolated, once. With the same labels the head is kept, its rows in the order of
    the data's labels; otherwise it is new, and zero.

    Args:
        start: The other.
        config: Its `dropout` and `drop_path` count.
        labels: Of the data.
        several: Whether an example may have several labels.
        size: Height and width of pictures; None: of a text tower.
    """
    old = start.model
    changes: dict[str, Any] = {name: getattr(config, name) for name in NOISES} | {"classes": len(labels)}
    if size is not None:
        changes["image_size"] = list(size)
    order = _head_order(old, labels, several=several)
    if order is None and size is not None:
        changes["pooler"] = None  # as in the image classifiers of transformers, which have no pooler
    model = make_tower(old.architecture | changes)
    weights, initial = old.state_dict(), model.state_dict()
    notes = []
    if size is not None and size != old.image_size:
        shown = f"{' x '.join(map(str, old.image_size))} -> {' x '.join(map(str, size))}"
        kind = old.architecture["positions"]
        notes.append(f"{shown}: positions {'interpolated' if kind == 'learned' else 'computed'}")
        if "positions.table" in weights:
            weights["positions.table"] = old.positions.resized(*model.positions.table.shape[:2])
    if order is None:
        body = {name: tensor for name, tensor in weights.items() if name in initial}
        weights = body | {name: initial[name] for name in ("head.weight", "head.bias")}
    else:
        weights |= {name: weights[name][order] for name in ("head.weight", "head.bias") if name in weights}
    model.load_state_dict(weights)
    notes.append(_head_note(start, labels, order, several=several))
    card = {"head": "new" if order is None else "kept"} | start.card
    return Initial(model, card, f"start from {_origin(start)}, {'; '.join(notes)}", start.said)


def start_language(start: Start, config: ModelConfig) -> Initial:
    """A language model with the weights of another; its head goes with its tokenizer, and is kept.

    Args:
        start: The other.
        config: Its `dropout` and `drop_path` count.

    Raises:
        VitError: It is no causal language model, or does not say which token ends a text.
    """
    old = start.model
    if not predicts_next(old) or not old.ends:
        lacks = "say which token ends a text" if predicts_next(old) else "predict the next token"
        raise VitError(
            f"model.init is {start.word}, which does not {lacks}: expected a causal language model, such as "
            "a run of text_lm, or hf:FOLDER with a GPT-2"
        )
    model = make_tower(old.architecture | {name: getattr(config, name) for name in NOISES})
    model.load_state_dict(old.state_dict())
    return Initial(
        model, {"head": "kept"} | start.card, f"start from {_origin(start)}, head kept", start.said
    )


def _head_order(old: Tower, labels: list[str], *, several: bool) -> Tensor | None:
    """The row of the old head for each label; None: it does not suit."""
    is_classifier = isinstance(old.head, nn.Linear) and bool(old.labels)
    if not is_classifier or several != bool(old.thresholds) or sorted(old.labels) != sorted(labels):
        return None
    return torch.tensor([old.labels.index(label) for label in labels])


def _head_note(start: Start, labels: list[str], order: Tensor | None, *, several: bool) -> str:
    """Whether the head is kept, and why not."""
    known = start.model.labels
    if order is not None:
        in_order = order.tolist() == list(range(len(labels)))
        return "head kept" if in_order else "head kept, in the order of the data's labels"
    if not known:
        return f"new head: the data have {len(labels)} classes, the weights of {start.word} no label names"
    if several != bool(start.model.thresholds):
        kinds = "several labels per example, the weights of {} one" if several else (
            "one label per example, the weights of {} several"
        )  # fmt: skip
        return f"new head: the data have {kinds.format(start.word)}"
    return (
        f"new head: the data have {len(labels)} classes, the weights of {start.word} {len(known)}, "
        f"{len(set(known) & set(labels))} in common"
    )


def _origin(start: Start) -> str:
    """`cifar10 (2.9 M weights, sha256 abcd1234…, Apache-2.0)`."""
    count = sum(weight.numel() for weight in start.model.parameters())
    facts = [f"{count:,} weights" if count < 100_000 else f"{count / 1e6:.1f} M weights"]
    if "sha256" in start.card:
        facts.append(f"sha256 {start.card['sha256'][:SHOWN]}…")
    facts += [start.card["license"]] if "license" in start.card else []
    return f"{start.word} ({', '.join(facts)})"
