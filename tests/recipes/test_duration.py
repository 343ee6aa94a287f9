"""A config that is made for a GPU, on a machine without one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from vit.config import Config, DataConfig, TrainerConfig
from vit.recipes import duration
from vit.recipes.duration import cpu_notice, mean_area, training_rate
from vit.recipes.train import prepare


def config(**trainer: Any) -> Config:
    made = Config(data=DataConfig(name="digits"), trainer=TrainerConfig(**trainer))
    made.model.width, made.model.depth, made.model.heads = 16, 1, 2
    return made


def test_it_says_how_long_and_which_config_is_made_for_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(max_epochs=300, on_cpu="cifar10_30min")
    run = prepare(asked)
    for rate, said in ((100.0, "1 hours"), (1.0, "4 days"), (1000.0, "6 minutes")):
        monkeypatch.setattr(duration, "training_rate", lambda run, rate=rate: rate)
        notice = cpu_notice(asked, run)
        assert notice is not None
        assert f"its 300 epochs take about {said}; --config cifar10_30min is made for a CPU" in notice
    for silent in (
        config(max_epochs=300),
        config(max_epochs=300, on_cpu="cifar10_30min", accelerator="gpu"),
    ):
        assert cpu_notice(silent, run) is None
    limited = cpu_notice(config(max_epochs=None, max_time="00:00:05:00", on_cpu="cifar10_30min"), run)
    assert limited is not None
    assert f"its 5 minutes are about {300 * 1000 / len(run.splits.train):.2g} epochs; --config" in limited
    monkeypatch.setattr(duration, "best_device", lambda: SimpleNamespace(type="cuda"))
    assert cpu_notice(asked, run) is None


def test_images_that_grow_are_smaller_on_average() -> None:
    growing = config(max_epochs=1)
    growing.augment.grow_from, growing.augment.grow_until, growing.model.patch_size = 0.5, 0.5, 2
    # Of 8 pixels: 4 and 6 for a quarter of the run each, then 8.
    assert mean_area(prepare(growing)) == pytest.approx((16 + 36 + 2 * 64) / (4 * 64))
    assert mean_area(prepare(config(max_epochs=1))) == 1


def test_the_trial_changes_nothing() -> None:
    run = prepare(config(max_epochs=1))
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert training_rate(run) > 0
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
    assert all(parameter.grad is None for parameter in run.model.parameters())


@pytest.mark.parametrize("name", ["cifar10", "cifar10_gpu_5min"])
def test_configs_for_a_gpu_name_one_that_exists(name: str) -> None:
    configs = Path(__file__).parents[2] / "configs"
    named = yaml.safe_load((configs / f"{name}.yaml").read_text())["trainer"]["on_cpu"]
    assert (configs / f"{named}.yaml").is_file()
