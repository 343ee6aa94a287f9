"""Pictures and texts for training and prediction: reading, preprocessing, datasets, splits, augmentation.

Knows no model. Everything random in it is a function of (seed, epoch, index).
"""

from vit.data.augment import Augment, Growth, Mix
from vit.data.datasets import Splits, load, load_texts
from vit.data.decode import FORMATS, STATUSES, DecodeError, open_picture
from vit.data.images import FileImages, Images, TensorImages, spread, statistics
from vit.data.loader import EpochSampler, loader
from vit.data.preprocess import Preprocess, levels
from vit.data.randomness import generator, uniforms
from vit.data.splits import stratified_split
from vit.data.tables import Record, read_records
from vit.data.texts import Blanks, Sentences, Texts

__all__ = [
    "FORMATS",
    "STATUSES",
    "Augment",
    "Blanks",
    "DecodeError",
    "EpochSampler",
    "FileImages",
    "Growth",
    "Images",
    "Mix",
    "Preprocess",
    "Record",
    "Sentences",
    "Splits",
    "TensorImages",
    "Texts",
    "generator",
    "levels",
    "load",
    "load_texts",
    "loader",
    "open_picture",
    "read_records",
    "spread",
    "statistics",
    "stratified_split",
    "uniforms",
]
