"""From attention to maps: tensors in, tensors out. It imports no model code."""

from vit.attribution.gradient import (
    Layer,
    grad_rollout,
    helpful,
    legrad,
    relevance,
    weighted,
    weights_gradient,
)
from vit.attribution.mass import attention_mass, outlier_patches
from vit.attribution.perturbation import Score, mean_colour, occlusion, rise, token_occlusion
from vit.attribution.query import Query, parse_query, seed_row, to_grid
from vit.attribution.rollout import FUSIONS, discard_weakest, fuse_heads, rollout
from vit.attribution.words import in_words, sum_by_word, words_of

__all__ = [
    "FUSIONS",
    "Layer",
    "Query",
    "Score",
    "attention_mass",
    "discard_weakest",
    "fuse_heads",
    "grad_rollout",
    "helpful",
    "in_words",
    "legrad",
    "mean_colour",
    "occlusion",
    "outlier_patches",
    "parse_query",
    "relevance",
    "rise",
    "rollout",
    "seed_row",
    "sum_by_word",
    "to_grid",
    "token_occlusion",
    "weighted",
    "weights_gradient",
    "words_of",
]
