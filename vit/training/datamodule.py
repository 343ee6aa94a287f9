"""The data module of a run."""

from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from vit.data.balance import example_weights
from vit.data.loader import loader
from vit.data.splits.division import Splits


class RunDataModule(L.LightningDataModule):
    """Training batches in an order that is a function of (seed, epoch); every validation example once.

    With several processes each rank reads its own part.

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

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled. An incomplete last batch is dropped, unless it is the only one."""
        assert self.trainer is not None
        drop_last = len(self.splits.train) >= self.batch_size * self.trainer.world_size
        return loader(
            self.splits.train,
            self.batch_size,
            seed=self.seed,
            shuffle=True,
            drop_last=drop_last,
            weights=example_weights(self.splits.train.targets) if self.balanced else None,
            **self._process(),
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """In order, every example once."""
        return loader(self.splits.val, max(self.batch_size, 256), **self._process())

    def _process(self) -> dict[str, Any]:
        """Arguments of `loader` that depend on the process."""
        assert self.trainer is not None
        on_gpu = self.trainer.strategy.root_device.type == "cuda"
        return {"rank": self.trainer.global_rank, "world": self.trainer.world_size, "pin_memory": on_gpu}
