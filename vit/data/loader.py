"""Batches of images or texts: the sampler, which decides their order, and what makes them."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vit.data.balance import draw_with_replacement
from vit.data.found import Examples
from vit.data.images import Batch, Images
from vit.data.randomness import generator
from vit.data.texts import TokenizedTexts
from vit.data.windows import NextTokens
from vit.errors import VitError

RESIDENT = 0.25  # of the free memory of a device: the rest is for the model and its activations


class EpochSampler:
    """Batches of indices, in an order that is a function of (seed, epoch).

    With several processes, a shuffled (training) order is padded with its own beginning, so that every rank
    takes the same number of steps; an unshuffled (evaluation) order is divided without repeats, so that no
    example is counted twice, and ranks may differ by one example.

    Args:
        n: Number of examples.
        batch_size: Indices per batch and rank.
        seed: Decides the shuffled orders.
        shuffle: Draw a new permutation for every epoch.
        drop_last: Leave out a last batch that is not full.
        lengths: int64 (n,), tokens of each text: shuffled batches then hold texts of similar length, which
            saves padding. None: batches are cut from the order as it is.
        weights: float64 (n,): a shuffled order is then n draws with replacement, each example with a
            probability proportional to its weight. The k-th draw of example i is i + k n, counted from 0; the
            ranks share one draw. None: a permutation.
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
        weights: Tensor | None = None,
        rank: int = 0,
        world: int = 1,
    ):
        if batch_size < 1:
            raise VitError(f"batch_size is {batch_size}, expected at least 1")
        if not 0 <= rank < world:
            raise VitError(f"rank is {rank} of {world} processes, expected 0 <= rank < {world}")
        self.n, self.batch_size, self.seed, self.shuffle = n, batch_size, seed, shuffle
        self.drop_last, self.rank, self.world = drop_last, rank, world
        self.lengths, self.weights = lengths, weights
        self.epoch = 0
        self.skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that decides the order of the next pass."""
        self.epoch = epoch

    def skip(self, batches: int) -> None:
        """Leave out the first batches of the next pass: a resumed run has been trained on them already."""
        self.skipped = batches

    def __len__(self) -> int:
        """Batches on this rank."""
        count = -(-self.n // self.world) if self.shuffle else len(range(self.rank, self.n, self.world))
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        # Drawn at the first batch, not when the iterator is created: Lightning calls `set_epoch` in between.
        order = self._order()[self.rank :: self.world]
        batches = [order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(len(self))]
        if self.lengths is not None and self.shuffle:
            batches = self._by_length(torch.cat(batches), self.lengths) if batches else []
        start, self.skipped = self.skipped, 0
        yield from (batch.tolist() for batch in batches[start:])

    def _by_length(self, order: Tensor, lengths: Tensor) -> list[Tensor]:
        """Batches of texts of similar length: sorted within chunks of 32 batches, in a random order."""
        chunks = [
            chunk[lengths[chunk % self.n].argsort(stable=True)] for chunk in order.split(32 * self.batch_size)
        ]
        batches = [batch for chunk in chunks for batch in chunk.split(self.batch_size)]
        permutation = torch.randperm(len(batches), generator=generator(self.seed, self.epoch, 1))
        return [batches[i] for i in permutation.tolist()]

    def _order(self) -> Tensor:
        if not self.shuffle or self.n == 0:
            return torch.arange(self.n)
        random = generator(self.seed, self.epoch)
        if self.weights is None:
            order = torch.randperm(self.n, generator=random)
        else:
            order = draw_with_replacement(self.weights, random)
        full = -(-self.n // self.world) * self.world
        return order[torch.arange(full) % self.n]


class _Draws:
    """Examples by the number of their draw, as `EpochSampler` numbers them where it has weights.

    Args:
        examples: n of them.
    """

    def __init__(self, examples: "Images | TokenizedTexts | NextTokens | DeviceExamples"):
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, draws: list[int]) -> Batch:
        """A batch of the examples, with the numbers of the draws for indices."""
        numbers = torch.as_tensor(draws, dtype=torch.int64)
        inputs, targets, _ = self.examples[numbers % len(self)]
        return inputs, targets, numbers


def loader(
    examples: "Images | TokenizedTexts | NextTokens | DeviceExamples",
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = False,
    drop_last: bool = False,
    weights: Tensor | None = None,
    rank: int = 0,
    world: int = 1,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Batches `(pixels uint8 (B, C, height, width), targets (B,), indices (B,))` of images; for texts, ids
    int64 (B, N) instead of pixels, and in a language model targets (B, N).

    A whole batch is one look-up, so there are no worker processes. Lightning calls `set_epoch` of
    `loader.sampler`. The arguments are those of `EpochSampler`; `pin_memory` speeds up copies to a GPU. With
    `weights` the indices are numbers of draws.
    """
    sampler = EpochSampler(
        len(examples),
        batch_size,
        seed=seed,
        shuffle=shuffle,
        drop_last=drop_last,
        lengths=getattr(examples, "lengths", None),  # of texts
        weights=weights,
        rank=rank,
        world=world,
    )
    # The dataset returns whole batches: batch_size=None turns collation off, and collate_fn keeps the tuple.
    return DataLoader(
        examples if weights is None else _Draws(examples),  # type: ignore[arg-type]
        sampler=sampler,
        batch_size=None,
        collate_fn=tuple,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # draws the base seed of workers: not from the generator of training
    )


class Feed:
    """The batches of a loader, as Lightning reads them, and how long it waits for them.

    Args:
        batches: From `loader`.
        ahead: Batches that a thread makes, and pins, while earlier ones are trained on; 0: each is made when
            it is asked for. It does not change what they hold.

    Attributes:
        waited: Seconds, over all passes, in which the reader waited for a batch.
    """

    def __init__(self, batches: DataLoader[Batch], ahead: int = 0):
        self.batches, self.ahead = batches, ahead
        self.sampler, self.batch_sampler = batches.sampler, batches.batch_sampler  # which Lightning looks at
        self.waited = 0.0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        # A pass begins at its first batch, as that of a sampler: Lightning sets the epoch before.
        batches = _made_ahead(self.batches, self.ahead) if self.ahead else iter(self.batches)
        while True:
            begun = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - begun
            if batch is None:
                return
            yield batch


def _made_ahead(loader: DataLoader[Batch], count: int) -> Iterator[Batch]:
    """The same batches in the same order; the next `count` are made in a thread meanwhile."""
    batches = iter(loader)
    with ThreadPoolExecutor(1) as thread:
        pending = deque(thread.submit(next, batches, None) for _ in range(count))
        while (batch := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, batches, None))
            yield batch


class DeviceExamples:
    """Pixels or features that live on the device that trains: a batch is a look-up there.

    Args:
        examples: n examples in memory.
        inputs: Theirs, (n, ...).
        device: Where they are copied to.
    """

    def __init__(self, examples: Examples, inputs: Tensor, device: torch.device):
        self.inputs, self.targets = inputs.to(device), examples.targets.to(device)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        """Inputs and targets on the device; the indices stay on the CPU, where their order is decided."""
        numbers = torch.as_tensor(indices, dtype=torch.int64)
        rows = numbers.to(self.inputs.device, non_blocking=True)
        return self.inputs.index_select(0, rows), self.targets.index_select(0, rows), numbers


def on_device(examples: Any, device: torch.device, free: int) -> DeviceExamples | None:
    """The examples on a device, if they are held in memory and take at most `RESIDENT` of what is free there.

    Args:
        examples: Of any kind; texts have lengths of their own, and stay.
        device: That trains.
        free: Bytes of its memory that are free.
    """
    inputs = getattr(examples, "pixels", getattr(examples, "features", None))
    if inputs is None or inputs.nbytes + examples.targets.nbytes > RESIDENT * free:
        return None
    return DeviceExamples(examples, inputs, device)
