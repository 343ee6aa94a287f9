"""The callback that saves `last.ckpt`, in a thread."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vit.training.callbacks.latest_checkpoint import LatestCheckpoint


def test_a_thread_installs_no_signal_handlers(tmp_path: Path) -> None:
    callback = LatestCheckpoint(tmp_path / "last.ckpt", 300.0)
    nothing: Any = None  # neither the trainer nor the module is used
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(callback.on_train_start, nothing, nothing).result()
        pool.submit(callback.on_train_end, nothing, nothing).result()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("processes", "accumulated", "expected"), [(1, 1, 40), (2, 1, 4), (2, 2, 2)])
def test_processes_seldom_ask_each_other(
    tmp_path: Path, processes: int, accumulated: int, expected: int
) -> None:
    asked = []
    strategy = SimpleNamespace(reduce_boolean_decision=lambda here, all: asked.append(here))
    trainer: Any = SimpleNamespace(
        world_size=processes, accumulate_grad_batches=accumulated, is_last_batch=False, strategy=strategy
    )
    callback, module = LatestCheckpoint(tmp_path / "last.ckpt", 300.0), SimpleNamespace()
    for batch_idx in range(40):
        callback.on_train_batch_end(trainer, module, None, None, batch_idx)  # type: ignore[arg-type]
    assert len(asked) == expected
