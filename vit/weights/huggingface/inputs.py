"""From pictures and texts to inputs: the preprocessing that belongs to an imported model."""

from pathlib import Path
from typing import Any

from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.weights.huggingface.checkpoint import read_json
from vit.weights.huggingface.processor import default_preprocess, preprocess_of
from vit.weights.huggingface.tokens import fast_tokenizer, folder_tokenizer


def picture_preprocess(family: str, model: Any, folder: Path) -> Preprocess:
    """What a folder's files say, or the family's usual preprocessing where they say nothing.

    Raises:
        VitError: A file is broken, or cannot be followed.
    """
    nested = read_json(folder / "processor_config.json", {})
    said = nested.get("image_processor") if isinstance(nested, dict) else None
    said = said or read_json(folder / "preprocessor_config.json", None)
    if said is None:
        return default_preprocess(family, model)
    if not isinstance(said, dict):
        raise VitError(f"{folder / 'preprocessor_config.json'} is {said!r:.40}, expected a JSON object")
    return preprocess_of(family, model, said)


def add_preprocess(family: str, model: Any, processor: Any, folder: Path | None) -> None:
    """Set the `preprocess` of a model that was given as an object.

    Args:
        family: The `model_type` of the config.
        model: Ours.
        processor: An image processor or a fast tokenizer of transformers; None: of `folder`; False: none.
        folder: Where the model was loaded from, if that is on this machine.

    Raises:
        VitError: It cannot be followed.
    """
    if processor is False:
        return
    if model.reads == "text":
        _add_tokenizer(model, processor, folder)
    elif processor is not None:
        processor = getattr(processor, "image_processor", processor)  # of both halves of a CLIP
        if not hasattr(processor, "image_mean"):
            raise VitError(f"processor is a {type(processor).__name__}, expected an image processor")
        model.preprocess = preprocess_of(family, model, processor.to_dict())
    elif folder is not None:
        model.preprocess = picture_preprocess(family, model, folder)
    elif model.channels in (1, 3):  # pictures are grey or RGB
        model.preprocess = default_preprocess(family, model)


def _add_tokenizer(model: Any, processor: Any, folder: Path | None) -> None:
    if processor is not None:
        model.use_tokenizer(fast_tokenizer(processor, model.length))
    elif folder is not None and (folder / "tokenizer.json").is_file():
        model.use_tokenizer(folder_tokenizer(folder, model.length))
