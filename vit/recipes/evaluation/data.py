"""The dataset that a model is measured on, and its parts."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vit.config import DataConfig
from vit.config_file import stored_config
from vit.data.datasets import read
from vit.data.found import Found
from vit.data.preprocess import match_channels
from vit.data.roster import FOUND_BY_NAME, Kind, find_dataset
from vit.data.splits.division import Division, by_record, divide, regrouped
from vit.data.splits.record import FILE as RECORD_FILE
from vit.data.splits.record import LEARNT, SplitRecord, read_record
from vit.data.texts import RawTexts, TokenizedTexts
from vit.data.windows import NextTokens
from vit.errors import UsageError, VitError
from vit.recipes.data import named_data, next_tokens, read_options, tokenised, unchanged
from vit.weights.models import is_bundled, open_bundle


class EvaluationData(NamedTuple):
    """A dataset as a model reads it.

    Args:
        name: Of the dataset.
        parts: Its examples, by the name that `--split` takes.
        labels: Class names of the dataset.
        skipped: Examples that could not be read, each with the reason.
        notes: What was left aside, a line each.
        prepare: From a batch of the parts to the model's channels, on the CPU.
        normalise: From a prepared batch to the model's input, on its device.
    """

    name: str
    parts: dict[str, Any]
    labels: list[str]
    skipped: list[tuple[str, str]]
    notes: list[str]
    prepare: Callable[[Tensor], Tensor]
    normalise: Callable[[Tensor], Tensor]


def evaluation_data(
    model: Any, word: str | None, data: str | None, *, labelled: bool = True, **columns: Any
) -> EvaluationData:
    """The dataset to measure a model on.

    What the model's run has in train or val, by its `splits.csv`, is in no other part here.

    Args:
        model: With `preprocess`.
        word: The MODEL word that it was loaded from; None: not known.
        data: A dataset's name or path, all of which is `test` unless it has parts of its own; None: what the
            model was trained on, in the parts of its run, and `new` for what the run has not seen.
        labelled: False: for a language model, which reads texts without labels; the parts are `NextTokens`.
        columns: Fields of `DataConfig` that say how a table is read, where they are given.

    Raises:
        VitError: There is no such dataset, it holds examples of another kind than the model reads, or the run
            does not say which examples it was trained on.
    """
    config, record, is_own = _data_config(word, data, model.reads, labelled=labelled)
    config = replace(config, **{name: value for name, value in columns.items() if value is not None})
    dataset = find_dataset(config.name)
    if dataset.kind != model.reads:
        raise UsageError(
            f"--data is {config.name}, which holds {dataset.kind}s, and this is a {model.reads} model"
        )
    reads_images = dataset.kind == "image"
    found = read(config.name, config.root, read_options(config, model.preprocess if reads_images else None))
    notes = list(found.notes)
    parts = _measured_parts(config, found, record, given=data is not None, is_own=is_own, notes=notes)
    if not reads_images:
        parts = {name: _tokenised(part, model, labelled=labelled) for name, part in parts.items()}
        return EvaluationData(config.name, parts, found.labels, found.skipped, notes, unchanged, unchanged)
    match = partial(match_channels, channels=model.preprocess.channels)
    return EvaluationData(
        config.name, parts, found.labels, found.skipped, notes, match, model.preprocess.normalise
    )


def _tokenised(texts: RawTexts, model: Any, *, labelled: bool) -> TokenizedTexts | NextTokens:
    if labelled:
        return tokenised(texts, model.preprocess)
    return next_tokens(texts, model.preprocess, model.ends, model.length)


def _measured_parts(
    config: DataConfig,
    found: Found[Any],
    record: SplitRecord | None,
    *,
    given: bool,
    is_own: bool,
    notes: list[str],
) -> dict[str, Any]:
    """The parts of a dataset as `--split` names them.

    Args:
        config: The data section.
        found: What was read.
        record: Of the model's run; None: it has none.
        given: The data were named with `--data`.
        is_own: They lie where those of the run lay: a file that changed is known by its path.
        notes: Gets what is left out.
    """
    division = Division(config.val_fraction, config.test_fraction, config.split_seed, config.group)
    if not find_dataset(config.name).is_format:
        return divide(config.name, found, division).as_dict()
    if not given:
        assert record is not None
        parts = by_record(found, record)
        if "new" in parts:
            notes.append(
                f"{len(parts['new']):,} that the run has not seen are left aside: --split new measures them"
            )
        return parts
    parts = {"test": found.parts["all"]} if "all" in found.parts else dict(found.parts)
    if record is None:
        return parts
    by_path = is_own and found.named_by_path

    def part(own: str, digest: str, name: str) -> str:
        known = record.part(digest, name if by_path else None)
        return known if known in LEARNT else own

    new_parts = {
        own: [part(own, *each) for each in zip(examples.digests, examples.names, strict=True)]
        for own, examples in parts.items()
    }
    learnt = sum(part in LEARNT for own in new_parts if own not in LEARNT for part in new_parts[own])
    if learnt:
        notes.append(
            f"{learnt:,} are in train or val of this run, and not in test here: --split all has them"
        )
    return regrouped(parts, new_parts)


def _data_config(
    word: str | None, data: str | None, reads: Kind, *, labelled: bool
) -> tuple[DataConfig, SplitRecord | None, bool]:
    """The config of a dataset, the record of the model's run, and whether the data are those of the run."""
    places = () if word is None else (Path(word), Path(word).parent)
    folder = next((place for place in places if (place / "config.yaml").is_file()), None)
    record = None if folder is None else read_record(folder)
    recorded: DataConfig | None = None
    if folder is not None:
        recorded = stored_config(folder / "config.yaml").data
    elif word is not None and is_bundled(word):
        stored = open_bundle(word).training.get("data")
        recorded = DataConfig(**stored) if stored else None
    if data is None:
        if recorded is None or (recorded.root is None and recorded.name not in FOUND_BY_NAME):
            said = word or "the model"
            raise UsageError(f"--data is missing: {said} does not say what to measure it on")
        if recorded.name not in FOUND_BY_NAME and record is None:
            raise UsageError(
                f"{word} has no {RECORD_FILE}, so that what it was trained on is not known: --data PATH "
                "measures it on examples that it has not seen"
            )
        return recorded, record, True
    named = named_data(data, reads, labelled=labelled)
    if recorded is None:
        return named, record, False
    if recorded.name != named.name:
        several = {name: getattr(recorded, name) for name in ("label_separator", "label_columns")}
        return replace(named, **several), record, False
    roots = [os.path.realpath(root) for root in (named.root, recorded.root) if root is not None]
    is_own = len(roots) == 2 and roots[0] == roots[1]
    return replace(recorded, root=named.root or recorded.root), record, is_own


def chosen_splits(data: EvaluationData, split: str) -> list[Any]:
    """The parts of a dataset that `train`, `val`, `test`, `new` or `all` names.

    Raises:
        VitError: The dataset has no such part.
    """
    chosen = [part for name, part in data.parts.items() if split in (name, "all") and len(part)]
    if not chosen:
        has = ", ".join(name for name, part in data.parts.items() if len(part)) or "no readable example"
        raise VitError(f"{data.name} has no {split} split: it has {has}")
    return chosen
