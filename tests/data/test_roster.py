"""Every dataset has a reader and a name in the help; the roster costs no torch."""

import subprocess
import sys

import pytest

from vit.data.roster import DATASETS, FOUND_BY_NAME, find_dataset
from vit.errors import UsageError


@pytest.mark.parametrize("name", DATASETS)
def test_readers_can_be_imported(name: str) -> None:
    assert callable(DATASETS[name].load_reader())


def test_formats_are_not_found_by_name() -> None:
    assert FOUND_BY_NAME == ("cifar10", "cifar100", "digits", "sst2", "trec")


def test_an_unknown_name_names_the_nearest() -> None:
    assert find_dataset("sst2").kind == "text"
    with pytest.raises(UsageError, match=r"data\.name is 'sst'; did you mean sst2"):
        find_dataset("sst")


def test_the_roster_loads_no_torch() -> None:
    code = "import sys, vit.data.roster, vit.recipes.checks, vit.config_file; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
