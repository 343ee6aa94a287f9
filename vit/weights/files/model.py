"""From a file of weights and the name of an architecture to a model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vit.errors import UsageError, VitError
from vit.weights.files.architecture import SCHEME, create, pretrained_tags, way_out
from vit.weights.files.authors import author_of, own_arguments, own_pixels
from vit.weights.files.convert import Converted, convert
from vit.weights.files.names import Tensors, choose_place, divide, find_places, renamed
from vit.weights.files.npz import convert_npz
from vit.weights.files.reading import NPZ, files_of, read_content
from vit.weights.messages import say_once
from vit.weights.on_disk import digest, refuse_pointer
from vit.weights.timm import import_timm
from vit.weights.timm.source import WAYS

OVERLAY = "pretrained_cfg_overlay"  # timm's argument for what stands around the weights


def model_from_file(file: Path, like: str | None, key: str | None = None) -> Any:
    """The model whose weights a file holds; a line in the log says what was taken and what was left over.

    Its grid of positions is the file's, and so is its head, where the file has one linear layer on the pooled
    features. Weights are float32, whatever the file has.

    Args:
        file: With one of `vit.weights.files.ENDINGS`; of a sharded file the index or any of its parts.
        like: `timm:ARCHITECTURE`, or `timm:ARCHITECTURE.TAG`, whose preprocessing the weights have then.
        key: Where in the file the weights are, if it holds several models: `teacher`, for instance.

    Returns:
        `vit.vision.VisionTransformer` in eval mode, on the CPU. `labels` are those of timm's architecture
        where the file's head has as many classes (ImageNet's 1000), and unknown (`[]`) otherwise.
        `preprocess` is the architecture's, or what the file tells (`vit.weights.files.authors`), at the size
        of the grid. `source` has `word` and `sha256`, of all parts of a sharded file in their order.

    Raises:
        UsageError: `like` or `key` names what does not exist.
        VitError: The file or the architecture cannot be used, or they do not fit each other.
    """
    files = files_of(file)
    for part in files:
        refuse_pointer(part)
    read = _from_npz if file.suffix == NPZ else _from_tensors
    converted = read(files, file, like, key)
    model = import_timm(converted.model, {"word": str(file), "sha256": digest(files)})
    if model.preprocess is None:
        raise VitError(
            f"{file} has patches of {model.channels} channels, and vit reads pictures of 1 (grey) or 3 (RGB)"
        )
    height, width = model.image_size
    model.preprocess = replace(model.preprocess, height=height, width=width)
    say_once(_report(file, converted, model))
    return model


def _from_npz(files: list[Path], file: Path, like: str | None, key: str | None) -> Converted:
    if key is not None:
        raise UsageError(f"{file} holds one model, and --model.key is {key}: leave it out")
    return convert_npz(file, _architecture(file, like, {}))


def _from_tensors(files: list[Path], file: Path, like: str | None, key: str | None) -> Converted:
    content = read_content(files)
    tensors = renamed(content.tensors)
    name = _architecture(file, like, tensors)
    places = find_places(tensors, set(create(name, num_classes=0).state_dict()))
    if not places:
        raise VitError(_no_weights(file, name, list(content.tensors), _advice(tensors)))
    place = choose_place(file, places, key)
    inside, outside = divide(tensors, place, places)
    author = author_of(content.tensors)
    pixels, origin = own_pixels(author, content.arguments)
    if "." in name:  # a tag, which says more than the file does
        pixels, origin = {}, ""
    arguments = own_arguments(author, content.arch, inside) | {OVERLAY: pixels}
    converted = convert(file, name, inside, arguments)
    return replace(converted, place=place, origin=origin, left=converted.left | outside)


def _architecture(file: Path, like: str | None, tensors: Tensors) -> str:
    """timm's name of the architecture.

    Raises:
        VitError: `like` is missing.
        UsageError: It has no `timm:`.
    """
    if like is None:
        raise VitError(f"{file} is a file of weights: {_advice(tensors, WAYS)}")
    if not like.startswith(SCHEME):
        raise UsageError(
            f"--model.like is {like}, expected {SCHEME}ARCHITECTURE, as in {SCHEME}vit_small_patch16_224"
        )
    return like.removeprefix(SCHEME)


def _no_weights(file: Path, name: str, names: list[str], way_out: str) -> str:
    first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{file} holds no weights of {SCHEME}{name}, its {len(names)} tensors are named {first}: {way_out}"


def _advice(tensors: Tensors, like: str = "--model.like {}") -> str:
    """The way out for a file that is not read as it was asked for."""
    if any("encoder.blocks.0.attention.query" in key for key in tensors):
        return "it is of vit itself, so name the run or the folder of the model"
    if any("embeddings.patch_embeddings" in key or "vision_model." in key for key in tensors):
        return "its names are those of transformers, and hf:FOLDER reads its folder"
    return way_out(tensors, like)


def _report(file: Path, converted: Converted, model: Any) -> str:
    """What was taken, what was left over, what is new, and how pictures are read."""
    rows, cols = model.positions.table.shape[:2]
    classes = model.architecture["classes"]
    left = ", ".join(f"{part} ({count})" for part, count in converted.left.items())
    return (
        f"{file}: {converted.taken} tensors taken{f' from {converted.place}' if converted.place else ''} as "
        f"{SCHEME}{converted.name}, {rows} x {cols} patches; left over: {left or 'none'}; "
        f"{f'its head of {classes} classes is taken' if classes else 'it has no head: that will be new'}; "
        f"{_pixels(converted, model.preprocess)}"
    )


def _pixels(converted: Converted, preprocess: Any) -> str:
    origin = converted.origin
    mean = ", ".join(f"{value:.3f}" for value in preprocess.mean)
    said = f"pictures have mean {mean}, as {origin or SCHEME + converted.name} has"
    others = [] if origin or "." in converted.name else pretrained_tags(converted.name, preprocess.mean)
    if not others:
        return said
    return (
        f"{said}; for {' or '.join(others)}, name the tag: --model.like {SCHEME}{converted.name}.{others[0]}"
    )
