"""The first weights of a tower that is trained from scratch."""

from torch import nn


def initialise(tower: nn.Module) -> None:
    """Matrices by Glorot & Bengio (2010), biases zero, embeddings of length 1, and a zero `head`: uniform
    scores.

    A fixed standard deviation such as 0.02 suits one width; at small widths attention stays uniform for the
    first epochs.
    """
    for module in tower.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
    if isinstance(tower.head, nn.Linear):
        nn.init.zeros_(tower.head.weight)
