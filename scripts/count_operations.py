"""Operations of one training step that are no views, by kind, beside timm's plain tower of the same size.

python scripts/count_operations.py                         # configs/cifar10.yaml, batches of 8
python scripts/count_operations.py --config cifar10_2h --kinds 12
python scripts/count_operations.py --output counts.json

Every operation is a call that the host of a GPU makes, if the step is not compiled. For some the host has to
wait until the device is done: these are named. The model is counted on the CPU, under autocast and with fused
attention, as it trains on a GPU; once more with plain patches and without stochastic depth, as timm's is.
Augmentation, mixing and growth are counted on tensors without data, which take the way of a GPU; what needs
data there could not run at all.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

import vit.core.attention
from vit.config import Config
from vit.config_file import config_folder, stored_config
from vit.data.augmentation.augment import Augment
from vit.data.augmentation.mix import Mix
from vit.data.augmentation.resize import ProgressiveResize
from vit.data.preprocess import Preprocess
from vit.recipes.image import _architecture
from vit.training.optim import build_optimizer
from vit.weights.models import make_tower

CLASSES = 10
# Operations whose result, or its size, the host has to read before it can go on.
WAITING = {
    "_local_scalar_dense", "item", "is_nonzero", "nonzero", "nonzero_numpy", "argwhere", "masked_select",
    "equal", "allclose", "bincount", "histc", "unique_dim", "unique_consecutive", "_unique", "_unique2",
}  # fmt: skip


class Operations(TorchDispatchMode):
    """Counts operations that are no views, by name, while it is entered.

    Attributes:
        kinds: Number of calls by name.
        waiting: Of these, calls for which the host waits: those of `WAITING`, look-ups by a boolean mask,
            and copies between devices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not func.is_view:
            self.kinds[name] += 1
        if reason := _waits(name, args, result):
            self.waiting[reason] += 1
        return result


def _waits(name: str, args: Any, result: Any) -> str | None:
    """Why the host waits for an operation; None: it does not."""
    if name in WAITING or (name == "repeat_interleave" and isinstance(args[0], Tensor) and len(args) == 1):
        return name
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
        return f"{name} by a mask" if masks else None
    if name in ("_to_copy", "copy_"):
        devices = {tensor.device.type for tensor in (*args, result) if isinstance(tensor, Tensor)}
        return f"{name} between devices" if len(devices) > 1 else None
    return None


def count(function: Callable[[], Any]) -> Operations:
    """The operations of one call."""
    with Operations() as operations:
        function()
    return operations


def step_operations(model: nn.Module, config: Config, images: Tensor) -> dict[str, Operations]:
    """Forward, backward and optimiser of a training step in bf16, on the device of the images."""
    optim = config.optim
    optimizer = build_optimizer(
        model, optim.name, lr=optim.lr, weight_decay=optim.weight_decay, betas=optim.betas
    )
    targets = torch.arange(len(images), device=images.device) % CLASSES
    model.train()

    def forward() -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            logits = model(images)
        return cross_entropy(logits.float(), targets)

    forward().backward()
    optimizer.step()  # makes its state
    optimizer.zero_grad()
    with Operations() as counted:
        loss = forward()
    return {"forward": counted, "backward": count(loss.backward), "optimiser": count(optimizer.step)}


def input_operations(config: Config, batch: int, size: int) -> dict[str, Operations]:
    """Augmentation, mixing and growth of a batch, on tensors without data."""
    settings = config.augment
    names = ("crop", "padding", "scale", "flip", "policy", "rand_ops", "rand_magnitude", "erase")
    options = {name: getattr(settings, name) for name in names}
    augment = Augment(config.seed, (0.5,) * 3, (0.25,) * 3, **options).to("meta")
    mix = Mix(settings.mixup, settings.cutmix, CLASSES, config.seed)
    grow = ProgressiveResize(settings.grow_from, settings.grow_until, (size // 8, size // 8))
    pixels = torch.zeros(batch, 3, size, size, dtype=torch.uint8, device="meta")
    indices, epoch = torch.arange(batch, device="meta"), torch.zeros((), dtype=torch.int64, device="meta")
    images, drawn = torch.zeros(pixels.shape, device="meta"), torch.zeros(8, device="meta")
    return {
        "augmentation": count(lambda: augment(pixels, indices, epoch)),
        "mixing": count(lambda: mix.blend(images, indices, drawn)),
        "growth": count(lambda: grow(images, 0.0)),
    }


def compare(config: Config, batch: int, size: int) -> dict[str, dict[str, Operations]]:
    """The parts of a step, of this tower and of timm's."""
    preprocess = Preprocess(size, size, channels=3)
    sizes = config.model
    patch = sizes.patch_size if isinstance(sizes.patch_size, int) else sizes.patch_size[0]
    peer = VisionTransformer(
        size,
        patch,
        num_classes=CLASSES,
        embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.heads,
        mlp_ratio=sizes.mlp_ratio,
        class_token=sizes.class_token,
        global_pool="token" if sizes.class_token else "avg",
    )
    images = torch.randn(batch, 3, size, size)
    tower = make_tower(_architecture(sizes, CLASSES, preprocess))
    plain = replace(sizes, patch_size=patch, tokenizer="patch", stem=None, drop_path=0.0)
    plain_tower = make_tower(_architecture(plain, CLASSES, preprocess))
    with mock.patch.object(vit.core.attention, "PLAIN_CPU_KEYS", 0):
        return {
            "vit": step_operations(tower, config, images) | input_operations(config, batch, size),
            "vit plain": step_operations(plain_tower, config, images),
            "timm": step_operations(peer, config, images),
        }


def table(counts: dict[str, dict[str, Operations]], kinds: int) -> str:
    """One line for each part of each model: all operations, the most frequent kinds, and what waits."""
    lines = [f"{'':24}{'operations':>12}{'waiting':>9}  most frequent"]
    for model, parts in counts.items():
        for part, operations in parts.items():
            most = ", ".join(f"{name} {number}" for name, number in operations.kinds.most_common(kinds))
            total, waiting = operations.kinds.total(), operations.waiting.total()
            lines.append(f"{f'{model} {part}':24}{total:12}{waiting:9}  {most}")
            lines += [
                f"{'':24}{'waits':>12}{number:9}  {name}" for name, number in operations.waiting.items()
            ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="cifar10", help="name of a shipped config of images")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--kinds", type=int, default=6, help="kinds of operations named for each part")
    parser.add_argument("--output", metavar="JSON", help="write all counts")
    arguments = parser.parse_args(argv)
    config = stored_config(config_folder() / f"{arguments.config}.yaml")
    counts = compare(config, arguments.batch_size, arguments.image_size)
    print(table(counts, arguments.kinds))
    if arguments.output:
        plain = {
            model: {part: {"kinds": found.kinds, "waiting": found.waiting} for part, found in parts.items()}
            for model, parts in counts.items()
        }
        Path(arguments.output).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {arguments.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
