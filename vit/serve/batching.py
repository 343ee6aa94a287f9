"""One thread with the model, and a bounded queue before it: requests share its batches.

A batch is what waits when the model is free, so that a single request is not delayed, and many are computed
together. Result i belongs to input i, whoever shared the batch.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

from vit.serve.errors import overloaded


class Runner(NamedTuple):
    """One kind of work.

    Args:
        run: Maps a batch of inputs to as many results, in order.
        batch_size: Most inputs at once.
    """

    run: Callable[[list[Any]], Sequence[Any]]
    batch_size: int


class _Item(NamedTuple):
    number: int  # in order of arrival
    value: Any
    result: Future[Any]


class Batcher:
    """Runs a model in a thread of its own.

    Args:
        runners: By kind. They are called in that thread, one at a time.
        places: Inputs that may be accepted and not answered, of all kinds together.
        on_batch: Called with the kind and the size of each batch, in the thread.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        places: int,
        on_batch: Callable[[str, int], None] = lambda kind, size: None,
    ):
        self.runners, self.free, self.total, self.on_batch = runners, places, places, on_batch
        self._queues: dict[str, deque[_Item]] = {kind: deque() for kind in runners}
        self._numbers = count()
        self._changed = threading.Condition()
        self._closed = True
        self._thread = threading.Thread()  # not started

    def start(self) -> None:
        """Start the thread; again, if it was closed."""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="vit model", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread is there to answer."""
        return self._thread.is_alive() and not self._closed

    @contextmanager
    def places(self, number: int) -> Iterator[None]:
        """Take places during a `with` block: from before an input is decoded until it is answered.

        Raises:
            Refusal: 503, there are not as many.
        """
        if number > self.free:
            waiting = self.total - self.free
            raise overloaded(f"{waiting} inputs are waiting, of at most {self.total}")
        self.free -= number
        try:
            yield
        finally:
            self.free += number

    async def run(self, kind: str, inputs: Sequence[Any]) -> list[Any]:
        """The results of inputs, in order; an input that is no longer waited for is not computed.

        Raises:
            Exception: What the runner raised for one of them, run alone.
        """
        futures: list[Future[Any]] = [Future() for _ in inputs]
        with self._changed:
            if self._closed:
                raise overloaded("the server is ending")
            for value, future in zip(inputs, futures, strict=True):
                self._queues[kind].append(_Item(next(self._numbers), value, future))
            self._changed.notify()
        return await asyncio.gather(*map(asyncio.wrap_future, futures))

    def close(self, seconds: float) -> None:
        """Finish what was taken, for at most some seconds; what is left fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        with self._changed:
            left = [item for queue in self._queues.values() for item in queue]
            for queue in self._queues.values():
                queue.clear()
        for item in left:
            if item.result.set_running_or_notify_cancel():
                item.result.set_exception(overloaded("the server has ended"))

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            kind, items = batch
            items = [item for item in items if item.result.set_running_or_notify_cancel()]
            if items:
                self.on_batch(kind, len(items))
                self._answer(self.runners[kind].run, items)

    def _take(self) -> tuple[str, list[_Item]] | None:
        """The next batch: of the kind whose first input has waited longest. None: closed, and all is done."""
        with self._changed:
            while not any(self._queues.values()):
                if self._closed:
                    return None
                self._changed.wait()
            kind = min((kind for kind, queue in self._queues.items() if queue), key=self._first)
            queue = self._queues[kind]
            size = min(self.runners[kind].batch_size, len(queue))
            return kind, [queue.popleft() for _ in range(size)]

    def _first(self, kind: str) -> int:
        return self._queues[kind][0].number

    def _answer(self, run: Callable[[list[Any]], Sequence[Any]], items: list[_Item]) -> None:
        try:
            results = run([item.value for item in items])
        except Exception as error:  # whatever it is, the next batch is computed
            if len(items) == 1:
                items[0].result.set_exception(error)
                return
            for item in items:  # the one that is to blame fails alone
                self._answer(run, [item])
            return
        for item, result in zip(items, results, strict=True):
            item.result.set_result(result)
