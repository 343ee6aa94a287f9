"""LeGrad (Bousselham et al. 2024, "LeGrad: an explainability method for vision transformers")."""

from collections.abc import Iterable

import torch
from torch import Tensor

from vit.attribution.explain import Explanation
from vit.attribution.passes import (
    ENCODER,
    Watched,
    clone_if_inference,
    explanation,
    pad_prefix,
    query_logits,
    require_depth,
    target_logits,
    watch_gradients,
    whole_mask,
)
from vit.attribution.query import Query
from vit.core import POOL, Slot, Tower


def run(model: Tower, inputs: Tensor, query: Query, targets: Tensor | None) -> Explanation:
    """The mean over layers of each layer's gradient of the target's logit, read from that layer's tokens.

    In a model that pools by attention the paper explains each layer through the pool's weights (section 3.3);
    a query other than the pool itself does not read the pool.
    """
    through_pool = query == "cls" and model.pool_kind in ("attention", "attention_all")
    kept: list[Watched] = []
    scores: list[Tensor] = []
    with watch_gradients(model) as watched:
        tokens = model.embed(clone_if_inference(inputs), whole_mask(model, inputs))
        grid = model.grid(inputs)
        # Detached: a layer's score has its gradient in this layer alone.
        layers = model.encoder.layers(tokens, relations=model.relations(inputs), detach=True)
        for layer, after in enumerate(layers):
            tokens = after
            states = model.encoder.norm(tokens)
            scores.append(query_logits(model, states, query, grid))
            require_depth(int(Slot(ENCODER, layer) in watched), 1, f"block {layer}")
            kept.append(watched[POOL if through_pool else Slot(ENCODER, layer)])
        logits = scores[-1] if query == "cls" else model.read(states)
        targets = logits.argmax(1) if targets is None else targets
        total = torch.stack([target_logits(score, targets) for score in scores]).sum()
        gradients = torch.autograd.grad(total, [part.mixed for part in kept])
    row = legrad(part.gradient(gradient) for part, gradient in zip(kept, gradients, strict=True))
    left_out = tokens.shape[1] - row.shape[1]  # the prefix, where the pool does not read it
    return explanation(model, grid, pad_prefix(row, left_out), tokens, logits, targets)


def legrad(gradients: Iterable[Tensor]) -> Tensor:
    """LeGrad (Bousselham et al. 2024, "LeGrad: an explainability method for vision transformers", section 3).

    Each layer has a score of its own: the head's output for that layer's tokens. Its gradient by the
    layer's own weights, negative entries set to zero, is averaged over heads and queries, and then over
    layers. The gradient by a weight that a mask forbids is zero: in a causal model a token is averaged over
    all queries too, also over those before it.

    Args:
        gradients: (B, H, N, M) for each layer, of that layer's score by that layer's weights; N queries.

    Returns:
        (B, M), not negative. The paper scales the patches' part to [0, 1]; here it is not scaled.

    Raises:
        ValueError: No layer.
    """
    total: Tensor | None = None
    depth = 0
    for gradient in gradients:
        layer = gradient.clamp(min=0).mean((1, 2))
        total = layer if total is None else total + layer
        depth += 1
    if total is None:
        raise ValueError("legrad got no layers: record the attention of a whole forward pass")
    return total / depth
