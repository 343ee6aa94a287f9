"""The pooler of encoders that have one between pool and head: a linear layer and an activation."""

from torch import nn

POOLERS = {"tanh": nn.Tanh, "relu": nn.ReLU}


def make_pooler(kind: str | None, width: int) -> nn.Sequential | None:
    """(..., width) -> (..., width), as the poolers of BERT and ViT in transformers; None for None.

    Raises:
        ValueError: An unknown name.
    """
    if kind is None:
        return None
    if kind not in POOLERS:
        raise ValueError(f"pooler is {kind!r}, expected None or one of: {', '.join(POOLERS)}")
    return nn.Sequential(nn.Linear(width, width), POOLERS[kind]())
