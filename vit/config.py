"""The config of a training run, as plain dataclasses. Imports no torch.

One dataclass per section of a YAML file in `configs/`; their docstrings are the help of `vit train`. The file
is read in `vit/config_file.py`, ranges are in `vit/ranges.py`, and `vit/recipes/` builds the objects.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

RUNS = Path("runs")
USUAL_LENGTH = 128  # of a text that is trained on from scratch, in tokens

MODEL_HELP = (
    "run folder, bundle folder, shipped model, minilm, timm:NAME_OR_FOLDER, hf-hub:OWNER/NAME, "
    "hf:REPO_OR_FOLDER"
)

# As Lightning's: of the weights, and of the matrix products.
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
Compile = bool | Literal["auto"]
LoggerName = Literal["csv", "tensorboard", "wandb", "trackio"]


@dataclass
class DataConfig:
    """The dataset, and how it is split.

    Args:
        name: A dataset, or the format of the data at `root`: `folder` (one folder of images per class),
            `parquet` (images), `text` (TSV, CSV, JSONL or parquet), or `lines`: texts without labels, on
            which a language model is trained (a line of .txt, a row of a table).
        root: Folder or file of the dataset. None: `$VIT_DATA/NAME`, for texts `$VIT_DATA/text/NAME`, for
            formats of texts `$VIT_DATA/text`.
        image_size: Pixels the model sees, one side or [height, width]. None: the dataset's own size, or with
            `model.init` that of the weights.
        batch_size: Images or texts per step.
        val_fraction: Fraction of train held out for validation, class by class, where the dataset has no
            validation split.
        test_fraction: Fraction held out for the final test, where the dataset has a training split alone.
        split_seed: Seed of these splits; not the run's seed, so that runs can be compared.
        memory_gb: Datasets whose pixels fit in this many GB are decoded once; larger ones batch by batch.
        resize: How a picture of other proportions is fitted: `crop` its centre, `squash`, or `pad`. None: as
            the weights of `model.init` were trained, else `crop`.
        group: A regular expression, searched in a path relative to the root; files with the same first group
            are never divided between train, val and test.
        cache: Keep decoded pixels in $VIT_CACHE, and take them from there.
        input_column: The column of a table with the texts, or the paths of pictures. None: a usual name.
        label_column: The column of a table with the labels. None: a usual name.
        label_separator: Divides several labels in one field, for a model of several labels.
        label_columns: Columns with 0, 1 or nothing, one for each label, for a model of several labels.
        balance: Classes of unequal size: `weights` of the loss, n / (classes * n_class); `sampler`: draw
            training examples with replacement, all classes as often; `none`. Validation is not weighted.
            With several labels: `weights` is n_negative / n_positive of each label, 1/20 to 20.
    """

    name: str = "cifar10"
    root: str | None = None
    image_size: int | tuple[int, int] | None = None
    batch_size: int = 128
    val_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: int = 0
    memory_gb: float = 4.0
    resize: Literal["crop", "squash", "pad"] | None = None
    group: str | None = None
    cache: bool = True
    input_column: str | None = None
    label_column: str | None = None
    label_separator: str | None = None
    label_columns: tuple[str, ...] = ()
    balance: Literal["none", "weights", "sampler"] = "none"


@dataclass
class AugmentConfig:
    """Augmentation of training images: a function of (seed, epoch, index), and of progress with `grow_from`.

    With `model.freeze` there is none.

    Args:
        crop: `pad`: shift by up to `padding`; `resized`: a random box of `scale` area, resized; `none`.
        padding: Largest shift, as a fraction of the side.
        scale: Smallest and largest area of a resized crop, as fractions of the image.
        flip: Mirror every image left to right in every other epoch.
        policy: `trivial`: TrivialAugment; `rand`: RandAugment; `none`.
        rand_ops: RandAugment's operations per image.
        rand_magnitude: RandAugment's strength, 0 to 30.
        erase: Probability of erasing a rectangle.
        mixup: Alpha of mixup; 0 is off.
        cutmix: Alpha of cutmix; 0 is off. With mixup too, each batch draws one of the two.
        grow_from: Side of the images when the run begins, over their full side; 1 is off.
        grow_until: Fraction of the run after which they have their full size.
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
    """Tokenization of texts.

    With `model.init` the tokenizer is that of the weights, and `length` and `blank` alone apply.

    Args:
        vocabulary: Largest number of ids of the tokenizer, which is trained on the training texts.
        length: Most tokens of a text; a longer text loses its end, and in a language model it is cut into
            windows. None: 128, or with `model.init` as many as the weights were trained for.
        lowercase: Fold case, and strip accents.
        pieces: `bpe`: words or parts of words, in a language model made of bytes. `words`: whole words; those
            that occur once are unknown.
        blank: Probability that a training token is replaced by the mask token; a target never is.
    """

    vocabulary: int = 8000
    length: int | None = None
    lowercase: bool = True
    pieces: Literal["bpe", "words"] = "bpe"
    blank: float = 0.0


@dataclass
class ModelConfig:
    """The weights to start from; or the image tower, and the sizes of the text tower.

    With `init` the architecture is that of the weights, and `drop_path` and `dropout` alone are chosen here.

    Args:
        init: Weights to start from: any MODEL (a run, a bundle, a shipped model, `minilm`, `timm:NAME`,
            `hf:REPO_OR_FOLDER`), or a file of weights and `like`. The head is new unless the labels are the
            same. Statistics of BatchNorm layers stay as they are. None: from scratch.
        like: The architecture of a file of weights: `timm:ARCHITECTURE`.
        key: Which entry of the file holds the weights, where there are several.
        freeze: Train the head alone. What it reads is computed once.
        patch_size: Pixels per patch, one side or [height, width].
        tokenizer: `patch`: one linear map per patch; `conv`: 3x3 convolutions that halve the image until a
            patch, a power of two, is one token. For texts, `conv` is one convolution over three tokens.
        stem: Channels of the convolutions after each halving but the last. null: doubling up to `width`.
        width: D, the width of a token.
        depth: L, the number of blocks.
        heads: H, the number of attention heads.
        mlp_ratio: Hidden width of the MLP over `width`.
        class_token: Put a class token before the patches.
        registers: Register tokens after the class token.
        positions: `learned`, fixed `sincos`, or `rotary` in attention.
        tied: Of a language model: the head's matrix is that of the token embedding (Press & Wolf 2017).
        pool: What the head reads: the class token, the mean of the patches, or an attention pool.
        qkv_bias: Bias on the query, key and value projections.
        layer_scale: Initial value of LayerScale; null is none.
        drop_path: Stochastic depth at the last block; earlier blocks get proportionally less.
        dropout: Dropout of the projections and the MLP.
    """

    init: str | None = None
    like: str | None = None
    key: str | None = None
    freeze: bool = False
    patch_size: int | tuple[int, int] = 4
    tokenizer: Literal["patch", "conv"] = "patch"
    stem: tuple[int, ...] | None = None
    width: int = 192
    depth: int = 6
    heads: int = 3
    mlp_ratio: float = 2.0
    class_token: bool = True
    registers: int = 0
    positions: Literal["learned", "sincos", "rotary"] = "learned"
    tied: bool = False
    pool: Literal["cls", "mean", "attention"] = "cls"
    qkv_bias: bool = True
    layer_scale: float | None = None
    drop_path: float = 0.0
    dropout: float = 0.0


@dataclass
class OptimConfig:
    """Optimiser, schedule and loss.

    Args:
        name: `adamw`, or `muon`: Muon for the matrices of blocks and for kernels, AdamW for the rest.
        lr: Peak learning rate of AdamW.
        muon_lr: Peak learning rate of Muon.
        weight_decay: Decoupled decay, on matrices only.
        betas: AdamW's decay of the averaged gradient and of the averaged squared gradient.
        warmup: Fraction of the run in which the learning rate rises from zero.
        schedule: The learning rate after that: `cosine`, `linear` or `constant`.
        label_smoothing: Probability spread over the other classes; with several labels, how far targets move
            toward 1/2.
        clip: Largest gradient norm; 0 is off.
        ema: Decay of the averaged weights that are validated and kept; 0 is off.
        layer_decay: Learning rates of layers: the head has the whole rate, each block this factor times that
            of the block after it, and what is before the blocks once more (Clark et al. 2020; Bao et al.
            2022). 1: all the same.
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
    layer_decay: float = 1.0


@dataclass
class TrainerConfig:
    """How long, and on what. The run ends at `max_epochs` or `max_time`, whichever comes first.

    Args:
        max_epochs: Passes over the training examples.
        max_time: Wall clock as DD:HH:MM:SS; the schedule follows it to its end.
        precision: `auto`: bf16-mixed where the hardware has bf16, 16-mixed on older GPUs, else 32-true.
        accelerator: As Lightning's.
        devices: As Lightning's: a number, or `auto`; under torchrun, the processes that it started.
        num_nodes: Machines.
        strategy: As Lightning's: `auto`, `ddp`, `fsdp`, ...; or `fsdp2`, which shards the weights.
        accumulate: Batches per optimiser step.
        patience: Epochs without a better validation accuracy (with several labels, mean average precision; of
            a language model, perplexity), or as good a one with a lower loss, after which training ends; 0 is
            off. The schedule stays.
        save_every: Seconds between checkpoints within an epoch, at most; each epoch ends with one, too.
        compile: Compile the training step with torch.compile, one graph for each size of the images. `auto`:
            on a GPU, in runs of more than a few minutes.
        on_cpu: The shipped config that is made for a machine without a GPU; where this one runs on such, it
            is named, with the time that this one takes. None: this one.
        progress: Show the progress bar (on a terminal; a line per epoch elsewhere).
        logger: Where figures and overlays go beside `metrics.csv` and `steps.csv`: `csv`: nowhere else;
            `tensorboard`: the run folder; `wandb` (Weights & Biases) or `trackio`, with the package of that
            name.
        overlays: Validation images whose attention is drawn after each epoch, to `overlays/`; 0 is none.
        overlay_method: Attribution method of these overlays, see `vit attend --help`.
    """

    max_epochs: int | None = 20
    max_time: str | None = None
    precision: Precision = "auto"
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    accumulate: int = 1
    patience: int = 0
    save_every: float = 300.0
    compile: Compile = "auto"
    on_cpu: str | None = None
    progress: bool = True
    logger: LoggerName = "tensorboard"
    overlays: int = 8
    overlay_method: str = "relevance"


@dataclass
class Config:
    """One training run.

    Args:
        seed: Decides initial weights, order and augmentation.
        data: The dataset.
        augment: Augmentation of training images.
        text: Tokenization of texts.
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


def nearest(word: str, known: list[str]) -> str:
    """The end of a message about an unknown name: the nearest known one; of a few, all where none is near."""
    close = get_close_matches(word, known, n=1, cutoff=0.5 if len(known) <= 20 else 0.0)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(known)}"
