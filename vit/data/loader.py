"""The order of pictures or texts, and the DataLoader that follows it."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vit.data.images import Batch, Images
from vit.data.randomness import generator
from vit.data.texts import Texts
from vit.errors import VitError


class EpochSampler:
    """Batches of indices, in an order that is a function of (seed, epoch).

    Over several processes, shuffled (training) order is filled up with its own beginning, so that every rank
    takes the same number of steps; unshuffled (evaluation) order is divided without repeats, so that no
    picture is counted twice, and ranks may differ by one picture.

    Args:
        n: Pictures.
        batch_size: Indices per batch and rank.
        seed: Decides the shuffled orders.
        shuffle: Permute anew in every epoch.
        drop_last: Leave out a last batch that is not full.
        lengths: int64 (n,), of texts: shuffled batches then hold texts of like length, and waste little on
            padding. None: batches are cut from the order as it is.
        rank: This process.
        world: Number of processes.

    Raises:
        VitError: `batch_size` is not positive, or `rank` is not below `world`.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        drop_last: bool = False,
        lengths: Tensor | None = None,
        rank: int = 0,
        world: int = 1,
    ):
        if batch_size < 1:
            raise VitError(f"batch_size is {batch_size}, expected at least 1")
        if not 0 <= rank < world:
            raise VitError(f"rank is {rank} of {world} processes, expected 0 <= rank < {world}")
        self.n, self.batch_size, self.seed, self.shuffle = n, batch_size, seed, shuffle
        self.drop_last, self.rank, self.world = drop_last, rank, world
        self.lengths = lengths
        self.epoch = 0
        self.skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def skip(self, batches: int) -> None:
        """Leave out the first batches of the next pass, which a run that is resumed has learnt already."""
        self.skipped = batches

    def __len__(self) -> int:
        """Batches on this rank."""
        mine = -(-self.n // self.world) if self.shuffle else len(range(self.rank, self.n, self.world))
        return mine // self.batch_size if self.drop_last else -(-mine // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        # Drawn at the first batch, not when the iterator is made: Lightning tells the epoch in between.
        mine = self._order()[self.rank :: self.world]
        batches = [mine[i * self.batch_size : (i + 1) * self.batch_size] for i in range(len(self))]
        if self.lengths is not None and self.shuffle:
            batches = self._alike(torch.cat(batches), self.lengths) if batches else []
        start, self.skipped = self.skipped, 0
        yield from (batch.tolist() for batch in batches[start:])

    def _alike(self, order: Tensor, lengths: Tensor) -> list[Tensor]:
        """Batches of texts of like length: sorted within stretches of 32 batches, in a random order."""
        stretches = [part[lengths[part].argsort(stable=True)] for part in order.split(32 * self.batch_size)]
        batches = [batch for part in stretches for batch in part.split(self.batch_size)]
        places = torch.randperm(len(batches), generator=generator(self.seed, self.epoch, 1))
        return [batches[place] for place in places.tolist()]

    def _order(self) -> Tensor:
        if not self.shuffle or self.n == 0:
            return torch.arange(self.n)
        order = torch.randperm(self.n, generator=generator(self.seed, self.epoch))
        full = -(-self.n // self.world) * self.world
        return order[torch.arange(full) % self.n]


def loader(
    images: Images | Texts,
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = False,
    drop_last: bool = False,
    rank: int = 0,
    world: int = 1,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Batches `(pixels uint8 (B, C, height, width), targets (B,), indices (B,))` of pictures; of texts, with
    their ids int64 (B, N) in the place of pixels.

    A whole batch is one look-up, so it needs no worker processes. Lightning's `set_epoch` reaches the sampler
    as `loader.sampler`. The arguments are those of `EpochSampler`; `pin_memory` speeds copies to a GPU.
    """
    sampler = EpochSampler(
        len(images),
        batch_size,
        seed=seed,
        shuffle=shuffle,
        drop_last=drop_last,
        lengths=images.lengths if isinstance(images, Texts) else None,
        rank=rank,
        world=world,
    )
    # A batch comes ready made: batch_size=None asks for no collation, and the default one makes tuples lists.
    return DataLoader(
        images,  # type: ignore[arg-type]
        sampler=sampler,
        batch_size=None,
        collate_fn=tuple,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # for seeds of workers: not the one that training draws from
    )
