"""The files about inputs: `preprocessor_config.json` for images, the tokenizer's for texts."""

import json
from pathlib import Path
from typing import Any

from vit.errors import VitError
from vit.weights.huggingface.processor import RESAMPLE, preprocess_of

FILTERS = {name: number for number, name in RESAMPLE.items()}
# Special tokens by what they are for; the first that a vocabulary has.
SPECIAL = {
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
    "bos_token": ("<s>", "<|startoftext|>", "[CLS]"),
    "eos_token": ("</s>", "<|endoftext|>", "[SEP]"),
}


def image_processor(kind: str, model: Any) -> dict[str, Any]:
    """The content of `preprocessor_config.json`.

    Args:
        kind: The `model_type`.
        model: An image tower with `preprocess`.

    Raises:
        VitError: transformers has no processor that does the same.
    """
    said = model.preprocess
    if said.interpolation not in FILTERS:
        raise _refused(f"its interpolation is {said.interpolation}, expected one of {', '.join(FILTERS)}")
    if said.resize == "pad":
        raise _refused("its resize is pad, and no processor adds a border")
    whole = int(said.height / said.crop), int(said.width / said.crop)
    fields: dict[str, Any] = {
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(said.mean),
        "image_std": list(said.std),
        "resample": FILTERS[said.interpolation],
    }
    kept = {"height": said.height, "width": said.width}
    if said.resize == "crop":
        if whole[0] != whole[1]:
            raise _refused(f"its resize is crop to {whole[0]} x {whole[1]} pixels, which is no square")
        fields |= {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": whole[0]}}
        fields |= {"do_center_crop": True, "crop_size": kept}
    elif whole == (said.height, said.width):
        fields |= {"image_processor_type": "ViTImageProcessor", "size": kept}
    else:
        fields |= {"image_processor_type": "DeiTImageProcessor", "do_center_crop": True, "crop_size": kept}
        fields |= {"size": {"height": whole[0], "width": whole[1]}}
    _require_same(preprocess_of(kind, model, fields), said)
    return fields


def _require_same(theirs: Any, ours: Any) -> None:
    """Refuse a processor that the importer reads as another one."""
    first, second = _geometry(ours), _geometry(theirs)
    for name in first:
        if first[name] != second[name]:
            raise _refused(f"its {name} is {first[name]!r}, and would be {second[name]!r}")


def _geometry(preprocess: Any) -> dict[str, Any]:
    """What decides on pixels; several fractions keep the same number of them."""
    names = ("height", "width", "channels", "mean", "std", "interpolation", "resize")
    whole = int(preprocess.height / preprocess.crop), int(preprocess.width / preprocess.crop)
    return {name: getattr(preprocess, name) for name in names} | {"size before the crop": whole}


def write_tokenizer(folder: Path, model: Any) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`.

    Args:
        folder: Of the export.
        model: A text tower with `preprocess`.
    """
    tokenizer = model.preprocess
    names = {
        role: next((name for name in found if tokenizer.id_of(name) is not None), None)
        for role, found in SPECIAL.items()
    }
    inputs = ["input_ids", "attention_mask"]
    if getattr(model, "segments", None) is not None and model.architecture["segments"] > 1:
        inputs.insert(1, "token_type_ids")
    said = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": tokenizer.length,
        "truncation_side": tokenizer.truncation,
        "model_input_names": inputs,
        "clean_up_tokenization_spaces": False,
        "pad_token": tokenizer.name_of(model.padding),
        **{role: name for role, name in names.items() if name is not None},
    }
    (folder / "tokenizer.json").write_text(tokenizer.definition, encoding="utf-8")
    text = json.dumps(said, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def _refused(what: str) -> VitError:
    return VitError(f"transformers has no counterpart of preprocess: {what}")
