"""Which of several processes this one is, by what the launchers of this world say."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch

from vit.errors import UsageError


class Ranks(NamedTuple):
    """The processes that share one command.

    Args:
        rank: This one, from 0.
        size: All of them.
    """

    rank: int = 0
    size: int = 1


SINGLE_PROCESS = Ranks()

# What each launcher sets: the variable of the rank, of the first rank, and of the number of processes.
LAUNCHERS = (
    ("RANK", None, "WORLD_SIZE"),  # torchrun
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"),
    ("SLURM_PROCID", None, "SLURM_NTASKS"),
)


def find_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """The world of torchrun, of a SLURM array, or of srun, the first that has more than one process.

    Raises:
        UsageError: A launcher's numbers do not fit each other.
    """
    for rank_name, first_name, size_name in LAUNCHERS:
        if rank_name not in environment or size_name not in environment:
            continue
        size = int(environment[size_name])
        rank = int(environment[rank_name]) - int(environment.get(first_name or "", 0))
        if size > 1:
            if not 0 <= rank < size:
                raise UsageError(
                    f"{rank_name} is {environment[rank_name]} and {size_name} is {size}, expected ranks that "
                    "follow each other: number a SLURM array without gaps"
                )
            return Ranks(rank, size)
    return SINGLE_PROCESS


@contextmanager
def distributed_ranks() -> Iterator[Ranks]:
    """The world of torchrun for the time of a `with` block, in which its processes can sum up what they have.

    What they sum up lies in main memory: the group is gloo's on every machine.
    """
    if not torch.distributed.is_torchelastic_launched():
        yield SINGLE_PROCESS
        return
    torch.distributed.init_process_group("gloo")
    try:
        yield Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()
