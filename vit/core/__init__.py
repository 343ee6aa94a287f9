"""The attention core that all towers share. It imports nothing else of vit."""

from vit.core.attention import Attention, Recording, attention_weights
from vit.core.block import Block, LayerScale
from vit.core.cache import LayerCache, new_cache
from vit.core.encoder import Encoder
from vit.core.mlp import ACTIVATIONS, Mlp
from vit.core.norms import make_norm
from vit.core.pooling import AttentionPool, ClassMeanPool, ClassPool, MeanPool, make_pool
from vit.core.relations import Relation, Rotation
from vit.core.spec import BlockSpec
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
    "LayerCache",
    "LayerScale",
    "MeanPool",
    "Mlp",
    "Recording",
    "Relation",
    "Rotation",
    "Slot",
    "Tape",
    "Tower",
    "attention_slots",
    "attention_weights",
    "make_norm",
    "make_pool",
    "new_cache",
    "probabilities",
    "record_attention",
    "watch_attention",
]
