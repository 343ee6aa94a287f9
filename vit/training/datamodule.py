"""The loaders of a run, made when the number of processes is known."""

from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from vit.data.datasets import Splits
from vit.data.loader import loader


class RunDataModule(L.LightningDataModule):
    """Training batches in an order that follows (seed, epoch); validation batches without repeats.

    Over several processes each rank takes its own part, and none of validation is counted twice.

    Args:
        splits: The dataset, of pictures or of texts.
        batch_size: Pictures or texts per step and process.
        seed: Decides the orders.
    """

    def __init__(self, splits: Splits[Any], batch_size: int, seed: int):
        super().__init__()
        self.splits = splits
        self.batch_size = batch_size
        self.seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled; an incomplete last batch is left out where there is a complete one."""
        assert self.trainer is not None
        full = len(self.splits.train) >= self.batch_size * self.trainer.world_size
        return loader(
            self.splits.train,
            self.batch_size,
            seed=self.seed,
            shuffle=True,
            drop_last=full,
            **self._place(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """In order, every one once."""
        return loader(self.splits.val, max(self.batch_size, 256), **self._place())

    def _place(self) -> dict[str, Any]:
        assert self.trainer is not None
        on_gpu = self.trainer.strategy.root_device.type == "cuda"
        return {"rank": self.trainer.global_rank, "world": self.trainer.world_size, "pin_memory": on_gpu}
