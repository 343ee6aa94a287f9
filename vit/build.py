"""The one place where config becomes objects, and a MODEL word becomes a model."""

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vit.config import (
    DATASETS,
    AugmentConfig,
    Config,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Precision,
    nearest,
)
from vit.data import Augment, Mix, Preprocess, Splits, spread, statistics
from vit.data import load as load_splits
from vit.errors import VitError
from vit.inference.explain import explain
from vit.training.module import Classifier
from vit.training.optim import build_optimizer, rate
from vit.training.overlays import Overlays, one_of_each
from vit.vision import ConvTokenizer, VisionTransformer
from vit.weights import Bundle, from_timm, read_bundle
from vit.weights.bundle import is_bundle

HALF_FROM = 2e9  # products per picture: between a ViT-Ti/16, 1.1e9, and a ViT-S/16, 4.2e9, at 224 pixels
SHIPPED = Path(__file__).parent / "models"


def load_data(config: DataConfig) -> Splits:
    """The splits that a config names."""
    return load_splits(
        config.name,
        config.root,
        image_size=config.image_size,
        val_fraction=config.val_fraction,
        test_fraction=config.test_fraction,
        split_seed=config.split_seed,
        memory_gb=config.memory_gb,
    )


def named_data(word: str) -> DataConfig:
    """A dataset's name, a folder of class folders, or parquet -> its config.

    Raises:
        VitError: It is none of these.
    """
    if word in DATASETS:
        return DataConfig(name=word)  # type: ignore[arg-type]
    path = Path(word)
    if not path.exists():
        raise VitError(f"{word} is neither a dataset's name nor a path{nearest(word, list(DATASETS))}")
    parquet = path.suffix == ".parquet" or (path.is_dir() and any(path.glob("*.parquet")))
    return DataConfig(name="parquet" if parquet else "folder", root=word)


def preprocess_for(splits: Splits) -> Preprocess:
    """Preprocessing of the training pictures: their size, and the mean and spread of their pixels."""
    height, width = splits.train.size
    mean, std = statistics(splits.train)
    return Preprocess(height, width, splits.train.channels, mean, std)


def architecture(config: ModelConfig, classes: int, preprocess: Preprocess) -> dict[str, Any]:
    """Arguments of `VisionTransformer`, as plain values that JSON can hold."""
    arguments = vars(config) | {
        "classes": classes,
        "image_size": [preprocess.height, preprocess.width],
        "channels": preprocess.channels,
        "patch_size": _pair(config.patch_size),
    }
    return arguments


def vision_tower(arguments: dict[str, Any]) -> VisionTransformer:
    """A tower from `architecture`'s plain values.

    Raises:
        VitError: Unknown arguments, or ones that do not fit each other.
    """
    try:
        tuples = {name: tuple(arguments[name]) for name in ("image_size", "patch_size")}
        return VisionTransformer(**arguments | tuples)
    except KeyError as missing:
        raise VitError(f"the model cannot be built: its architecture lacks {missing}") from None
    except (TypeError, ValueError) as error:
        raise VitError(f"the model cannot be built: {error}") from None


def untrained(arguments: dict[str, Any], splits: Splits, preprocess: Preprocess) -> VisionTransformer:
    """A tower to be trained on these pictures, which set the conv tokenizer's whitening.

    Each branch of a block starts by adding nothing, so that the deepest tower starts as the shallowest.
    """
    model = vision_tower(arguments)
    blocks: Any = model.encoder.blocks
    for block in blocks:
        nn.init.zeros_(block.attention.output.weight)
        nn.init.zeros_(block.mlp.contract.weight)
    if isinstance(model.tokenizer, ConvTokenizer):
        places = spread(len(splits.train), 1024).split(32)
        model.tokenizer.adapt(preprocess.normalise(splits.train[some][0]) for some in places)
    return model


def classifier(config: Config, model: nn.Module, classes: int, preprocess: Preprocess) -> Classifier:
    """The Lightning module of a run."""
    optim = config.optim
    return Classifier(
        model,
        classes,
        augment=_augment(config.augment, config.seed, preprocess),
        normalise=preprocess.normalise,
        mix=Mix(config.augment.mixup, config.augment.cutmix, classes, config.seed),
        make_optimizer=_optimizer(optim),
        rate=partial(rate, warmup=optim.warmup, schedule=optim.schedule),
        label_smoothing=optim.label_smoothing,
    )


def overlays(config: Config, splits: Splits, preprocess: Preprocess, folder: Path) -> list[Overlays]:
    """The callback that draws a few validation pictures after each epoch; none where none are wanted."""
    chosen = one_of_each(splits.val.targets, config.trainer.overlays)
    if not chosen:
        return []
    pixels, targets, _ = splits.val[chosen]
    method = config.trainer.overlay_method

    def maps(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        found = explain(model, images, method)  # type: ignore[arg-type]
        return found.maps, found.logits

    truths = [splits.labels[target] for target in targets.tolist()]
    return [Overlays(folder / "overlays", pixels, truths, splits.labels, preprocess.normalise, maps, method)]


def precision(word: str, accelerator: str = "auto") -> str:
    """`auto` becomes bf16-mixed where the hardware computes in bf16, 16-mixed on older GPUs, else 32-true."""
    if word != "auto":
        return word
    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if accelerator in ("auto", "cpu"):
        found = torch.cpu.get_capabilities()
        return "bf16-mixed" if found.get("amx_bf16") or found.get("avx512_bf16") else "32-true"
    return "32-true"


def half_precision(word: str, model: VisionTransformer) -> torch.dtype | None:
    """The dtype that a model predicts in besides its weights' own; None is theirs alone.

    `auto` is half precision where this machine's best device has it, and the model is so large that its time
    is that of its matrix products: a small one stays exact.
    """
    height, width = model.image_size
    tokens = (height // model.patch_size[0]) * (width // model.patch_size[1])
    products = tokens * sum(parameter.numel() for parameter in model.encoder.parameters())
    if word == "auto" and products < HALF_FROM:
        return None
    chosen = precision(word, best_device().type)
    return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(chosen)


def best_device() -> torch.device:
    """The accelerator of this machine, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load_model(word: str | Path, *, precision: Precision = "32-true") -> VisionTransformer:
    """A model in eval mode, on the CPU, with `labels` and `preprocess`.

    Args:
        word: A run folder, a bundle folder, the name of a shipped model, or `timm:NAME`.
        precision: What `forward` computes in: `32-true`, exact and the default; `bf16-mixed` or `16-mixed`,
            matrix products in half precision; `auto`, as `vit predict` does: half precision for models from
            the size of a ViT-S where this machine's best device has it. Attribution is always exact.

    Raises:
        VitError: It is none of these, or it cannot be read.
    """
    if str(word).startswith("timm:"):
        model = _load_timm(str(word).removeprefix("timm:"))
    else:
        model = from_bundle(open_bundle(word))
    model.autocast = half_precision(precision, model)
    return model


def open_bundle(word: str | Path) -> Bundle:
    """The bundle of a run folder, a bundle folder, or a shipped model.

    Raises:
        VitError: There is none.
    """
    if str(word).startswith("hf:"):
        raise VitError(f"{word}: this version of vit reads no Hugging Face models; timm:NAME is one it reads")
    path = Path(word)
    for folder in (path / "model", path, SHIPPED / word):
        if is_bundle(folder):
            return read_bundle(folder)
    if (path / "checkpoints").is_dir():
        raise VitError(f"{word} is a run without a finished model: continue it with vit train --resume")
    known = [folder.name for folder in shipped_models()]
    raise VitError(
        f"{word} is not a model: expected a run folder, a bundle folder (config.json and model.safetensors), "
        f"timm:NAME, or a shipped model{nearest(str(word), known) if known else ' (none in this version)'}"
    )


def shipped_models() -> list[Path]:
    """Folders of the bundles inside the package."""
    return sorted(folder for folder in SHIPPED.glob("*") if is_bundle(folder))


def from_bundle(bundle: Bundle) -> VisionTransformer:
    """The model in a bundle, in eval mode.

    Raises:
        VitError: Weights, labels and architecture do not fit each other.
    """
    model = vision_tower(bundle.architecture)
    try:
        model.load_state_dict(bundle.weights)
    except RuntimeError as error:
        raise VitError(f"weights and architecture do not fit: {error}") from None
    classes = bundle.architecture["classes"]
    if len(bundle.labels) != classes:
        raise VitError(f"the bundle has {len(bundle.labels)} labels, expected {classes}: one for each class")
    model.labels = list(bundle.labels)
    model.preprocess = Preprocess.from_dict(bundle.preprocess)
    return model.eval()


def describe(word: str | Path) -> dict[str, Any]:
    """What a model is, in plain values: architecture, sizes, labels, preprocessing, scores."""
    model = load_model(word)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    blocks: Any = model.encoder.blocks
    facts: dict[str, Any] = {
        "parameters": parameters,
        "image_size": list(model.image_size),
        "patch_size": list(model.patch_size),
        "width": model.positions.table.shape[-1],
        "depth": len(blocks),
        "heads": blocks[0].attention.heads,
        "prefix_tokens": model.prefix,
        "pool": model.pool_kind,
        "labels": model.labels,
        "preprocess": None if model.preprocess is None else model.preprocess.to_dict(),
    }
    if not str(word).startswith("timm:"):
        bundle = open_bundle(word)
        facts |= {"scores": bundle.scores, "training": bundle.training}
    return facts


def fingerprint(model: VisionTransformer) -> str:
    """A digest of weights, labels, preprocessing and precision: models that share it give the same rows."""
    digest = sha256(repr((model, model.labels, model.preprocess, model.autocast)).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def match_channels(pixels: Tensor, channels: int) -> Tensor:
    """uint8 (B, 1 or 3, height, width) -> the same with the channels a model reads: grey to RGB or back.

    Luma is that of ITU-R 601, rounded as Pillow rounds it, so that a grey picture keeps its levels.
    """
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    luma = (pixels.int() * torch.tensor([19595, 38470, 7471]).view(3, 1, 1)).sum(1, keepdim=True)
    return (luma + 0x8000 >> 16).to(torch.uint8)


def _load_timm(name: str) -> VisionTransformer:
    import timm

    known = timm.list_models("vit*") + timm.list_models("deit*")
    if name.partition(".")[0] not in known:
        raise VitError(f"timm has no vision transformer {name}{nearest(name, known)}")
    try:
        theirs: Any = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's own errors have no common base
        raise VitError(
            f"timm:{name} could not be loaded ({type(error).__name__}: {error}): its weights are downloaded "
            "on first use and then kept in HF_HOME"
        ) from None
    model = from_timm(theirs)
    settings = timm.data.resolve_model_data_config(theirs)
    if settings["crop_mode"] != "center":
        raise VitError(f"timm:{name} wants its pictures {settings['crop_mode']}ed, which vit does not do")
    channels, height, width = settings["input_size"]
    model.preprocess = Preprocess(
        height,
        width,
        channels,
        tuple(settings["mean"]),
        tuple(settings["std"]),
        crop=settings["crop_pct"],
        interpolation=settings["interpolation"],
    )
    model.labels = _imagenet_labels(theirs.num_classes)
    return model


def _imagenet_labels(classes: int) -> list[str]:
    from timm.data import ImageNetInfo

    if classes != 1000:
        return [str(index) for index in range(classes)]
    names = ImageNetInfo("imagenet-1k")
    return [names.index_to_description(index) for index in range(classes)]


def _augment(config: AugmentConfig, seed: int, preprocess: Preprocess) -> Augment:
    return Augment(
        seed,
        preprocess.mean,
        preprocess.std,
        crop=config.crop,
        padding=config.padding,
        scale=config.scale,
        flip=config.flip,
        policy=config.policy,
        rand_ops=config.rand_ops,
        rand_magnitude=config.rand_magnitude,
        erase=config.erase,
    )


def _optimizer(config: OptimConfig) -> Any:
    return partial(
        build_optimizer,
        name=config.name,
        lr=config.lr,
        muon_lr=config.muon_lr,
        weight_decay=config.weight_decay,
        betas=config.betas,
    )


def _pair(size: int | tuple[int, int]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)
