"""Servers that several tests share. What serves is imported where it is used: it may be missing."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import vit

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from .serving import Server


@pytest.fixture(scope="session")
def cifar10() -> Any:
    return vit.load_model("cifar10")


@pytest.fixture(scope="session")
def client(cifar10: Any) -> "Iterator[TestClient]":
    """A server of cifar10 in this process."""
    from .serving import client_of

    with client_of(cifar10, name="cifar10") as client:
        yield client


@pytest.fixture
def start() -> "Iterator[Callable[..., Server]]":
    """Starts servers in processes of their own."""
    from .serving import starting

    with starting() as start:
        yield start


@pytest.fixture(scope="session")
def server() -> "Iterator[Server]":
    """A server of cifar10 in a process of its own; a body has two seconds to come."""
    from .serving import starting

    with starting() as start:
        yield start("cifar10", "--body-timeout", "2")
