"""Which precision a device gets, predictions that float16 cannot hold, and what is said where memory ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import vit
from vit import device
from vit.cli import main
from vit.device import autocast_dtype, best_device, half_dtype, is_out_of_memory, resolve_precision
from vit.errors import VitError
from vit.inference.embed import embedder
from vit.inference.predict import labeller
from vit.inference.rows import Pipeline, write_rows

LARGE, SMALL = 1e10, 1e6  # multiplications per input

# What is pretended (capability of a CUDA card and whether it has bfloat16; Apple's GPU; the CPU's
# instructions), Lightning's accelerator -> precision of training.
MACHINES: list[tuple[tuple[int, int] | None, bool, bool, dict[str, bool], str, str]] = [
    ((8, 0), True, False, {}, "auto", "bf16-mixed"),  # A100
    ((7, 5), False, False, {}, "auto", "16-mixed"),  # T4
    ((7, 0), False, False, {}, "gpu", "16-mixed"),  # V100
    ((6, 0), False, False, {}, "cuda", "32-true"),  # P100: float16 is no faster in matrix products
    ((7, 5), False, False, {"amx_bf16": True}, "cpu", "bf16-mixed"),  # the CPU is asked for
    ((7, 5), False, False, {}, "cpu", "32-true"),
    (None, False, True, {"avx512_bf16": True}, "auto", "32-true"),  # Apple's GPU, not the CPU
    (None, False, True, {}, "mps", "32-true"),
    (None, False, False, {"avx512_bf16": True}, "auto", "bf16-mixed"),
    (None, False, False, {"avx2": True}, "auto", "32-true"),
]


@pytest.mark.parametrize(("cuda", "bf16", "mps", "cpu", "accelerator", "expected"), MACHINES)
def test_auto_is_the_fast_precision_of_the_device(
    cuda: tuple[int, int] | None,
    bf16: bool,
    mps: bool,
    cpu: dict[str, bool],
    accelerator: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    assert resolve_precision("auto", accelerator) == expected
    assert resolve_precision("32-true", accelerator) == "32-true"
    kind = {"auto": "cuda" if cuda else "mps" if mps else "cpu", "gpu": "cuda"}.get(accelerator, accelerator)
    monkeypatch.setattr(device, "best_device", lambda: torch.device(kind))
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(expected)
    assert half_dtype(kind) == half
    assert autocast_dtype("auto", LARGE) == half
    assert autocast_dtype("auto", SMALL) is None
    assert autocast_dtype("16-mixed", SMALL) == torch.float16
    assert autocast_dtype("32-true", LARGE) is None


def test_torchrun_gives_each_process_its_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda")
    )
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert best_device() == torch.device("cuda", 1)


@pytest.mark.parametrize("make", [labeller, embedder])
def test_what_float16_cannot_hold_is_computed_again(
    make: Callable[..., Pipeline], digits_run: Path, pictures: Path, tmp_path: Path
) -> None:
    """Hidden activations far above 65,504, as T5 and some large vision models have them."""
    model: Any = vit.load_model(digits_run)
    mlp = model.encoder.blocks[0].mlp
    with torch.no_grad():
        mlp.expand.weight.mul_(1e6)
        mlp.expand.bias.mul_(1e6)
        mlp.contract.weight.div_(1e6)

    def rows(name: str) -> str:
        write_rows(make(model), [str(pictures)], tmp_path / name, {})
        return (tmp_path / name).read_text()

    exact = rows("exact.csv")
    model.autocast = torch.float16
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert not model(images).isfinite().all()
        assert model(images, exact=True).isfinite().all()
    assert rows("half.csv") == exact
    assert "nan" not in exact


def test_float16_scores_are_those_of_float32(digits_run: Path) -> None:
    model: Any = vit.load_model(digits_run)
    images = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        exact = model(images)
        model.autocast = torch.float16
        half = model(images)
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    torch.testing.assert_close(half, exact, atol=5e-3, rtol=0)


def run_out(*args: Any, **kwargs: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


COMMANDS = {
    "predict {run} {pictures} --output rows.csv --batch-size 48": "of 48: --batch-size 24",
    "predict {run} {pictures} --output rows.csv --batch-size 1": "a smaller model, or smaller inputs",
    "embed {run} {pictures} --output vectors.csv --batch-size 7": "batches of 7: --batch-size 3",
    "attend {run} {pictures} --output maps": "batches of 16: --batch-size 8",
    "evaluate {run}": "batches of 256: --batch-size 128",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_out_of_memory_is_one_line_with_the_way_out(
    command: str,
    digits_run: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vit.vision.VisionTransformer, "embed", run_out)
    assert main(command.format(run=digits_run, pictures=pictures).split()) == 1
    line = capsys.readouterr().err
    assert line.startswith("vit: out of memory with batches of ")
    assert line.endswith(f"{COMMANDS[command]} needs less\n")
    assert line.count("\n") == 1


def test_out_of_memory_in_training_starts_over_with_half_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vit.vision import VisionTransformer

    embed = VisionTransformer.embed

    def small_batches_alone(self: Any, images: torch.Tensor, *args: Any) -> torch.Tensor:
        if self.training and len(images) > 20:
            run_out()
        return embed(self, images, *args)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(VisionTransformer, "embed", small_batches_alone)
    words = "train --config digits --model.width 24 --model.depth 2 --trainer.precision 32-true"
    words += " --trainer.max_epochs 1 --data.batch_size 80 --trainer.overlays 0"
    assert main(words.split()) == 0
    shown = capsys.readouterr().out
    assert "out of memory with batches of 80: starting over with batches of 40, 2 per step" in shown
    assert "out of memory with batches of 40: starting over with batches of 20, 4 per step" in shown
    assert "batch_size: 20" in (tmp_path / "runs" / "digits" / "config.yaml").read_text()


def test_other_errors_of_torch_are_not_called_out_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="another"), device.memory_advice(8):
        raise RuntimeError("another")
    with pytest.raises(VitError, match="batches of 8: --batch-size 4 needs less"), device.memory_advice(8):
        torch.empty(10**15)  # more than any machine has: the CPU's own error
