"""What the tests on a GPU share: `make test-gpu` runs them, and they are skipped where there is none."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def cuda() -> torch.device:
    """The GPU."""
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device: these tests compare one with the CPU")
    return torch.device("cuda")


@pytest.fixture
def exact_products() -> Iterator[None]:
    """float32 products in float32: convolutions compute in TF32 otherwise, matrix products do not."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
