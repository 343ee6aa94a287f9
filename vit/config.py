"""What a run is made of, as plain dataclasses, and the strict loader. Imports no torch.

One dataclass per section of a YAML file in `configs/`. `vit train --help` lists the same names with the
same defaults; `vit/recipes/` is the one place that turns them into objects.
"""

from argparse import ArgumentError
from dataclasses import MISSING, asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from vit.errors import UsageError

RUNS = Path("runs")
TEXTS = ("sst2", "trec", "text")  # datasets of texts
DATASETS = ("cifar10", "cifar100", "digits", "sst2", "trec")  # those that are found by their name alone

MODEL_HELP = "run folder, bundle folder, shipped model, minilm, timm:NAME, hf:REPO_OR_FOLDER"

# In Lightning's words: of the weights, and of the matrix products.
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]

# Methods of `vit attend` that need at most one backward pass; occlusion and rise need many passes.
QuickMethod = Literal["raw", "rollout", "grad_rollout", "relevance", "legrad"]
QUICK_METHODS: tuple[str, ...] = get_args(QuickMethod)


@dataclass
class DataConfig:
    """Where the pictures or texts come from and how they are split.

    Args:
        name: The kind of dataset; `sst2`, `trec` and `text` (TSV, CSV, JSONL, parquet) hold texts.
        root: Folder or file of the dataset. None: `$VIT_DATA/NAME`, of texts `$VIT_DATA/text/NAME`.
        image_size: Pixels the model sees, one side or [height, width]. None: the dataset's own size.
        batch_size: Pictures or texts per step.
        val_fraction: Part of train held out for validation, stratified by class, where the dataset has none.
        test_fraction: Part held out for the final figure, where the dataset brings train alone.
        split_seed: Seed of these splits; not the run's seed, so that runs can be compared.
        memory_gb: Datasets whose pixels fit in this many GB are decoded once; larger ones batch by batch.
    """

    name: Literal["cifar10", "cifar100", "digits", "folder", "parquet", "sst2", "trec", "text"] = "cifar10"
    root: str | None = None
    image_size: int | tuple[int, int] | None = None
    batch_size: int = 128
    val_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: int = 0
    memory_gb: float = 4.0


@dataclass
class AugmentConfig:
    """What happens to a training picture. A function of (seed, epoch, index), never of chance elsewhere.

    Its size alone follows the progress of the run.

    Args:
        crop: `pad`: shift by up to `padding`; `resized`: a box of `scale` area, resized; `none`.
        padding: Largest shift, as a fraction of the side.
        scale: Smallest and largest area of a resized crop, as fractions of the picture.
        flip: Mirror every picture left to right in every other epoch.
        policy: `trivial`: TrivialAugment; `rand`: RandAugment; `none`.
        rand_ops: RandAugment's operations per picture.
        rand_magnitude: RandAugment's strength, 0 to 30.
        erase: Probability of erasing a rectangle.
        mixup: Alpha of mixup; 0 is off.
        cutmix: Alpha of cutmix; 0 is off. With mixup too, each batch draws one of the two.
        grow_from: Side of the pictures when the run begins, over their full side; 1 is off.
        grow_until: Part of the run from which they have their full size.
    """

    crop: Literal["none", "pad", "resized"] = "pad"
    padding: float = 0.125
    scale: tuple[float, float] = (0.35, 1.0)
    flip: bool = True
    policy: Literal["none", "trivial", "rand"] = "none"
    rand_ops: int = 2
    rand_magnitude: int = 9
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    grow_from: float = 1.0
    grow_until: float = 0.7


@dataclass
class TextConfig:
    """How texts become tokens, and where their tower starts from.

    Args:
        vocabulary: Largest number of ids of the tokenizer, which is trained on the training texts.
        length: Longest text in tokens; a longer one loses its end.
        lowercase: Fold case, and strip accents.
        pieces: `bpe`: words or parts of words. `words`: whole words; those that come once are unknown.
        blank: Part of the tokens that are blanked out at random while training.
        start: A text model to go on from, with its tokenizer: `minilm`, a run, a bundle, `hf:REPO_OR_FOLDER`.
            None: from scratch, with the sizes in `model`.
    """

    vocabulary: int = 8000
    length: int = 128
    lowercase: bool = True
    pieces: Literal["bpe", "words"] = "bpe"
    blank: float = 0.0
    start: str | None = None


@dataclass
class ModelConfig:
    """The image tower, and the sizes of the text tower.

    Args:
        patch_size: Pixels per patch, one side or [height, width].
        tokenizer: `patch`: one linear map per patch; `conv`: 3x3 convolutions that halve the picture until a
            patch, a power of two, is one token. Of texts, `conv` is one convolution over three tokens.
        stem: Channels of the convolutions after each halving but the last. null: doubling up to `width`.
        width: D, the width of a token.
        depth: L, the number of blocks.
        heads: H, the number of attention heads.
        mlp_ratio: Hidden width of the MLP over `width`.
        class_token: Put a class token before the patches.
        registers: Register tokens after the class token.
        positions: `learned` or fixed `sincos`.
        pool: What the head reads: the class token, the mean of the patches, or an attention pool.
        qkv_bias: Bias on the query, key and value projections.
        layer_scale: Initial value of LayerScale; null is none.
        drop_path: Stochastic depth at the last block; earlier blocks get proportionally less.
        dropout: Dropout of the projections and the MLP.
    """

    patch_size: int | tuple[int, int] = 4
    tokenizer: Literal["patch", "conv"] = "patch"
    stem: tuple[int, ...] | None = None
    width: int = 192
    depth: int = 6
    heads: int = 3
    mlp_ratio: float = 2.0
    class_token: bool = True
    registers: int = 0
    positions: Literal["learned", "sincos"] = "learned"
    pool: Literal["cls", "mean", "attention"] = "cls"
    qkv_bias: bool = True
    layer_scale: float | None = None
    drop_path: float = 0.0
    dropout: float = 0.0


@dataclass
class OptimConfig:
    """Optimiser, schedule and loss.

    Args:
        name: `adamw`, or `muon`: Muon for matrices of blocks and kernels beside AdamW for the rest.
        lr: Peak learning rate of AdamW.
        muon_lr: Peak learning rate of Muon.
        weight_decay: Decoupled decay, on matrices only.
        betas: AdamW's averaging of gradient and squared gradient.
        warmup: Part of the run in which the rate rises from zero.
        schedule: How it falls after that: `cosine`, `linear` or `constant`.
        label_smoothing: Probability spread over the other classes.
        clip: Largest gradient norm; 0 is off.
        ema: Decay of the averaged weights that are validated and kept; 0 is off.
    """

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    muon_lr: float = 0.02
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: float = 0.05
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    label_smoothing: float = 0.1
    clip: float = 1.0
    ema: float = 0.0


@dataclass
class TrainerConfig:
    """How long, and on what. The run ends at `max_epochs` or `max_time`, whichever comes first.

    Args:
        max_epochs: Passes over the training pictures.
        max_time: Wall clock as DD:HH:MM:SS; the schedule follows it to its end.
        precision: `auto`: bf16-mixed where the hardware has bf16, 16-mixed on older GPUs, else 32-true.
        accelerator: As Lightning's.
        devices: As Lightning's: a number, or `auto`, which under torchrun is what it began.
        num_nodes: Machines.
        strategy: As Lightning's: `auto`, `ddp`, `fsdp`, ...; or `fsdp2`, which divides the weights.
        accumulate: Batches per optimiser step.
        save_every: Seconds between checkpoints within an epoch, at most; each epoch ends with one, too.
        compile: Compile the model with torch.compile.
        progress: Show the progress bar (on a terminal; a line per epoch elsewhere).
        overlays: Validation pictures whose attention is drawn after each epoch, to `overlays/`; 0 is none.
        overlay_method: Method of these pictures, see `vit attend --help`.
    """

    max_epochs: int | None = 20
    max_time: str | None = None
    precision: Precision = "auto"
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    accumulate: int = 1
    save_every: float = 300.0
    compile: bool = False
    progress: bool = True
    overlays: int = 8
    overlay_method: QuickMethod = "relevance"


@dataclass
class Config:
    """One training run.

    Args:
        seed: Decides initial weights, order and augmentation.
        data: The pictures.
        augment: What happens to pictures in training.
        text: How texts are read.
        model: The tower.
        optim: Optimiser, schedule, loss.
        trainer: How long, and on what.
    """

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def config_folder() -> Path:
    """Where the shipped configs are: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


def config_file(word: str) -> Path:
    """A path, or the name of a shipped config.

    Raises:
        UsageError: It is neither; the nearest shipped name is given.
    """
    path = Path(word)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(config_folder().glob("*.yaml"))}
    if word in shipped:
        return shipped[word]
    raise UsageError(f"--config {word}: no such file or shipped config{nearest(word, list(shipped))}")


def nearest(word: str, known: list[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of a few."""
    close = get_close_matches(word, known, n=1, cutoff=0.5 if len(known) <= 20 else 0.0)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(known)}"


def add_config_arguments(parser: ArgumentParser) -> None:
    """Add `--config` and an option for every field of `Config`."""
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file or a shipped config's name")
    parser.add_class_arguments(Config)


def resolve_config(argv: list[str]) -> list[str]:
    """Put `--config` first, as the path of a file that has been checked, so that every option wins over it.

    Args:
        argv: The words after the verb. Without `--config` it is `cifar10`.

    Raises:
        UsageError: No such config, more than one, or a key in it that does not exist.
    """
    rest, named = [], []
    words = iter(argv)
    for word in words:
        if word == "--config":
            named.append(next(words, ""))
        elif word.startswith("--config="):
            named.append(word.removeprefix("--config="))
        else:
            rest.append(word)
    if len(named) > 1:
        raise UsageError(f"--config is given {len(named)} times, expected once")
    file = config_file(named[0] if named else "cifar10")
    _check_keys(file)
    return [f"--config={file}", *rest]


def _check_keys(file: Path) -> None:
    """Refuse keys that do not exist, before anything is read into objects."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{file} cannot be read: {_one_line(error)}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{file} holds {type(content).__name__}, expected sections such as data and model")
    sections: dict[str, Any] = {part.name: part.default_factory for part in fields(Config)}
    for key, value in content.items():
        if key not in sections:
            raise UsageError(f"{file}: unknown key {key}{nearest(str(key), list(sections))}")
        section = sections[key]
        if section is MISSING:
            continue
        if not isinstance(value, dict):
            raise UsageError(f"{file}: {key} is {value!r}, expected a section with keys of its own")
        known = [part.name for part in fields(section)]
        for name, one in value.items():
            if isinstance(one, dict) or (isinstance(one, str) and "${" in one):
                raise UsageError(
                    f"{file}: {key}.{name} is {one!r}, expected a plain value: nothing is filled in here"
                )
            if name not in known:
                full = [f"{key}.{part}" for part in known]
                raise UsageError(f"{file}: unknown key {key}.{name}{nearest(f'{key}.{name}', full)}")


def to_yaml(config: Config) -> str:
    """The whole config as YAML that runs again."""
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False)


def _plain(value: Any) -> Any:
    """Tuples as lists, which is all that YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def to_config(arguments: Namespace) -> Config:
    """What the parser read, as a `Config`."""
    sections = {
        part.name: part.default_factory(**vars(arguments[part.name]))
        for part in fields(Config)
        if part.default_factory is not MISSING
    }
    return Config(seed=arguments.seed, **sections)


def stored_config(file: Path) -> Config:
    """The config that a run has written.

    Raises:
        UsageError: It has keys or values that this version does not know.
    """
    _check_keys(file)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Config)
    try:
        return to_config(parser.parse_path(file))
    except (ArgumentError, TypeError) as error:
        raise UsageError(f"{file}: {_one_line(error)}") from None


# Of `trainer`, what may change when a run is resumed.
OPEN_TO_CHANGE = (
    "max_epochs", "max_time", "accelerator", "devices", "num_nodes", "save_every", "progress", "overlays",
    "overlay_method",
)  # fmt: skip


def first_difference(file: Path, config: Config) -> str | None:
    """Where a stored config and this one differ: one line, or None.

    How long a run goes on, where, and what it shows may change when it is resumed; what it is may not.
    """
    stored = asdict(stored_config(file))
    now_all = asdict(config)
    for name in OPEN_TO_CHANGE:
        now_all["trainer"][name] = stored["trainer"][name]
    for key, now in now_all.items():
        before = stored[key]
        if before == now:
            continue
        if not isinstance(now, dict):
            return f"{key} is {now}, and was {before} in {file}"
        name = next(name for name, value in now.items() if before[name] != value)
        return f"{key}.{name} is {now[name]}, and was {before[name]} in {file}"
    return None
