"""Steps with gradients that are not finite change nothing, and end the run where there are many."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vit.cli import main
from vit.training.callbacks.nonfinite_guard import NonFiniteGuard
from vit.training.module import Classifier
from vit.training.optim import build_optimizer


class Tiny(nn.Module):
    """Two matrices of one shape and a kernel for Muon, the rest for AdamW."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
        self.kernel = nn.Conv2d(3, 7, 3)
        self.head = nn.Linear(5, 2)


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_step_that_is_skipped_leaves_weights_and_state(name: str, value: float) -> None:
    model, guard, trainer = Tiny(), NonFiniteGuard(), SimpleNamespace(global_step=3)
    optimizer = build_optimizer(model, name)

    def step(bad: Tensor | None = None) -> None:
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
            if parameter is bad:
                parameter.grad.flatten()[-1] = value
        guard.on_before_optimizer_step(trainer, model, optimizer)  # type: ignore[arg-type]
        optimizer.step()

    step()
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict()["state"])
    for bad in (model.kernel.weight, model.head.bias, model.encoder[0].weight):
        step(bad)
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, weights[key])
        for number, entries in optimizer.state_dict()["state"].items():
            assert all(torch.equal(entry, state[number][key]) for key, entry in entries.items())
    assert guard.state_dict() == {"row": 3, "skipped": 3}
    step()
    assert not torch.equal(model.head.bias, weights["head.bias"])
    assert guard.state_dict() == {"row": 0, "skipped": 3}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_step_that_is_not_skipped_is_the_step_without_a_guard(name: str) -> None:
    torch.manual_seed(1)
    ours = Tiny()
    theirs = copy.deepcopy(ours)
    guarded, plain = build_optimizer(ours, name), build_optimizer(theirs, name)
    for _ in range(3):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        NonFiniteGuard().on_before_optimizer_step(SimpleNamespace(global_step=1), ours, guarded)  # type: ignore[arg-type]
        guarded.step()
        plain.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("row", "code"), [(9, 0), (10, 1)])
def test_ten_in_a_row_end_the_run(
    row: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = Classifier.training_step

    def lost(self: Classifier, batch: Any, number: int) -> Tensor:
        return plain(self, batch, number) * (torch.nan if 2 <= number < 2 + row else 1.0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Classifier, "training_step", lost)
    command = "train --config digits --model.width 24 --model.depth 1 --trainer.max_epochs 1"
    assert main(command.split()) == code
    said = capsys.readouterr().err
    assert ("not finite in 10 steps in a row, the last of them step 11: lower optim.lr" in said) == bool(code)
