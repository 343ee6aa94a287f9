"""The files of transformers' format: `config.json`, `model.safetensors`, and those about inputs."""

import importlib.util
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import save

from vit.errors import VitError
from vit.export.safetensors.checks import CONFIG, FORMAT, WEIGHTS
from vit.export.safetensors.equivalents import with_both_pools
from vit.export.safetensors.huggingface.comparison import compare_with_transformers, compare_with_vit
from vit.export.safetensors.huggingface.inputs import image_processor, write_tokenizer
from vit.export.safetensors.huggingface.search import Found, find_counterpart
from vit.export.safetensors.huggingface.sentence import require_sentence, write_sentence

MULTI_LABEL = "multi_label_classification"


class HuggingfaceExport:
    """A tower as transformers' model.

    Args:
        model: Ours, float32 on the CPU, in eval mode.

    Raises:
        VitError: It, or its preprocessing, has no counterpart; what it is is named.
    """

    def __init__(self, model: Any):
        self.model = model
        self.found = _found(model)
        self.config = self.found.config | _labels(model, self.found)
        self.pictures = None
        if model.reads == "image" and model.preprocess is not None:
            self.pictures = image_processor(self.found.kind, model)
        self.sentences = bool(self.found.left)
        require_sentence(model, sentences=self.sentences)
        self.description = f"transformers' {self.found.architecture}"

    def write(self, folder: Path) -> None:
        """Write the files."""
        text = json.dumps(self.config, ensure_ascii=False)
        (folder / WEIGHTS).write_bytes(save(self.found.tensors, FORMAT | {CONFIG: text}))
        _write(folder / CONFIG, self.config)
        if self.pictures is not None:
            _write(folder / "preprocessor_config.json", self.pictures)
        if self.model.reads == "text" and self.model.preprocess is not None:
            write_tokenizer(folder, self.model)
        if self.sentences:
            write_sentence(folder, self.model)

    def check(self, folder: Path) -> float:
        """The largest difference from the files, read with vit and, where it is installed, with transformers.

        Raises:
            VitError: It is too large, or a tensor is missing.
        """
        largest = compare_with_vit(self.model, folder)
        if importlib.util.find_spec("transformers") is not None:
            largest = max(largest, compare_with_transformers(self.model, folder, self.found))
        return largest


def _found(model: Any) -> Found:
    """The counterpart of a model, or of one that computes the same.

    Raises:
        VitError: There is none.
    """
    try:
        return find_counterpart(model)
    except VitError as error:
        wider = with_both_pools(model)
        if wider is None:
            raise
        with suppress(VitError):
            return find_counterpart(wider)
        raise error


def _labels(model: Any, found: Found) -> dict[str, Any]:
    """The fields about classes; without names those that transformers gives them."""
    if found.task != "classifier":
        return {}
    classes = model.architecture["classes"]
    labels = model.labels or [f"LABEL_{index}" for index in range(classes)]
    return {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
        # Thresholds are of vit alone; transformers has one half for all.
        **({"problem_type": MULTI_LABEL, "thresholds": model.thresholds} if model.thresholds else {}),
    }


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
