"""The attention core that all towers share. It imports nothing else of vit."""

from vit.core.attention import Attention, Recording, attention_weights
from vit.core.block import ACTIVATIONS, Block, BlockSpec, LayerScale, Mlp
from vit.core.encoder import Encoder
from vit.core.norms import make_norm
from vit.core.pooling import AttentionPool, ClassMeanPool, ClassPool, MeanPool, make_pool
from vit.core.positions import GridPositions, SequencePositions
from vit.core.tape import POOL, Slot, Tape, attention_slots, record_attention, watch_attention
from vit.core.tower import Tower, probabilities

__all__ = [
    "ACTIVATIONS",
    "POOL",
    "Attention",
    "AttentionPool",
    "Block",
    "BlockSpec",
    "ClassMeanPool",
    "ClassPool",
    "Encoder",
    "GridPositions",
    "LayerScale",
    "MeanPool",
    "Mlp",
    "Recording",
    "SequencePositions",
    "Slot",
    "Tape",
    "Tower",
    "attention_slots",
    "attention_weights",
    "make_norm",
    "make_pool",
    "probabilities",
    "record_attention",
    "watch_attention",
]
