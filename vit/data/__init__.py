"""Pictures for training and prediction: decoding, preprocessing, datasets and their splits, augmentation.

Knows no model. Everything random in it is a function of (seed, epoch, index).
"""

from vit.data.augment import Augment, Mix
from vit.data.datasets import Splits, load
from vit.data.decode import FORMATS, STATUSES, DecodeError, open_picture
from vit.data.images import FileImages, Images, TensorImages, spread, statistics
from vit.data.loader import EpochSampler, loader
from vit.data.preprocess import Preprocess, levels
from vit.data.randomness import generator, uniforms
from vit.data.splits import stratified_split

__all__ = [
    "FORMATS",
    "STATUSES",
    "Augment",
    "DecodeError",
    "EpochSampler",
    "FileImages",
    "Images",
    "Mix",
    "Preprocess",
    "Splits",
    "TensorImages",
    "generator",
    "levels",
    "load",
    "loader",
    "open_picture",
    "spread",
    "statistics",
    "stratified_split",
    "uniforms",
]
