"""Train small vision transformers of other libraries on CIFAR-10: same data, same wall-clock time.

pip install vit-pytorch                                            # for CCT
VIT_DATA=... python scripts/train_peers.py timm --minutes 30
VIT_DATA=... python scripts/train_peers.py cct --minutes 30

`timm` is its VisionTransformer with 4 x 4 patches, 6 blocks of width 192 and 3 heads; `cct` is CCT-2/3x2 from
vit-pytorch, a compact convolutional transformer designed for CIFAR-10. The recipe is the usual one: AdamW,
learning rate 0.001, weight decay 0.05, gradients clipped at 1, warm-up and cosine to zero at the end of the
time, shifts and flips, label smoothing 0.1, batches of 128, bf16 where the hardware has it. The checkpoint is
chosen on validation; the test split is measured once, at the end.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import lightning as L
import timm
from rich.console import Console
from torch import nn

from vit.config import AugmentConfig, Config, DataConfig, OptimConfig, TrainerConfig
from vit.data.loader import loader
from vit.device import best_device, resolve_precision
from vit.evaluation.metrics import evaluate
from vit.recipes.data import load_data, preprocess_for
from vit.recipes.image import image_classifier
from vit.recipes.run import build_objective
from vit.training.datamodule import RunDataModule
from vit.training.environment import environment
from vit.training.fit import best_weights, fit


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    hours, minutes = divmod(arguments.minutes, 60)
    config = Config(
        seed=arguments.seed,
        data=DataConfig(name=arguments.data, batch_size=128),
        augment=AugmentConfig(crop="pad", padding=0.125, flip=True),
        optim=OptimConfig(name="adamw", lr=1e-3, weight_decay=0.05, betas=(0.9, 0.999)),
        trainer=TrainerConfig(max_epochs=None, max_time=f"00:{hours:02}:{minutes:02}:00"),
    )
    L.seed_everything(config.seed, verbose=False)
    splits = load_data(config.data)
    preprocess = preprocess_for(splits)
    model = PEERS[arguments.peer](len(splits.labels), splits.train.size[0], splits.train.channels)
    folder = Path("runs") / f"peer_{arguments.peer}_{arguments.minutes}min_{config.seed}"
    folder.mkdir(parents=True)
    trainer = fit(
        image_classifier(config, model, build_objective(config, splits), preprocess),
        RunDataModule(splits, config.data.batch_size, config.seed),
        folder,
        max_epochs=arguments.epochs,
        max_time=config.trainer.max_time,
        console=Console(highlight=False, markup=False, soft_wrap=True),
        precision=resolve_precision("auto"),
        clip=config.optim.clip,
    )
    model.load_state_dict(best_weights(trainer))
    model.to(best_device()).eval()
    result: dict[str, Any] = {
        "peer": arguments.peer,
        "seed": config.seed,
        "minutes": arguments.minutes,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": trainer.global_step * config.data.batch_size / len(splits.train),
        "environment": environment(),
    }
    for name, images in (("val", splits.val), ("test", splits.test)):
        assert images is not None
        evaluation = evaluate(model, loader(images, 250), preprocess.normalise, len(splits.labels))
        result[name] = evaluation.figures()
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        f"{arguments.peer}: {result['parameters'] / 1e6:.2f} M parameters, {result['epochs']:.1f} epochs, "
        f"val {100 * result['val']['accuracy']:.2f} %, test {100 * result['test']['accuracy']:.2f} %"
    )
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=tuple(PEERS))
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--epochs", type=int, help="stop after this many epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default="cifar10")
    return parser.parse_args(argv)


def _timm(classes: int, side: int, channels: int) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=side,
        patch_size=4,
        in_chans=channels,
        embed_dim=192,
        depth=6,
        num_heads=3,
        mlp_ratio=2.0,
        num_classes=classes,
    )


def _cct(classes: int, side: int, channels: int) -> nn.Module:
    from vit_pytorch.cct import cct_2

    return cct_2(
        img_size=side,
        n_input_channels=channels,
        n_conv_layers=2,
        kernel_size=3,
        stride=1,
        padding=1,
        pooling_kernel_size=3,
        pooling_stride=2,
        pooling_padding=1,
        num_classes=classes,
        positional_embedding="learnable",
    )


PEERS = {"timm": _timm, "cct": _cct}

if __name__ == "__main__":
    raise SystemExit(main())
