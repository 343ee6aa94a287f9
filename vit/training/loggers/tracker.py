"""A library with the interface of wandb as a logger of Lightning."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from PIL import Image

from vit.errors import VitError, one_line_message


class Tracker(Logger):
    """Gives the figures and overlays of a run to wandb or trackio, in process 0 alone.

    Args:
        library: Has `init(**options)`, which returns a run with `log(values, step=)`; `Image`; and `finish`.
        options: Of `init`.
        on_failure: Arguments of `finish` after a run that failed.
    """

    def __init__(self, library: Any, options: Mapping[str, Any], on_failure: Mapping[str, Any] | None = None):
        super().__init__()
        self.library, self.options, self.on_failure = library, dict(options), dict(on_failure or {})
        self.run: Any = None

    @property
    def name(self) -> str:
        """The library's."""
        return str(self.library.__name__)

    @property
    def version(self) -> str:
        """The run's name."""
        return str(self.options["name"])

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The library's run, which the first call begins.

        Raises:
            VitError: The library refuses to begin, as wandb does without a key or a network.
        """
        if self.run is None:
            try:
                self.run = self.library.init(**self.options)
            except Exception as error:  # of whatever kind: libraries have many of their own
                reason = one_line_message(error).rstrip(".")
                raise VitError(
                    f"trainer.logger is {self.name}, which does not begin: {reason}; "
                    "--trainer.logger csv does without it"
                ) from None
        return self.run

    @rank_zero_only
    def save(self) -> None:
        """Begin. Lightning calls this before the first step, so what is refused is refused at once."""
        _ = self.experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: `init` has the config of the run."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Figures of a step."""
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Image.Image], step: int | None = None) -> None:
        """Pictures of a step."""
        for image in images:
            self.experiment.log({key: self.library.Image(image)}, step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run; what is not sent yet is sent now."""
        if self.run is not None:
            self.run = None
            self.library.finish(**({} if status == "success" else self.on_failure))
