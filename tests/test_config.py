"""The strict loader, and the shipped configs."""

from dataclasses import asdict
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from vit.attribution.roster import QUICK_METHODS
from vit.config import Config
from vit.config_file import (
    add_config_arguments,
    config_folder,
    first_difference,
    resolve_config,
    stored_config,
    to_config,
    to_yaml,
)
from vit.data.roster import DATASETS
from vit.errors import UsageError
from vit.recipes.checks import CHOICES, check

SHIPPED = sorted(config_folder().glob("*.yaml"))


def read(*argv: str) -> Config:
    parser = ArgumentParser(exit_on_error=False)
    add_config_arguments(parser, CHOICES)
    return check(to_config(parser.parse_args(resolve_config(list(argv)))))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_configs_are_sound_and_say_how_to_run_them(file: Path) -> None:
    assert read("--config", file.stem) == read("--config", str(file))
    assert file.read_text().startswith("# ")
    assert f"vit train --config {file.stem}" in file.read_text()


def test_the_shipped_ones() -> None:
    assert {"digits", "cifar10", "folder"} <= {file.stem for file in SHIPPED}


def test_without_a_name_it_is_cifar10() -> None:
    assert read() == read("--config", "cifar10")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_is_written_runs_again_verbatim(file: Path, tmp_path: Path) -> None:
    config = read("--config", str(file), "--data.val_fraction", "0.15", "--optim.betas", "[0.8, 0.95]")
    stored = tmp_path / "config.yaml"
    stored.write_text(to_yaml(config))
    assert asdict(stored_config(stored)) == asdict(config)
    assert asdict(read("--config", str(stored))) == asdict(config)
    assert first_difference(stored, config) is None


def test_options_win_over_the_file_wherever_they_stand() -> None:
    assert read("--optim.lr", "0.5", "--config", "digits").optim.lr == 0.5
    assert read("--config=digits", "--optim.lr=0.5").optim.lr == 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("optim: {lrr: 1}", "unknown key optim.lrr; did you mean optim.lr"),
        ("optm: {lr: 1}", "unknown key optm; did you mean optim"),
        ("optim: 3", "optim is 3, expected a section"),
        ("- 1", "holds list"),
        ("optim: {lr: [", "cannot be read"),
        ("", "holds NoneType"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(UsageError, match=message):
        read("--config", str(tmp_path / "c.yaml"))


@pytest.mark.parametrize(
    ("written", "time"),
    [("00:01:00:00", "00:01:00:00"), ("10:00:00:00", "10:00:00:00"), ("'01:00:00:00'", "01:00:00:00")],
)
def test_a_time_is_what_is_written(tmp_path: Path, written: str, time: str) -> None:
    """YAML 1.1 takes 10:00:00:00 for the number 2,160,000."""
    (tmp_path / "c.yaml").write_text(f"trainer: {{max_time: {written}}}")
    assert read("--config", str(tmp_path / "c.yaml")).trainer.max_time == time
    assert read("--config", "digits", f"--trainer.max_time={time}").trainer.max_time == time


@pytest.mark.parametrize("written", ["1:30", "90", "1:30:00", "1.5", "01:00", "yes", "2026-01-01"])
def test_another_time_is_refused_as_it_is_written(tmp_path: Path, written: str) -> None:
    (tmp_path / "c.yaml").write_text(f"trainer: {{max_time: {written}}}")
    message = f"trainer.max_time is {written}, expected DD:HH:MM:SS"
    with pytest.raises(UsageError, match=message):
        read("--config", str(tmp_path / "c.yaml"))
    with pytest.raises(UsageError, match=message):
        read("--config", "digits", f"--trainer.max_time={written}")


@pytest.mark.parametrize(
    "written", ["123", "no", "on", "007", "1e3", "2026-01-01", "1:30", "猫 🐈", ".5", "~x"]
)
def test_a_text_is_what_is_written(tmp_path: Path, written: str) -> None:
    (tmp_path / "c.yaml").write_text(
        f"data: {{name: folder, root: {written}, label_columns: [cat, {written}]}}", encoding="utf-8"
    )
    config = read("--config", str(tmp_path / "c.yaml"))
    assert (config.data.root, config.data.label_columns) == (written, ("cat", written))
    (tmp_path / "stored.yaml").write_text(to_yaml(config))
    assert stored_config(tmp_path / "stored.yaml") == config


def test_other_values_are_what_yaml_makes_of_them(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "seed: 7\ndata: {root: ~, image_size: [16, 24]}\noptim: {lr: 1e-3, ema: 5.e-1}\n"
        "trainer: {max_time: null, devices: 2, progress: no}\nmodel: {layer_scale: 1}\n"
    )
    config = read("--config", str(tmp_path / "c.yaml"))
    assert (config.seed, config.data.root, config.data.image_size) == (7, None, (16, 24))
    assert (config.optim.lr, config.optim.ema, config.model.layer_scale) == (0.001, 0.5, 1.0)
    trainer = config.trainer
    assert (trainer.max_time, trainer.devices, trainer.progress) == (None, 2, False)


def test_an_unknown_config_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean digits"):
        read("--config", "digit")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--data.batch_size", "0", "data.batch_size is 0, expected at least 1"),
        ("--data.val_fraction", "1.5", "expected between 0 and 1"),
        ("--model.width", "101", "expected a multiple of heads"),
        ("--model.pool", "cls", "expected mean or attention where class_token is false"),
        ("--trainer.max_time", "30m", "expected DD:HH:MM:SS"),
        ("--trainer.max_time", "null", "one of them ends the run"),
        ("--trainer.patience", "-1", "trainer.patience is -1, expected at least 0"),
        ("--augment.rand_ops", "-1", "augment.rand_ops is -1, expected at least 0"),
        ("--data.name", "cifar", "data.name is 'cifar'; did you mean cifar10"),
        ("--data.name", "sst2", "augment.erase is 0.5, and data.name is sst2, a text dataset"),
        ("--trainer.overlay_method", "rise", "overlay_method is 'rise'; known: raw, rollout"),
        ("--text.blank", "0.1", "text.blank is 0.1, and data.name is cifar10, an image dataset"),
    ],
)
def test_values_that_cannot_work(option: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read("--config", "cifar10_30min", option, value)


def test_the_help_lists_the_names_of_rosters() -> None:
    parser = ArgumentParser(exit_on_error=False)
    add_config_arguments(parser, CHOICES)
    text = parser.format_help()
    assert {"cifar10", "folder", "sst2"} <= DATASETS.keys()
    assert f"--data.name {{{','.join(DATASETS)}}}" in text
    assert "relevance" in QUICK_METHODS
    assert f"--trainer.overlay_method {{{','.join(QUICK_METHODS)}}}" in text


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    config = read("--config", "digits")
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    config.trainer.max_epochs, config.trainer.patience = 99, 7
    assert first_difference(tmp_path / "config.yaml", config) is None
    config.model.depth += 1
    assert "model.depth is" in str(first_difference(tmp_path / "config.yaml", config))


def test_the_config_for_weights_that_exist() -> None:
    """Without a name it is `finetune`, and for frozen weights `probe`."""
    assert read("--model.init", "cifar10") == read("--config", "finetune", "--model.init", "cifar10")
    assert read("--model.init=cifar10", "--model.freeze", "true") == read(
        "--config", "probe", "--model.init", "cifar10"
    )


def test_a_key_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("data: {name: sst2, resize: crop}\ntext: {start: 007, length: 9}\n")
    config = read("--config", str(tmp_path / "old.yaml"))
    assert (config.model.init, config.text.length, config.data.resize) == ("007", 9, None)
    assert stored_config(tmp_path / "old.yaml") == config
    assert read("--config", str(tmp_path / "old.yaml"), "--text.start", "minilm").model.init == "minilm"
    assert read("--config", str(tmp_path / "old.yaml"), "--text.start=minilm").model.init == "minilm"
    (tmp_path / "old.yaml").write_text("data: {name: sst2}\ntext: {start: null}\n")
    assert read("--config", str(tmp_path / "old.yaml")).model.init is None
    (tmp_path / "old.yaml").write_text("text: {start: a}\nmodel: {init: b}\n")
    with pytest.raises(
        UsageError, match=r"text.start is a, and model.init, its name now, is b: keep model.init"
    ):
        read("--config", str(tmp_path / "old.yaml"))


def test_a_default_that_was_written_out_is_the_same(tmp_path: Path) -> None:
    """Earlier versions wrote `resize: crop` where nothing was asked for."""
    config = read("--config", "digits")
    before = to_yaml(config).replace("resize: null", "resize: crop")
    assert "resize: crop" in before
    for line in (
        "  init: null\n",
        "  like: null\n",
        "  key: null\n",
        "  freeze: false\n",
        "  layer_decay: 1.0\n",
    ):
        assert before.count(line) == 1
        before = before.replace(line, "")
    (tmp_path / "config.yaml").write_text(before)
    assert first_difference(tmp_path / "config.yaml", config) is None
    config.data.resize = "pad"
    assert "data.resize is pad, and was crop" in str(first_difference(tmp_path / "config.yaml", config))
