"""The shared attention core. It imports nothing of vit; every tower runs on it."""

from vit.core.attention import Attention, Recording, attention_weights
from vit.core.block import Block, LayerScale, Mlp
from vit.core.encoder import Encoder
from vit.core.pooling import AttentionPool, ClassMeanPool, ClassPool, MeanPool, make_pool
from vit.core.positions import GridPositions, SequencePositions
from vit.core.tape import POOL, Tape, record_attention, require_tower, watch_attention

__all__ = [
    "POOL",
    "Attention",
    "AttentionPool",
    "Block",
    "ClassMeanPool",
    "ClassPool",
    "Encoder",
    "GridPositions",
    "LayerScale",
    "MeanPool",
    "Mlp",
    "Recording",
    "SequencePositions",
    "Tape",
    "attention_weights",
    "make_pool",
    "record_attention",
    "require_tower",
    "watch_attention",
]
