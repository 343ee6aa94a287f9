"""The callback that saves `last.ckpt`, in a thread."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vit.training.callbacks.latest_checkpoint import LatestCheckpoint


def test_a_thread_installs_no_signal_handlers(tmp_path: Path) -> None:
    callback = LatestCheckpoint(tmp_path / "last.ckpt", 300.0)
    nothing: Any = None  # neither the trainer nor the module is used
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(callback.on_train_start, nothing, nothing).result()
        pool.submit(callback.on_train_end, nothing, nothing).result()
    assert signal.getsignal(signal.SIGTERM) is before
