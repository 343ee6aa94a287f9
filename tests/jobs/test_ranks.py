"""The rank and the number of processes, from the variables of launchers."""

import pytest

from vit.errors import UsageError
from vit.jobs.ranks import Ranks, find_ranks

SLURM = {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({}, Ranks(0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "3"}, Ranks(2, 3)),
        ({"RANK": "0", "WORLD_SIZE": "1"} | ARRAY, Ranks(2, 4)),
        (SLURM, Ranks(0, 1)),
        (SLURM | ARRAY, Ranks(2, 4)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, Ranks(3, 4)),
        ({"RANK": "2"}, Ranks(0, 1)),
    ],
)
def test_launchers(environment: dict[str, str], ranks: Ranks) -> None:
    assert find_ranks(environment) == ranks


def test_an_array_with_gaps() -> None:
    with pytest.raises(UsageError, match="number a SLURM array without gaps"):
        find_ranks(ARRAY | {"SLURM_ARRAY_TASK_ID": "11"})
