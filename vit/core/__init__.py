"""The shared attention core. It imports nothing of vit; every tower runs on it."""

from vit.core.attention import Attention, Recording, attention_weights
from vit.core.block import Block, LayerScale, Mlp
from vit.core.encoder import Encoder
from vit.core.pooling import AttentionPool, ClassPool, MeanPool
from vit.core.positions import GridPositions
from vit.core.tape import POOL, Tape, record_attention, require_tower, watch_attention

__all__ = [
    "POOL",
    "Attention",
    "AttentionPool",
    "Block",
    "ClassPool",
    "Encoder",
    "GridPositions",
    "LayerScale",
    "MeanPool",
    "Mlp",
    "Recording",
    "Tape",
    "attention_weights",
    "record_attention",
    "require_tower",
    "watch_attention",
]
