"""The card of a model, README.md of a repository of the hub: what it is, data, scores, how it is loaded."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vit.core.tower import Tower
from vit.text.matching import is_encoder_decoder, predicts_next
from vit.weights.models import is_bundled, open_bundle

SHOWN_LABELS = 50  # of more, the first are listed
REPO = "OWNER/NAME"  # where none is known yet
LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")

# How a model is loaded, by what it was written as; {repo} and {task} are filled in.
LOADING = {
    "bundle": (
        "vit",
        "bash",
        "hf download {repo} --local-dir model\nvit predict model PHOTOGRAPHS --output labels.csv",
    ),
    "timm": ("timm", "python", 'import timm\n\nmodel = timm.create_model("hf-hub:{repo}", pretrained=True)'),
    "transformers": (
        "transformers",
        "python",
        'from transformers import {task}\n\nmodel = {task}.from_pretrained("{repo}")',
    ),
    "onnx": (
        "onnx",
        "python",
        'import onnxruntime\n\nsession = onnxruntime.InferenceSession("{file}")',
    ),
    "pt2": ("pytorch", "python", 'import torch\n\nmodel = torch.export.load("{file}").module()'),
}
EXIF = (
    "Photographs are turned as their EXIF orientation says before anything else: Pillow's "
    "`ImageOps.exif_transpose`. No file of a model does that; the program that reads them must."
)


def model_card(
    model: Tower,
    *,
    kind: str = "bundle",
    repo_id: str | None = None,
    file: str = "model",
    scores: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """README.md with the hub's YAML head.

    Args:
        model: From `load_model`, or trained here.
        kind: What it was written as, a name in `LOADING`.
        repo_id: `OWNER/NAME`; None: these words.
        file: Name of the file, for `onnx` and `pt2`.
        scores: As in `Bundle.scores`; None: those of the bundle that `model.source` names, if it is one.
        training: As in `Bundle.training`; None: likewise.
        notes: Further sentences, a list item each: what was measured on the file, for example.
    """
    if scores is None or training is None:
        kept_scores, kept_training = _recorded(model)
        scores = kept_scores if scores is None else scores
        training = kept_training if training is None else training
    repo_id = repo_id or REPO
    sections = [
        f"# {repo_id.rpartition('/')[2]}\n\n{_what(model)}",
        _use(model, kind, repo_id, file),
        _labels(model),
        _preprocessing(model),
        _data(training),
        _scores(scores),
        _origin(model, training),
        "## Notes\n\n" + "\n".join(f"- {note}" for note in notes) if notes else "",
    ]
    head = _head(model, kind, repo_id.rpartition("/")[2], scores, training)
    return head + "\n\n".join(filter(None, sections)) + "\n"


def task_of(model: Any) -> str:
    """The hub's name of what a model is for (`pipeline_tag`)."""
    if is_encoder_decoder(model):
        return "text2text-generation"
    if predicts_next(model):
        return "text-generation"
    classifies = bool(model.architecture["classes"])
    if model.reads == "image":
        return "image-classification" if classifies else "image-feature-extraction"
    return "text-classification" if classifies else "feature-extraction"


# The class of transformers that loads a model, by its task.
AUTO_CLASSES = {
    "image-classification": "AutoModelForImageClassification",
    "image-feature-extraction": "AutoModel",
    "text-classification": "AutoModelForSequenceClassification",
    "feature-extraction": "AutoModel",
    "text-generation": "AutoModelForCausalLM",
    "text2text-generation": "AutoModelForSeq2SeqLM",
}


def _recorded(model: Tower) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Scores and training of the bundle that a model was loaded from; empty: it was not."""
    word = model.source.get("word")
    if word is None or not is_bundled(word):
        return {}, {}
    bundle = open_bundle(word)
    return bundle.scores, bundle.training


def _head(model: Tower, kind: str, name: str, scores: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """The YAML head, between lines of three hyphens."""
    from huggingface_hub import EvalResult, ModelCardData

    task, data = task_of(model), _dataset(training)
    results = [
        EvalResult(
            task_type=task,
            dataset_type=data,
            dataset_name=data,
            dataset_split=split,
            metric_type="accuracy",
            metric_value=round(float(figures["accuracy"]), 4),
        )
        for split, figures in _measured(scores).items()
        if "accuracy" in figures
    ]
    said: dict[str, Any] = {
        "license": _license_id(model, training),
        "library_name": LOADING[kind][0],
        "pipeline_tag": task,
        "tags": sorted({"vit", *(["vision-transformer"] if model.reads == "image" else ["transformer"])}),
        # Results have a model's name in the head, and a head without results has none.
        **({"model_name": name, "eval_results": results} if results else {}),
    }
    written = ModelCardData(**{name: value for name, value in said.items() if value is not None})
    return f"---\n{written.to_yaml()}\n---\n\n"


def _what(model: Any) -> str:
    """One sentence: tower, size, input, output."""
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    kinds = {"image": "A vision transformer", "text": "A text transformer"}
    first = "An encoder-decoder transformer" if is_encoder_decoder(model) else kinds[model.reads]
    size = f"{len(model.encoder.blocks)} blocks, width {model.architecture['width']}"
    if model.reads == "image":
        height, width = model.image_size
        reads = f"reads images of {height} x {width} pixels, {model.channels} channels"
    else:
        reads = f"reads texts of up to {model.length} tokens"
    count = len(model.labels)
    gives = f"gives each {count} scores" if count else "gives features, and no labels"
    several = ", several labels an input by thresholds" if model.thresholds else ""
    return f"{first} of {parameters:.2f} M parameters ({size}). It {reads}, and {gives}{several}."


def _use(model: Tower, kind: str, repo_id: str, file: str) -> str:
    """How it is loaded."""
    _, language, text = LOADING[kind]
    code = text.format(repo=repo_id, task=AUTO_CLASSES[task_of(model)], file=file)
    return f"## Use\n\n```{language}\n{code}\n```"


def _labels(model: Tower) -> str:
    if not model.labels:
        return ""
    shown = ", ".join(f"`{label}`" for label in model.labels[:SHOWN_LABELS])
    rest = len(model.labels) - SHOWN_LABELS
    return f"## Labels\n\n{len(model.labels)}, in the order of the logits: {shown}" + (
        f" and {rest} more." if rest > 0 else "."
    )


def _preprocessing(model: Any) -> str:
    """What is done with an input first."""
    if model.preprocess is None:
        return ""
    said = model.preprocess.to_dict()
    if model.reads == "text":
        return (
            "## Preprocessing\n\nThe tokenizer is `tokenizer.json`; a text is cut after "
            f"{said['length']} tokens."
        )
    mean, std = (", ".join(f"{value:.4f}" for value in said[name]) for name in ("mean", "std"))
    return (
        f"## Preprocessing\n\n"
        f"Resize (`{said['resize']}`, {said['interpolation']}, antialiased) to {said['height']} x "
        f"{said['width']} pixels divided by {said['crop']:g}, keep the centre, divide by 255, subtract the "
        f"mean ({mean}), divide by the deviation ({std}).\n\n{EXIF}"
    )


def _data(training: Mapping[str, Any]) -> str:
    """What it was trained on, as the bundle says it."""
    data = training.get("data") or {}
    if not data:
        return ""
    said = {name: _public(value) for name, value in data.items() if name != "name" and value is not None}
    rest = ", ".join(f"`{name}` {value}" for name, value in said.items())
    steps = f" {training['steps']} optimiser steps." if training.get("steps") else ""
    return f"## Data\n\nTrained on `{_dataset(training)}`{f' ({rest})' if rest else ''}.{steps}"


def _scores(scores: Mapping[str, Any]) -> str:
    """A table: a row for each split, n first."""
    found = _measured(scores)
    if not found:
        return ""
    names = [name for name in dict.fromkeys(name for row in found.values() for name in row) if name != "n"]
    lines = [["", "n", *names], ["---"] * (len(names) + 2)]
    for split, row in found.items():
        figures = (f"{row[name]:.4f}" if name in row else "" for name in names)
        lines.append([split, f"{row['n']:,}", *figures])
    return "## Scores\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _origin(model: Tower, training: Mapping[str, Any]) -> str:
    """Where the weights come from, and their license."""
    initial = training.get("init") or {}
    source = _public(initial.get("word") or (model.source.get("word") if not training else None))
    license_ = _license(model, training)
    lines = [f"Initial weights: `{source}`." if initial else f"Source: `{source}`."] if source else []
    lines.append(f"License of the weights: {license_ or 'not stated'}.")
    return "## Origin\n\n" + " ".join(lines)


def _measured(scores: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By split: `n`, and the figures that are plain numbers."""
    found = {
        split: {name: value for name, value in row.items() if type(value) in (int, float)}
        for split, row in scores.items()
        if isinstance(row, Mapping)
    }
    return {split: row for split, row in found.items() if "n" in row and ("accuracy" in row or "loss" in row)}


def _dataset(training: Mapping[str, Any]) -> str:
    """Its name."""
    return str(_public((training.get("data") or {}).get("name") or "not stated"))


def _public(value: Any) -> Any:
    """A value of the bundle; of a path of this machine its last part, and of `timm:` and `hf:` words all."""
    if not isinstance(value, str) or not re.search(r"[/\\]", value):
        return value
    scheme, colon, rest = value.partition(":")
    path = rest if colon and len(scheme) > 1 else value
    local = path.startswith(("/", "\\", ".", "~")) or path != rest or Path(path).exists()
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] if local else value


def _license(model: Tower, training: Mapping[str, Any]) -> str:
    return str((training.get("init") or {}).get("license") or model.source.get("license") or "")


def _license_id(model: Tower, training: Mapping[str, Any]) -> str | None:
    """The hub's identifier, where the license is named by one word."""
    said = _license(model, training).lower()
    return said if LICENSE.fullmatch(said) else None
