"""Where the figures of a run go beside its CSV files: TensorBoard, Weights & Biases, trackio."""

from vit.training.loggers.roster import make_logger
from vit.training.loggers.tracker import Tracker

__all__ = ["Tracker", "make_logger"]
