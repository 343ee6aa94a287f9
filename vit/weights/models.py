"""From a MODEL word to a model."""

from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from vit.bundle import CONFIG, WEIGHTS, Bundle, is_bundle, read_bundle, with_shared
from vit.config import Precision, nearest
from vit.core import BlockSpec, Tower
from vit.data.preprocess import Preprocess
from vit.device import autocast_dtype
from vit.errors import UsageError, VitError
from vit.text import TextTransformer, Tokenizer
from vit.text.matching import is_encoder_decoder
from vit.text.seq2seq import EncoderDecoder
from vit.vision import VisionTransformer
from vit.weights.files import ENDINGS, model_from_file
from vit.weights.huggingface.folder import (
    PACKAGED,
    huggingface_folder,
    huggingface_model,
    packaged_folder,
    scheme_of,
)
from vit.weights.on_disk import digest
from vit.weights.timm.source import TIMM_SCHEMES, timm_model
from vit.weights.unfinished import BEST, is_unfinished, read_unfinished

SHIPPED = Path(__file__).parents[1] / "pretrained"


TOWERS: dict[str, Any] = {"vision": VisionTransformer, "text": TextTransformer, "seq2seq": EncoderDecoder}
# What a bundle of version 0.1 may leave out, where it is not the default of `BlockSpec`.
BLOCK_DEFAULTS: dict[str, dict[str, Any]] = {
    "vision": {"width": 192, "heads": 3, "mlp_ratio": 4.0},
    "text": {"width": 384, "heads": 12, "mlp_ratio": 4.0, "norm": "post", "norm_eps": 1e-12},
}
IN_BLOCK = {field.name for field in fields(BlockSpec)}


# How version 0.1 printed a model: its jobs are continued where nothing but names has changed.
FORMER_NAMES = {"(token_embedding)": "(words)", ", resize='crop'": "", ", fast_jpeg=False": ""}
FORMER_NAMES |= {", fill=None": "", ", follows='torchvision'": ""}


def make_tower(arguments: dict[str, Any]) -> Any:
    """A tower from the plain values in a bundle.

    Args:
        arguments: Those of the tower and of its `BlockSpec`, side by side; `tower` says which tower, and is
            `vision` if missing.

    Raises:
        VitError: Unknown arguments, or ones that do not fit each other.
    """
    kind = str(arguments.get("tower", "vision"))
    if kind not in TOWERS:
        raise VitError(f"the architecture has tower {kind!r}, expected one of: {', '.join(TOWERS)}")
    block = BLOCK_DEFAULTS.get(kind, {}) | {name: arguments[name] for name in IN_BLOCK & arguments.keys()}
    rest = {name: value for name, value in arguments.items() if name not in IN_BLOCK | {"tower"}}
    if kind in BLOCK_DEFAULTS:
        # Version 0.1 had no `pool_block`: its attention pools had biases and GELU, whatever the blocks had.
        rest.setdefault("pool_block", block | {"activation": "gelu", "qkv_bias": True, "output_bias": True})
    try:
        rest |= {name: tuple(rest[name]) for name in ("image_size", "patch_size") if name in rest}
        if rest.get("pool_block") is not None:
            rest["pool_block"] = BlockSpec(**rest["pool_block"])
        return TOWERS[kind](**rest, block=BlockSpec(**block))
    except (TypeError, ValueError) as error:
        raise VitError(f"the model cannot be built: {error}") from None


def load_model(
    word: str | Path, *, like: str | None = None, key: str | None = None, precision: Precision = "32-true"
) -> Any:
    """An image or text model in eval mode, on the CPU, with `labels`, `preprocess` and `source`.

    Args:
        word: A run folder, a bundle folder, the name of a shipped model, `minilm`, `timm:NAME_OR_FOLDER`,
            `hf-hub:OWNER/NAME`, or `hf:REPO_OR_FOLDER`; or a file of weights, whose architecture `like`
            names.
        like: `timm:ARCHITECTURE`, for a file of weights.
        key: Which entry of the file holds the weights, where there are several.
        precision: What `forward` computes in: `32-true`, exact and the default; `bf16-mixed` or `16-mixed`,
            matrix products in half precision; `auto`, as `vit predict` does: half precision for models from
            the size of a ViT-S where this machine's best device has it. Attribution is always exact.

    Returns:
        `vit.vision.VisionTransformer`, `vit.text.TextTransformer` or `vit.text.seq2seq.EncoderDecoder`.

    Raises:
        VitError: It is none of these, or it cannot be read.
        UsageError: `like` or `key` is wrong, or given for something else than a file of weights.
    """
    source, _, name = str(word).partition(":")
    if _is_file_of_weights(word):
        model: Tower = model_from_file(Path(word), like, key)
    elif like is not None or key is not None:
        raise UsageError(_no_file(word, like, key))
    elif source == "timm" and name:
        model = timm_model(name)
    elif source in TIMM_SCHEMES and name:
        model = timm_model(str(word))
    elif source == "hf" and name:
        model = huggingface_model(huggingface_folder(name))
    elif str(word) in PACKAGED:
        model = huggingface_model(packaged_folder(str(word)))
    else:
        model = from_bundle(open_bundle(word))
    model.source = {"word": str(word)} | model.source
    model.autocast = autocast_dtype(precision, multiplications(model))
    return model


def weights_card(model: Tower) -> dict[str, str]:
    """Where a model's weights come from: `word`, and where known `sha256` and `license`.

    Args:
        model: From `load_model`. Of a bundle the file of the weights is read, for its hash.
    """
    word = model.source["word"]
    if "sha256" in model.source or not is_bundled(word):
        return model.source
    folder = _bundle_folder(word)
    file = Path(word) / BEST if folder is None else folder / WEIGHTS
    return model.source | {"sha256": digest([file])}


def multiplications(model: Tower) -> float:
    """Of the encoder's matrix products, for one input of the usual size."""
    return model.usual_tokens * sum(parameter.numel() for parameter in model.encoder.parameters())


def is_bundled(word: str | Path) -> bool:
    """Whether a MODEL word names a bundle, and not another library's files or a file of weights."""
    scheme = str(word).partition(":")[0]
    named = scheme in ("timm", "hf", *TIMM_SCHEMES) or str(word) in PACKAGED
    return not named and not _is_file_of_weights(word)


def _is_file_of_weights(word: str | Path) -> bool:
    return Path(word).suffix in ENDINGS and Path(word).is_file()


def _no_file(word: str | Path, like: str | None, key: str | None) -> str:
    """The message about `like` or `key` for what is no file of weights."""
    path = Path(word)
    if path.is_file():
        return f"{word} is not a file of weights, whose name ends in {', '.join(ENDINGS)}"
    if is_bundled(word) and not path.exists() and _bundle_folder(word) is None:
        return f"there is no file {word}"
    option = f"--model.key is {key}" if like is None else f"--model.like is {like}"
    return f"{option}, and {word} is not a file of weights: leave it out"


def _bundle_folder(word: str | Path) -> Path | None:
    """The folder of a finished bundle that a MODEL word names."""
    path = Path(word)
    return next((folder for folder in (path / "model", path, SHIPPED / path) if is_bundle(folder)), None)


def open_bundle(word: str | Path) -> Bundle:
    """The bundle of a run folder, a bundle folder, or a shipped model; of an unfinished run, its best model.

    Raises:
        VitError: There is none.
    """
    path = Path(word)
    folder = _bundle_folder(word)
    if folder in (None, path) and (scheme := scheme_of(path)):
        raise VitError(f"{word} is not a bundle of vit; did you mean {scheme}{word}?")
    if folder is not None:
        return read_bundle(folder)
    if is_unfinished(path):
        return read_unfinished(path)
    if (path / "checkpoints").is_dir() or (path / "model" / CONFIG).is_file():
        raise VitError(f"{word} is a run without a finished model: continue it with vit train --resume")
    if path.suffix in ENDINGS and not path.exists():
        raise VitError(f"there is no file {word}")
    known = [*PACKAGED, *(folder.name for folder in shipped_models())]
    raise VitError(
        f"{word} is not a model: expected a run folder, a bundle folder (config.json and model.safetensors), "
        "timm:NAME, timm:FOLDER, hf-hub:OWNER/NAME, hf:REPO_OR_FOLDER, a file of weights, or a named model"
        f"{nearest(str(word), known)}"
    )


def shipped_models() -> list[Path]:
    """Folders of the bundles inside the package."""
    return sorted(folder for folder in SHIPPED.glob("*") if is_bundle(folder))


def from_bundle(bundle: Bundle) -> Tower:
    """The model in a bundle, in eval mode.

    Raises:
        VitError: Weights, labels and architecture do not fit each other.
    """
    model = described_tower(bundle)
    try:
        model.load_state_dict(with_shared(model, bundle.weights))
    except RuntimeError as error:
        raise VitError(f"weights and architecture do not fit: {error}") from None
    return model


def described_tower(bundle: Bundle) -> Any:
    """The tower that a bundle describes, in eval mode, with initial weights.

    Without labels its head, if it has one, is no classifier: a projection, for example.

    Raises:
        VitError: Labels, preprocessing and architecture do not fit each other.
    """
    model = make_tower(bundle.architecture)
    classes = bundle.architecture.get("classes", 0)  # an encoder-decoder has none
    if len(bundle.labels) not in (0, classes):
        raise VitError(f"the bundle has {len(bundle.labels)} labels, expected {classes}: one for each class")
    if len(bundle.thresholds) not in (0, classes):
        raise VitError(
            f"the bundle has {len(bundle.thresholds)} thresholds, expected {classes}, one for each label, "
            "or none"
        )
    model.labels, model.thresholds = list(bundle.labels), list(bundle.thresholds)
    init = bundle.training.get("init", {})
    model.source = {"license": init["license"]} if "license" in init else {}
    if model.reads == "text":
        if bundle.tokenizer is None:
            raise VitError("the bundle has no tokenizer.json, which a model of texts needs: copy it whole")
        model.preprocess = Tokenizer.from_dict(bundle.tokenizer, bundle.preprocess)
    else:
        model.preprocess = Preprocess.from_dict(bundle.preprocess)
    return model.eval()


def describe(word: str | Path) -> dict[str, Any]:
    """What a model is, in plain values: architecture, sizes, labels, preprocessing, scores."""
    model = load_model(word)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    blocks: Any = model.encoder.blocks
    facts: dict[str, Any] = {
        "parameters": parameters,
        **_input_facts(model),
        "width": model.architecture["width"],
        "depth": len(blocks),
        "heads": blocks[0].attention.heads,
        **({"decoder_depth": len(model.decoder.blocks)} if is_encoder_decoder(model) else {}),
        **({"pool": model.architecture["pool"]} if "pool" in model.architecture else {}),
        "labels": model.labels,
        **({"thresholds": model.thresholds} if model.thresholds else {}),
        "preprocess": None if model.preprocess is None else model.preprocess.to_dict(),
        "source": weights_card(model),
    }
    if is_bundled(word):
        bundle = open_bundle(word)
        facts |= {"scores": bundle.scores, "training": bundle.training}
    return facts


def _input_facts(model: Any) -> dict[str, Any]:
    """What a tower takes as input."""
    if model.reads == "text":
        return {"vocabulary": model.token_embedding.num_embeddings, "length": model.length}
    sizes = {"image_size": list(model.image_size), "patch_size": list(model.patch_size)}
    return sizes | {"prefix_tokens": model.prefix}


def fingerprint(model: Any) -> str:
    """A digest of weights, labels, preprocessing and precision: models that share it give the same rows.

    Parameters are digested under the names that version 0.1 gave them, so that an interrupted job which it
    began is continued.
    """
    printed = repr((model, model.labels, model.preprocess, model.autocast, *model.thresholds))
    for name, former in FORMER_NAMES.items():
        printed = printed.replace(name, former)
    key = sha256(printed.encode())
    if model.reads == "text" and model.preprocess is not None:
        key.update(model.preprocess.definition.encode())
    state = {name.replace("token_embedding.", "words."): part for name, part in model.state_dict().items()}
    for name, tensor in sorted(state.items()):
        key.update(name.encode())
        key.update(tensor_bytes(tensor))
    return key.hexdigest()[:16]


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """The values of a tensor on any device, for a hash."""
    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
