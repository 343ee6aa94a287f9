"""The data module of a run."""

import logging
from typing import Any

import lightning as L
import torch

from vit.data.balance import example_weights
from vit.data.loader import Feed, loader, on_device
from vit.data.splits.division import Splits

AHEAD = 2  # batches that are made while a GPU works; on a CPU that is no faster (docs/performance.md)

log = logging.getLogger("vit")


class RunDataModule(L.LightningDataModule):
    """Training batches in an order that is a function of (seed, epoch); every validation example once.

    With several processes each rank reads its own part. On a GPU, examples in memory live there if they fit;
    others are decoded, and copied to pinned memory, while the model works.

    Args:
        splits: The dataset, of images or texts.
        batch_size: Examples per batch and process.
        seed: Decides the order.
        balanced: Draw the training examples with replacement, all classes as often.
    """

    def __init__(self, splits: Splits[Any], batch_size: int, seed: int, *, balanced: bool = False):
        super().__init__()
        self.splits = splits
        self.batch_size = batch_size
        self.seed = seed
        self.balanced = balanced

    def train_dataloader(self) -> Feed:
        """Shuffled. An incomplete last batch is dropped, unless it is the only one."""
        assert self.trainer is not None
        train = self.splits.train
        examples, options, ahead = self._feeding(train, "training")
        batches = loader(
            examples,
            self.batch_size,
            seed=self.seed,
            shuffle=True,
            drop_last=len(train) >= self.batch_size * self.trainer.world_size,
            weights=example_weights(train.targets) if self.balanced else None,
            **options,
        )
        return Feed(batches, ahead)

    def val_dataloader(self) -> Feed:
        """In order, every example once."""
        examples, options, ahead = self._feeding(self.splits.val, "validation")
        return Feed(loader(examples, max(self.batch_size, 256), **options), ahead)

    def _feeding(self, examples: Any, part: str) -> tuple[Any, dict[str, Any], int]:
        """Where the examples of a part live, arguments of `loader`, and how many batches are made ahead."""
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        options = {"rank": self.trainer.global_rank, "world": self.trainer.world_size}
        if device.type == "cpu":
            return examples, options, 0
        free = free_memory(device)
        if (resident := on_device(examples, device, free)) is not None:
            log.info(f"the {part} examples live on {device}, which had {free / 1e9:.1f} GB free")
            return resident, options, 0
        log.info(f"the {part} examples are copied to {device} batch by batch, {AHEAD} of them ahead")
        return examples, options | {"pin_memory": device.type == "cuda"}, AHEAD


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; 0 where it does not say so, as Apple's GPU."""
    found = getattr(torch.get_device_module(device), "mem_get_info", None)
    return 0 if found is None else int(found(device)[0])
