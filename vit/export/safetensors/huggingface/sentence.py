"""The files of sentence-transformers around an encoder: how its states become one vector."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from vit.errors import VitError
from vit.weights.huggingface.sentence import ACTIVATIONS, POOLS

MODULES = "sentence_transformers.models"
FLAGS = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
MODES = {ours: theirs for theirs, ours in POOLS.items()}
ACTIVATION_NAMES = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
PROMPT = "default"


def require_sentence(model: Any, *, sentences: bool) -> None:
    """Refuse what neither transformers nor sentence-transformers has a place for.

    Raises:
        VitError: The pool, an activation, or a prompt.
    """
    prompt = "" if model.reads == "image" or model.preprocess is None else model.preprocess.prompt
    if prompt and not sentences:
        raise VitError(f"transformers has no counterpart of the tokenizer's prompt {prompt!r}")
    if not sentences:
        return
    pool, after = model.architecture["pool"], [each[1] for each in model.architecture["projections"]]
    if pool not in MODES or model.architecture["pooler"] is not None:
        raise VitError(
            f"transformers has no counterpart of this model: pool is {pool!r}, and sentence-transformers has "
            f"one of {', '.join(MODES)}, without a pooler"
        )
    odd = [name for name in after if name not in ACTIVATION_NAMES]
    if odd:
        raise VitError(f"sentence-transformers has no counterpart of the activation {odd[0]} after the pool")


def write_sentence(folder: Path, model: Any) -> None:
    """Write `modules.json`, and a folder for each module but the first.

    Args:
        folder: Of the export, with the encoder's files.
        model: A text tower that `require_sentence` takes.
    """
    kinds = ["Transformer", "Pooling", *["Dense"] * len(model.architecture["projections"])]
    kinds += ["Normalize"] * model.unit
    paths = ["", *(f"{index}_{kind}" for index, kind in enumerate(kinds) if index)]
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": f"{MODULES}.{kind}"}
        for index, (path, kind) in enumerate(zip(paths, kinds, strict=True))
    ]
    _write(folder / "modules.json", entries)
    length = model.length if model.preprocess is None else model.preprocess.length
    _write(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    _write(folder / "config_sentence_transformers.json", _prompts(model))
    for path, kind in zip(paths[1:], kinds[1:], strict=True):
        (folder / path).mkdir()
        if kind == "Pooling":
            _write(folder / path / "config.json", _pooling(model))
        elif kind == "Dense":
            _write_dense(folder / path, model, int(path.partition("_")[0]) - 2)


def _pooling(model: Any) -> dict[str, Any]:
    modes = MODES[model.architecture["pool"]]
    flags = {flag: name in modes for name, flag in FLAGS.items()}
    return {"word_embedding_dimension": model.architecture["width"], **flags}


def _write_dense(folder: Path, model: Any, index: int) -> None:
    """One layer after the pool; an activation follows each in our sequence."""
    layer, (_, activation, bias) = model.projections[2 * index], model.architecture["projections"][index]
    kind = ACTIVATION_NAMES[activation]
    module = "linear" if kind == "Identity" else "activation"
    _write(
        folder / "config.json",
        {
            "in_features": layer.in_features,
            "out_features": layer.out_features,
            "bias": bias,
            "activation_function": f"torch.nn.modules.{module}.{kind}",
        },
    )
    tensors = {f"linear.{name}": tensor.contiguous() for name, tensor in layer.state_dict().items()}
    (folder / "model.safetensors").write_bytes(save(tensors))


def _prompts(model: Any) -> dict[str, Any]:
    prompt = "" if model.preprocess is None else model.preprocess.prompt
    if not prompt:
        return {"prompts": {}, "default_prompt_name": None}
    return {"prompts": {PROMPT: prompt}, "default_prompt_name": PROMPT}


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
