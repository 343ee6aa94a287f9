"""A training step is one graph for each size of the images, and makes the host wait for nothing."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from vit.cli import main
from vit.config import AugmentConfig, Config, ModelConfig, OptimConfig
from vit.data.augmentation import policy
from vit.data.augmentation.mix import Mix
from vit.data.augmentation.tokens import TokenMasking
from vit.data.preprocess import Preprocess
from vit.recipes.image import _architecture, image_classifier
from vit.training.callbacks.compile_step import compiled
from vit.training.module import Classifier
from vit.training.next_token import NextToken
from vit.training.objective import OneLabel, SeveralLabels
from vit.training.step import Step
from vit.weights.models import make_tower

BATCH, CLASSES, SIDE = 5, 7, 16
CONV = ModelConfig(
    patch_size=4, tokenizer="conv", width=24, depth=2, heads=3, class_token=False, pool="mean", drop_path=0.3
)
PLAIN = ModelConfig(patch_size=4, width=24, depth=2, heads=3, registers=2, dropout=0.1)
STRONG = AugmentConfig(policy="rand", erase=0.5, mixup=0.4, cutmix=1.0, grow_from=0.5, grow_until=0.7)
CASES = {
    "conv": (CONV, STRONG, OneLabel),
    "plain": (PLAIN, AugmentConfig(policy="trivial", crop="resized"), OneLabel),
    "several labels": (PLAIN, AugmentConfig(crop="none", mixup=0.4), SeveralLabels),
}
with_cases = pytest.mark.parametrize("case", CASES)


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests() -> None:
    torch._dynamo.reset()


def classifier(case: str) -> Classifier:
    """With weights that no initialisation has left at 0 or 1."""
    sizes, augment, objective = CASES[case]
    preprocess = Preprocess(SIDE, SIDE, channels=3)
    model = make_tower(_architecture(sizes, CLASSES, preprocess))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    config = Config(augment=augment, model=sizes, optim=OptimConfig())
    return image_classifier(config, model, objective(CLASSES, label_smoothing=0.1), preprocess).train()


def batch(module: Classifier, epoch: int) -> tuple[Tensor, ...]:
    pixels = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    targets = torch.randint(0, CLASSES, (BATCH,))
    if isinstance(module.objective, SeveralLabels):
        targets = torch.randint(0, 2, (BATCH, CLASSES)).float()
        targets[2, 1] = torch.nan
    return pixels, targets, torch.arange(100, 100 + BATCH), module.step.mix.draw(epoch, 100, (SIDE, SIDE))


def growth(module: Classifier) -> list[tuple[int, int] | None]:
    """The size at each tenth of a run."""
    if module.grow is None:
        return [None] * 10
    return [module.grow.size(tenth / 10, (SIDE, SIDE)) for tenth in range(10)]


def differences(module: Classifier, graph: Any, dtype: torch.dtype | None = None) -> dict[str, float]:
    """The largest difference of losses, and of gradients over the largest of their parameter."""
    largest = {"loss": 0.0, "gradient": 0.0}
    for epoch, size in enumerate(growth(module)):
        arguments = batch(module, epoch)
        found = []
        for step, number in ((graph, torch.tensor(epoch)), (module.step, epoch)):
            module.zero_grad()
            torch.manual_seed(epoch)  # of dropout
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                result = step(*arguments, number, size)
            result.loss.backward()
            gradients = [p.grad for p in module.model.parameters() if p.grad is not None]
            assert len(gradients) == len(list(module.model.parameters()))
            found.append((result.loss.detach(), gradients))
        (one, ours), (other, theirs) = found
        largest["loss"] = max(largest["loss"], float((one - other).abs()))
        for a, b in zip(ours, theirs, strict=True):
            largest["gradient"] = max(
                largest["gradient"], float((a - b).abs().max() / b.abs().max().clamp(1e-3))
            )
    return largest


@with_cases
def test_a_step_is_one_graph_for_each_size(case: str) -> None:
    module, counter = classifier(case), CompileCounter()
    graph = compiled(module.step, backend=counter)
    assert differences(module, graph) == {"loss": 0.0, "gradient": 0.0}
    assert counter.frame_count == len(set(growth(module)))
    assert (len(set(growth(module))) == 3) == (case == "conv")


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
def test_the_graph_of_forward_and_backward_gives_the_same_losses(dtype: torch.dtype | None) -> None:
    module = classifier("conv")
    found = differences(module, compiled(module.step, backend="aot_eager"), dtype)
    assert found["loss"] < (1e-6 if dtype is None else 1e-2)
    assert found["gradient"] < (1e-5 if dtype is None else 2e-2)


@pytest.mark.slow
def test_a_compiled_step_gives_the_same_losses() -> None:
    module = classifier("conv")
    graph = compiled(module.step, options={"fallback_random": True})
    found = differences(module, graph)
    assert found["loss"] < 2e-3  # where interpolation is half-way between two levels, it may round otherwise
    assert found["gradient"] < 0.05


@pytest.mark.parametrize("causal", [False, True])
def test_texts_of_all_lengths_are_one_graph(causal: bool) -> None:
    model: Any = make_tower(
        {
            "tower": "text", "vocabulary": 50, "length": 32, "padding": 0, "classes": 50 if causal else 3,
            "width": 24, "depth": 2, "heads": 3, "mlp_ratio": 2.0, "norm": "pre", "positions": "learned",
            "embedding_norm": False, "encoder_norm": True, "causal": causal,
            "pool": "last" if causal else "mean", "pool_block": None,
        }
    ).train()  # fmt: skip
    objective = NextToken(50, tokens_per_word=1.0) if causal else OneLabel(3)
    step = Step(model, objective.train(), TokenMasking(1, 0.1, 3, [0]), Mix(0, 0, 3, 1))
    counter = CompileCounter()
    graph = compiled(step, backend=counter, dynamic=True)
    for length in (7, 11, 13, 32):
        ids = torch.randint(1, 50, (BATCH, length))
        ids[0, length // 2 :] = 0
        targets = torch.where(ids == 0, -100, ids) if causal else torch.arange(BATCH) % 3
        arguments = ids, targets, torch.arange(BATCH), torch.zeros(8)
        loss = graph(*arguments, torch.tensor(length), None).loss
        assert torch.equal(loss, step(*arguments, length, None).loss)
    assert counter.frame_count == 1


def test_a_step_that_cannot_be_compiled() -> None:
    def waits(raw: Tensor, indices: Tensor, epoch: Any) -> Tensor:
        return raw if raw.sum() > 0 else -raw

    module, said = classifier("plain"), []
    step = Step(module.model, module.objective, waits, module.step.mix)
    graph = compiled(step, backend="eager", give_up=said.append)
    arguments = (batch(module, 0)[0].float(), *batch(module, 0)[1:])
    for _ in range(2):
        graph(*arguments, torch.tensor(0), None)
    assert len(said) == 1
    assert said[0].startswith("the training step cannot be compiled: ")
    assert said[0].endswith("; it is not compiled")
    assert "\n" not in said[0]


# --- a whole step of Lightning ---


class Watched(L.Callback):
    """Counts what the host would wait for, from the end of one step to the end of a later one."""

    def __init__(self, operations: Any, first: int, last: int):
        self.operations, self.first, self.last = operations, first, last

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, number: int) -> None:
        if trainer.current_epoch == 0 and number == self.first:
            self.operations.__enter__()
        if trainer.current_epoch == 0 and number == self.last:
            self.operations.__exit__(None, None, None)


def run(arguments: str, monkeypatch: pytest.MonkeyPatch, operations: Any, steps: range) -> None:
    """Train, and count within these steps, as on a device that is not the host's."""

    def elsewhere(values: Tensor, chosen: Tensor, change: Any, *others: Tensor) -> Tensor:
        return torch.where(chosen, change(values, *others), values)

    before, fit = Classifier.on_before_batch_transfer, __import__("vit.recipes.train").recipes.train.fit

    def on_the_host(self: Classifier, *args: Any) -> Any:
        """A batch is on the host until it is copied: to read its numbers there is no waiting."""
        with torch.utils._python_dispatch._disable_current_modes():
            return before(self, *args)

    watched = Watched(operations, steps.start - 1, steps.stop - 1)
    monkeypatch.setattr(policy, "_change", elsewhere)
    monkeypatch.setattr(Classifier, "on_before_batch_transfer", on_the_host)
    monkeypatch.setattr(
        "vit.recipes.train.fit",
        lambda *args, **options: fit(*args, **options | {"callbacks": [*options["callbacks"], watched]}),
    )
    assert main(arguments.split()) == 0


SMALL = (
    "train --config digits --model.width 24 --model.depth 2 --trainer.max_epochs 1 --trainer.overlays 0 "
    "--data.batch_size 50 --optim.ema 0.9 --optim.clip 1 --augment.policy rand --augment.erase 0.3 "
    "--augment.mixup 0.4 --augment.cutmix 1 --augment.grow_from 0.5 --model.drop_path 0.2"
)
STEPS = range(3, 19)  # more than one interval of Lightning's logs


@pytest.mark.parametrize(
    "more", ["--optim.name muon", "--trainer.precision bf16-mixed --trainer.accumulate 2"]
)
def test_nothing_in_a_step_waits(
    more: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: Callable[[str], ModuleType],
) -> None:
    monkeypatch.chdir(tmp_path)
    operations = script("count_operations").Operations()
    run(f"{SMALL} {more}", monkeypatch, operations, STEPS)
    assert operations.kinds.total() > 500 * len(STEPS)
    assert not operations.waiting


def test_waiting_in_a_step_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Callable[[str], ModuleType]
) -> None:
    monkeypatch.chdir(tmp_path)
    operations = script("count_operations").Operations()
    plain = Classifier.training_step

    def reading(self: Classifier, *args: Any) -> Tensor:
        loss = plain(self, *args)
        assert float(loss.detach()) > 0
        return loss

    monkeypatch.setattr(Classifier, "training_step", reading)
    run(SMALL, monkeypatch, operations, STEPS)
    assert operations.waiting == {"_local_scalar_dense": len(STEPS)}
