"""Positions of tokens: tables added to tokens, rotations and biases inside attention."""

from vit.positions.absolute import GridPositions, SequencePositions
from vit.positions.distances import DistanceKeys
from vit.positions.relative import BucketBias, GridBias
from vit.positions.roster import GRIDS, SEQUENCES, make_relative
from vit.positions.rotary import GridRotary, MixedGridRotary, SequenceRotary

__all__ = [
    "GRIDS",
    "SEQUENCES",
    "BucketBias",
    "DistanceKeys",
    "GridBias",
    "GridPositions",
    "GridRotary",
    "MixedGridRotary",
    "SequencePositions",
    "SequenceRotary",
    "make_relative",
]
