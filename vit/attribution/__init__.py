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
from vit.attribution.perturbation import mean_colour, occlusion, rise
from vit.attribution.query import Query, parse_query, seed_row, to_grid
from vit.attribution.rollout import FUSIONS, discard_weakest, fuse_heads, rollout

__all__ = [
    "FUSIONS",
    "Layer",
    "Query",
    "attention_mass",
    "discard_weakest",
    "fuse_heads",
    "grad_rollout",
    "helpful",
    "legrad",
    "mean_colour",
    "occlusion",
    "outlier_patches",
    "parse_query",
    "relevance",
    "rise",
    "rollout",
    "seed_row",
    "to_grid",
    "weighted",
    "weights_gradient",
]
