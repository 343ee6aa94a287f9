"""When the training step is compiled, and what is said of it."""

from pathlib import Path

import pytest

from vit.cli import main
from vit.training.callbacks import compile_step
from vit.training.callbacks.compile_step import GRAPH_SECONDS, WORTH, choose

HOUR = 3600.0


@pytest.mark.parametrize(
    ("arguments", "on", "says"),
    [
        (("cpu", 1, HOUR, None, 1), False, "on a CPU a compiled step is as fast"),
        (("mps", 1, HOUR, None, 1), False, "it has not been tried on mps"),
        (("cuda", 0, HOUR, None, 1), False, "texts differ in length"),
        (("cuda", 1, HOUR, "this machine has no triton", 1), False, "this machine has no triton"),
        (("cuda", 1, HOUR, None, 2), False, "2 processes train together"),
        (("cuda", 4, HOUR, None, 1), True, "4 graphs, one for each size of the images, on a GPU"),
        (("cuda", 1, WORTH * GRAPH_SECONDS, None, 1), True, "1 graph, one for each size"),
        (("cuda", 1, WORTH * GRAPH_SECONDS - 1, None, 1), False, "the run takes about 179 s, and 1 graph"),
        (("cuda", 4, 300.0, None, 1), False, "the run takes about 300 s, and 4 graphs"),
    ],
)
def test_auto_chooses_by_device_and_length(
    arguments: tuple[str, int, float, str | None, int], on: bool, says: str
) -> None:
    choice = choose(*arguments)
    assert choice.compiled == on
    assert says in choice.reason


def test_the_log_says_what_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = "train --config digits --model.width 24 --model.depth 1 --trainer.max_epochs 1"
    seen = []

    def chosen(*arguments: object) -> compile_step.Choice:
        seen.append(arguments)
        return choose(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compile_step, "choose", chosen)
    assert main(f"{command} --augment.grow_from 0.5".split()) == 0
    log = Path("runs/digits/train.log").read_text()
    assert "trainer.compile is off: on a CPU a compiled step is as fast" in log
    (device, sizes, seconds, _, processes) = seen[0]
    assert (device, sizes, processes) == ("cpu", 3, 1)  # 4, 6 and 8 pixels
    assert seconds == pytest.approx(20 * compile_step.STEP_SECONDS)


def test_a_machine_that_cannot_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compile_step.shutil, "which", lambda name: None)
    command = "train --config digits --model.width 24 --model.depth 1 --trainer.max_epochs 1"
    assert main(f"{command} --trainer.compile true".split()) == 1
    said = capsys.readouterr().err
    assert "trainer.compile is true, and this machine has no C++ compiler: install it, or give false" in said
    assert said.count("\n") == 1


def test_sharded_weights_are_not_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    command = "train --config digits --optim.ema 0 --trainer.strategy fsdp2 --trainer.compile true"
    assert main(command.split()) == 2
    assert "trainer.compile is true, expected auto or false where trainer.strategy" in capsys.readouterr().err
