"""Whether the training step is compiled, and the compiled step."""

import logging
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.exc import InductorError

from vit.config import Compile
from vit.errors import VitError, one_line_message
from vit.training.module import Classifier
from vit.training.step import StepResult

GRAPH_SECONDS = 60.0  # about what one graph takes to compile
STEP_SECONDS = 0.03  # about what the host of a GPU needs for a step that is not compiled
WORTH = 3  # a run is compiled if it lasts this many times as long as compiling
CALLS = 4096  # graphs that torch keeps of one function: those of earlier runs in this process count, too
COMPILERS = ("c++", "g++", "clang++", "cl")


class Choice(NamedTuple):
    """Whether to compile, and why."""

    compiled: bool
    reason: str


class CompileStep(Callback):
    """Compiles augmentation, mixing, growth, model and loss of a training step as one graph for each size.

    Random numbers are drawn as without a graph, so that both give the same losses, to the precision of the
    dtype. Validation is not compiled, and no module is replaced: no name in a checkpoint changes.

    Args:
        setting: `true`, `false`, or `auto`.
        backend: As torch.compile's.
    """

    def __init__(self, setting: Compile, backend: Any = "inductor"):
        self.setting, self.backend = setting, backend

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Choose, and say so in the log.

        Raises:
            VitError: It is to be compiled, and this machine cannot.
        """
        assert isinstance(pl_module, Classifier)
        if self.setting is False:
            return
        sizes = image_sizes(trainer, pl_module)
        device = trainer.strategy.root_device.type
        lacking = lacking_compiler(device) if self.backend == "inductor" else None
        if self.setting is True:
            if lacking:
                raise VitError(f"trainer.compile is true, and {lacking}: install it, or give false")
            choice = Choice(True, "trainer.compile is true")
        else:
            choice = choose(device, sizes, seconds_left(trainer), lacking, trainer.world_size)
        log = logging.getLogger("vit")
        log.info(f"trainer.compile is {'on' if choice.compiled else 'off'}: {choice.reason}")
        if choice.compiled:
            # A graph of CUDA writes to the same memory each time: gradients could not be summed there.
            cuda_graphs = device == "cuda" and sizes > 0 and trainer.accumulate_grad_batches == 1
            options = {"fallback_random": True, "triton.cudagraphs": cuda_graphs}
            pl_module.graph = compiled(
                pl_module.step,
                backend=self.backend,
                options=options if self.backend == "inductor" else None,
                dynamic=not sizes,
                give_up=None if self.setting is True else lambda reason: log.warning(reason),
            )

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let go of the last step's gradients: a graph of CUDA uses their memory again."""
        if pl_module.graph is not None and trainer.accumulate_grad_batches == 1:
            torch.compiler.cudagraph_mark_step_begin()
            pl_module.zero_grad()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let go of the graph."""
        pl_module.graph = None  # type: ignore[assignment]


def compiled(
    step: Callable[..., StepResult],
    *,
    backend: Any = "inductor",
    options: dict[str, Any] | None = None,
    dynamic: bool = False,
    give_up: Callable[[str], None] | None = None,
) -> Callable[..., StepResult]:
    """A step as one graph for each size, or with `dynamic` one for all.

    Args:
        step: From batch, numbers, epoch and size to the result.
        backend: As torch.compile's, as are the options.
        options: See `backend`.
        dynamic: For texts, whose lengths differ from batch to batch.
        give_up: Called with the reason where it cannot be compiled, and the step is taken as it is from then
            on. None: that is an error.
    """
    graph = torch.compile(step, fullgraph=True, dynamic=dynamic, backend=backend, options=options)
    plain = False

    def call(*arguments: Any) -> StepResult:
        nonlocal plain
        if plain:
            return step(*arguments)
        try:
            with torch._dynamo.config.patch(recompile_limit=CALLS, accumulated_recompile_limit=CALLS):
                return graph(*arguments)
        except (TorchDynamoException, InductorError) as error:
            reason = f"the training step cannot be compiled: {one_line_message(error)}"
            if give_up is None:
                raise VitError(f"{reason}; --trainer.compile false trains without") from None
            give_up(f"{reason}; it is not compiled")
            plain = True
            return step(*arguments)

    return call


def choose(device: str, sizes: int, seconds: float, lacking: str | None, processes: int) -> Choice:
    """What `auto` does.

    Args:
        device: Its kind.
        sizes: Number of sizes of the images, each with a graph; 0: lengths that differ (texts, features).
        seconds: That the run has left.
        lacking: What the machine lacks to compile.
        processes: That train together.
    """
    if device == "cpu":
        return Choice(False, "on a CPU a compiled step is as fast, and takes most of a minute to compile")
    if device != "cuda":
        return Choice(False, f"it has not been tried on {device}")
    if not sizes:
        return Choice(False, "texts differ in length, and a head alone is quick")
    if processes > 1:
        return Choice(False, f"{processes} processes train together, for which it has not been tried")
    if lacking:
        return Choice(False, lacking)
    graphs = f"{sizes} graph{'s' if sizes > 1 else ''}, one for each size of the images"
    compiling = sizes * GRAPH_SECONDS
    if seconds < WORTH * compiling:
        return Choice(False, f"the run takes about {seconds:.0f} s, and {graphs} about {compiling:.0f} s")
    return Choice(True, f"{graphs}, on a GPU")


def image_sizes(trainer: L.Trainer, module: Classifier) -> int:
    """How many sizes the images of a run have; 0: inputs that are no images."""
    full = getattr(trainer.datamodule.splits.train, "size", None)  # type: ignore[attr-defined]
    if full is None:
        return 0
    if module.grow is None:
        return 1
    return len({module.grow.size(percent / 100, full) for percent in range(101)})


def seconds_left(trainer: L.Trainer) -> float:
    """About how long a run on a GPU goes on: until its steps are done, or its time is over."""
    seconds = (float(trainer.estimated_stepping_batches) - trainer.global_step) * STEP_SECONDS
    limits = [callback.time_remaining() for callback in _timers(trainer)]
    return min([seconds, *(limit for limit in limits if limit is not None)])


def _timers(trainer: L.Trainer) -> list[Any]:
    return [callback for callback in trainer.callbacks if hasattr(callback, "time_remaining")]  # type: ignore[attr-defined]


def lacking_compiler(device: str) -> str | None:
    """What a machine lacks to compile for a kind of device; None: nothing."""
    if not any(map(shutil.which, COMPILERS)):
        return "this machine has no C++ compiler"
    if device == "cuda" and find_spec("triton") is None:
        return "this machine has no triton"
    return None
