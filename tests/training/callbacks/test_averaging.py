"""The averaged weights are those of Lightning's callback, which waits for the device in each step."""

from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn

from vit.training.callbacks.averaging import Averaging

DECAY = 0.7


@torch.no_grad()
def by_lightning(average: list[Tensor], current: list[Tensor], updates: Any) -> None:
    decay = min(DECAY, (1 + float(updates)) / (10 + float(updates)))
    for one, other in zip(average, current, strict=True):
        if one.is_floating_point():
            one.lerp_(other, 1 - decay)
        else:
            one.copy_(other)


class Module(L.LightningModule):
    """With buffers of floats and of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("resumed_at", [None, 4])
def test_against_lightnings(resumed_at: int | None) -> None:
    module: Any = Module()
    callbacks: list[Any] = [Averaging(DECAY), WeightAveraging(multi_avg_fn=by_lightning)]
    for callback in callbacks:
        callback.setup(SimpleNamespace(), module, "fit")
    callbacks[0].on_train_start(SimpleNamespace(), module)
    for step in range(1, 30):
        if step == resumed_at:
            checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
            callbacks[0].on_save_checkpoint(SimpleNamespace(), module, checkpoint)
            state = callbacks[0].state_dict()
            callbacks[0] = Averaging(DECAY)
            callbacks[0].setup(SimpleNamespace(), module, "fit")
            callbacks[0].load_state_dict(state)
            callbacks[0].on_load_checkpoint(SimpleNamespace(), module, checkpoint)
            callbacks[0].on_train_start(SimpleNamespace(), module)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += torch.randn_like(parameter)
        module.layers(torch.randn(7, 5))
        for callback in callbacks:
            for _ in range(2):  # of two batches with one step the second changes nothing
                callback.on_train_batch_end(SimpleNamespace(global_step=step), module, None, None, 0)
        ours, theirs = (callback._average_model.state_dict() for callback in callbacks)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert callbacks[0].state_key == callbacks[1].state_key
