"""From attention to maps: tensors in, tensors out. It imports no model code."""

from vit.attribution.query import Query, parse_query, seed_row, to_grid
from vit.attribution.rollout import rollout

__all__ = ["Query", "parse_query", "rollout", "seed_row", "to_grid"]
