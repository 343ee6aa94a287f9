"""Requests share batches, and each gets its own."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from . import serving  # noqa: F401  (skips where nothing serves)

from vit.serve.batching import Batcher, Runner  # isort: skip
from vit.serve.errors import Refusal  # isort: skip


def work(batcher: Batcher, what: Callable[[], Any]) -> Any:
    batcher.start()
    try:
        return asyncio.run(what())
    finally:
        batcher.close(5)


def test_result_i_is_that_of_input_i() -> None:
    """A hundred requests of several inputs, of two kinds, at once."""
    sizes: list[tuple[str, int]] = []

    def slow(factor: int) -> Callable[[list[int]], list[int]]:
        def run(batch: list[int]) -> list[int]:
            assert threading.current_thread().name == "vit model"
            time.sleep(0.002)
            return [factor * value for value in batch]

        return run

    runners = {"double": Runner(slow(2), 7), "triple": Runner(slow(3), 5)}
    batcher = Batcher(runners, 1000, lambda kind, size: sizes.append((kind, size)))
    chance = random.Random(0)
    requests = [
        (
            chance.choice(["double", "triple"]),
            [chance.randrange(1000) for _ in range(chance.randrange(1, 13))],
        )
        for _ in range(100)
    ]

    async def all_of_them() -> list[list[int]]:
        return await asyncio.gather(*(batcher.run(kind, inputs) for kind, inputs in requests))

    answers = work(batcher, all_of_them)
    for (kind, inputs), answer in zip(requests, answers, strict=True):
        assert answer == [{"double": 2, "triple": 3}[kind] * value for value in inputs]
    assert max(size for kind, size in sizes if kind == "double") == 7
    assert max(size for kind, size in sizes if kind == "triple") == 5
    assert sum(size for _, size in sizes) == sum(len(inputs) for _, inputs in requests)


def test_the_input_that_fails_fails_alone() -> None:
    def run(batch: list[int]) -> list[float]:
        return [1 / value for value in batch]

    batcher = Batcher({"inverse": Runner(run, 8)}, 100)

    async def several() -> list[Any]:
        singles = (batcher.run("inverse", [value]) for value in (1, 2, 0, 4))
        return await asyncio.gather(*singles, return_exceptions=True)

    one, half, failed, quarter = work(batcher, several)
    assert (one, half, quarter) == ([1.0], [0.5], [0.25])
    assert isinstance(failed, ZeroDivisionError)


def test_places_are_bounded_and_come_back() -> None:
    batcher = Batcher({}, 5)
    with batcher.places(3):
        with pytest.raises(Refusal) as refused, batcher.places(3):
            pass
        assert refused.value.status == 503
        assert refused.value.headers == {"retry-after": "1"}
        with batcher.places(2):
            assert batcher.free == 0
    assert batcher.free == 5
    with pytest.raises(KeyError), batcher.places(5):
        raise KeyError
    assert batcher.free == 5


def test_the_end_finishes_what_was_taken_and_takes_no_more() -> None:
    done: list[int] = []

    def run(batch: list[int]) -> list[int]:
        time.sleep(0.02)
        done.extend(batch)
        return batch

    batcher = Batcher({"keep": Runner(run, 1)}, 100)

    async def end_amid() -> list[int]:
        batcher.start()
        taken = asyncio.create_task(batcher.run("keep", list(range(10))))
        await asyncio.sleep(0.03)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close, 5))
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal):
            await batcher.run("keep", [99])
        await closing
        return await taken

    assert asyncio.run(end_amid()) == list(range(10))
    assert done == list(range(10))
    assert not batcher.is_running


def test_the_end_is_bounded() -> None:
    hang = threading.Event()

    def run(batch: list[int]) -> list[int]:
        hang.wait(20)
        return batch

    batcher = Batcher({"hang": Runner(run, 1)}, 100)

    async def end_amid() -> list[Any]:
        batcher.start()
        first = asyncio.create_task(batcher.run("hang", [1]))
        second = asyncio.create_task(batcher.run("hang", [2]))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(batcher.close, 0.2)
        with pytest.raises(Refusal):
            await second
        hang.set()
        return await first

    began = time.monotonic()
    assert asyncio.run(end_amid()) == [1]
    assert time.monotonic() - began < 5


def test_what_no_one_waits_for_is_not_computed() -> None:
    computed: list[int] = []
    begin = threading.Event()

    def run(batch: list[int]) -> list[int]:
        begin.wait(5)
        computed.extend(batch)
        return batch

    batcher = Batcher({"keep": Runner(run, 1)}, 100)

    async def leave() -> None:
        first = asyncio.create_task(batcher.run("keep", [1]))
        gone = asyncio.create_task(batcher.run("keep", [2]))
        last = asyncio.create_task(batcher.run("keep", [3]))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0)
        begin.set()
        assert await asyncio.gather(first, last) == [[1], [3]]

    work(batcher, leave)
    assert computed == [1, 3]
