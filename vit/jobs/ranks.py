"""The rank of this process and the number of processes, from the variables that launchers set."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch

from vit.errors import UsageError


class Ranks(NamedTuple):
    """The processes that share one command.

    Args:
        rank: Number of this process, from 0.
        world_size: Number of processes.
    """

    rank: int = 0
    world_size: int = 1


SINGLE_PROCESS = Ranks()

# The variables of each launcher: the rank of this process, the lowest rank, the number of processes.
LAUNCHERS = (
    ("RANK", None, "WORLD_SIZE"),  # torchrun
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"),
    ("SLURM_PROCID", None, "SLURM_NTASKS"),
)


def find_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """The ranks of torchrun, of a SLURM array, or of srun: the first of them that has several processes.

    Raises:
        UsageError: The rank is not below the number of processes.
    """
    for rank_name, first_name, size_name in LAUNCHERS:
        if rank_name not in environment or size_name not in environment:
            continue
        world_size = int(environment[size_name])
        rank = int(environment[rank_name]) - int(environment.get(first_name or "", 0))
        if world_size > 1:
            if not 0 <= rank < world_size:
                raise UsageError(
                    f"{rank_name} is {environment[rank_name]} and {size_name} is {world_size}, expected "
                    "consecutive ranks: number a SLURM array without gaps"
                )
            return Ranks(rank, world_size)
    return SINGLE_PROCESS


@contextmanager
def distributed_ranks() -> Iterator[Ranks]:
    """The ranks of torchrun, with a process group during a `with` block, to reduce tensors between processes.

    The tensors are on the CPU: the backend is gloo on every machine.
    """
    if not torch.distributed.is_torchelastic_launched():
        yield SINGLE_PROCESS
        return
    torch.distributed.init_process_group("gloo")
    try:
        yield Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()
