"""Maps for a model and its images or texts: run the model as a method needs it, hand tensors on.

A text is a grid of one row of tokens without a prefix. Its batch has no padding, which would count as tokens.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vit.attribution.gradient import (
    Layer,
    grad_rollout,
    helpful,
    legrad,
    relevance,
    weighted,
    weights_gradient,
)
from vit.attribution.mass import outlier_patches
from vit.attribution.passes import Forward, require_depth
from vit.attribution.perturbation import Score, occlusion, rise, token_occlusion
from vit.attribution.query import Query, parse_query, seed_row, to_grid
from vit.attribution.rollout import fuse_heads, rollout
from vit.attribution.targets import as_targets
from vit.core import POOL, Recording, require_tower, watch_attention
from vit.errors import UsageError, VitError
from vit.text import TextTransformer
from vit.towers import Tower, require_pictures

Target = int | str | Tensor | None


class Explanation(NamedTuple):
    """What a method found.

    Args:
        maps: (B, rows, cols), at least float32.
        logits: (B, classes), the model's own, of the same pass.
        targets: int64 (B,), the classes explained; None where the method explains none.
        tokens: (B, N), the row that `maps` is the patches' part of; None where the method sees no tokens.
        outliers: bool (B, patches), patches of unusual norm (`vit.attribution.mass`); None likewise.
    """

    maps: Tensor
    logits: Tensor
    targets: Tensor | None
    tokens: Tensor | None
    outliers: Tensor | None


@torch.no_grad()
def explain(
    model: Tower,
    images: Tensor,
    method: str = "rollout",
    target: Target = None,
    query: str | tuple[int, int] = "cls",
    **options: Any,
) -> Explanation:
    """`vit.attend`, with what stands beside the maps. Arguments and errors are those of `vit.attend`.

    Texts are their ids here, int64 (B, N), all of one length; their maps are (B, 1, N).
    """
    require_tower(model)
    if isinstance(model, TextTransformer) and bool((images == model.padding).any()):
        raise ValueError("ids hold padding, and texts of one batch need one length: pass texts one at a time")
    # Autocast would take the maps' own products down to half precision.
    with torch.autocast(images.device.type, enabled=False):
        return _explain(model, images, method, target, query, options)


def _explain(
    model: Tower,
    images: Tensor,
    method: str,
    target: Target,
    query: str | tuple[int, int],
    options: dict[str, Any],
) -> Explanation:
    if method not in METHODS:
        raise VitError(f"method is {method!r}, expected one of: {', '.join(METHODS)}")
    how = METHODS[method]
    for name in options:
        if name not in how.options:
            takes = ", ".join(how.options) or "no option"
            raise UsageError(f"{method} does not know {name}, expected {takes}")
    if not how.of_a_class:
        if target is not None:
            raise VitError(f"target is {target}, but {method} looks at no class: leave the target out")
        return how.run(model, images, parse_query(query), **options)
    if not isinstance(model.head, nn.Linear):
        raise VitError(f"{method} explains a class, and this model has no head: use rollout or raw")
    targets = as_targets(target, len(images), model.head.out_features, model.labels)
    targets = None if targets is None else targets.to(images.device)
    return how.run(model, images, parse_query(query), targets, **options)


def _raw(
    model: Tower,
    images: Tensor,
    query: Query,
    *,
    layer: int = -1,
    head: int | None = None,
    fusion: str = "mean",
) -> Explanation:
    depth = len(model.encoder.blocks)
    if not -depth <= layer < depth:
        raise UsageError(f"layer is {layer}, expected 0 to {depth - 1}, or -1 for the last")
    forward = Forward(model, images)
    passing = forward.layers()
    for _ in range(layer % depth):
        next(passing)
    weights = next(passing).weights()
    heads = weights.shape[1]
    if head is not None and not 0 <= head < heads:
        raise UsageError(f"head is {head}, expected 0 to {heads - 1}, or none for all of them")
    fused = fuse_heads(weights if head is None else weights[:, head : head + 1], fusion)
    del weights
    deque(passing, maxlen=0)  # the rest of the model
    return _row(forward, query, fused)


def _rollout(
    model: Tower, images: Tensor, query: Query, *, fusion: str = "mean", discard: float = 0.0
) -> Explanation:
    forward = Forward(model, images)
    layers = map(Recording.weights, forward.layers())  # a generator's variable would keep a layer alive
    return _row(forward, query, rollout(layers, fusion=fusion, discard=discard, prefix=model.prefix))


def _row(forward: Forward, query: Query, joint: Tensor) -> Explanation:
    """The row of `joint` (B, N, N) that the query stands for."""
    row = torch.bmm(forward.seed(query).to(joint).expand(len(joint), -1)[:, None], joint)[:, 0]
    return _explanation(forward.model, forward.grid, row, forward.last, forward.logits, None)


def _explanation(
    model: Tower,
    grid: tuple[int, int],
    row: Tensor,
    last: Tensor,
    logits: Tensor,
    targets: Tensor | None,
) -> Explanation:
    """What a row over all tokens (B, N) says, beside the tokens after the last block (B, N, D)."""
    outliers = outlier_patches(last, model.prefix)
    return Explanation(to_grid(row, grid, model.prefix), logits.detach(), targets, row, outliers)


class _Watched(NamedTuple):
    """What a layer gave while gradients were on: its recording, values (B, H, M, K), mixed (B, H, N, K)."""

    recording: Recording
    values: Tensor
    mixed: Tensor


def _weighted(
    product: Callable[[Tensor, Iterator[Layer]], Tensor],
    fuse_pool: Callable[[Tensor, Tensor], Tensor],
    model: Tower,
    images: Tensor,
    query: Query,
    targets: Tensor | None,
) -> Explanation:
    """Methods that multiply weights and their gradients through the layers: one backward pass."""
    watched: dict[int, _Watched] = {}
    with _gradients_to_attention(model, watched):
        tokens = model.embed(_outside_inference(images))
        for block in model.encoder.blocks:
            tokens = block(tokens)
        states = model.encoder.norm(tokens)
        logits = model.read(states)
        targets = logits.argmax(1) if targets is None else targets
        reads_pool = query == "cls" and POOL in watched
        grid = model.grid(images)
        score = logits if query == "cls" else _reading(model, states, query, grid)
        depth = len(model.encoder.blocks)
        require_depth(sum(slot != POOL for slot in watched), depth, "the whole model")
        slots = [*range(depth), *([POOL] if reads_pool else [])]
        found = torch.autograd.grad(_chosen(score, targets).sum(), [watched[slot].mixed for slot in slots])
    gradients = dict(zip(slots, found, strict=True))

    def layer(slot: int) -> Layer:
        recording, values, _ = watched[slot]
        return recording.weights(), weights_gradient(gradients[slot], values)

    pool_row = fuse_pool(*layer(POOL))[:, 0] if reads_pool else None
    seed = seed_row(query, grid, model.prefix, pool=model.pool_kind, pool_row=pool_row)
    seed = seed.to(logits.device, torch.promote_types(logits.dtype, torch.float32)).expand(len(images), -1)
    row = product(seed, (layer(slot) for slot in reversed(range(depth))))
    return _explanation(model, grid, row, tokens, logits, targets)


def _relevance(model: Tower, images: Tensor, query: Query, targets: Tensor | None) -> Explanation:
    return _weighted(relevance, helpful, model, images, query, targets)


def _grad_rollout(
    model: Tower, images: Tensor, query: Query, targets: Tensor | None, *, discard: float = 0.0
) -> Explanation:
    def share(weights: Tensor, gradient: Tensor) -> Tensor:
        fused = weighted(weights, gradient)
        return fused / fused.sum(-1, keepdim=True).clamp(min=torch.finfo(fused.dtype).tiny)

    product = partial(grad_rollout, discard=discard, prefix=model.prefix)
    return _weighted(product, share, model, images, query, targets)


def _legrad(model: Tower, images: Tensor, query: Query, targets: Tensor | None) -> Explanation:
    # In a model that pools by attention the paper explains each layer through the pool's weights (its
    # section 3.3); a query other than the pool itself goes round the pool.
    through_pool = query == "cls" and model.pool_kind == "attention"
    watched: dict[int, _Watched] = {}
    kept: list[_Watched] = []
    scores: list[Tensor] = []
    with _gradients_to_attention(model, watched):
        tokens = model.embed(_outside_inference(images))
        grid = model.grid(images)
        for layer, block in enumerate(model.encoder.blocks):
            tokens = block(tokens.detach())  # a layer's score has its gradient in this layer alone
            states = model.encoder.norm(tokens)
            scores.append(_reading(model, states, query, grid))
            require_depth(int(layer in watched), 1, f"block {layer}")
            kept.append(watched[POOL if through_pool else layer])
        logits = scores[-1] if query == "cls" else model.read(states)
        targets = logits.argmax(1) if targets is None else targets
        total = torch.stack([_chosen(score, targets) for score in scores]).sum()
        gradients = torch.autograd.grad(total, [part.mixed for part in kept])
    row = legrad(weights_gradient(g, part.values) for g, part in zip(gradients, kept, strict=True))
    if through_pool:
        row = nn.functional.pad(row, (model.prefix, 0))
    return _explanation(model, grid, row, tokens, logits, targets)


def _occlusion(
    model: Tower, images: Tensor, query: Query, targets: Tensor | None, *, window: int = 1
) -> Explanation:
    def cover(ids: Tensor, classes: Tensor, score: Score, grid: tuple[int, int]) -> Tensor:
        return token_occlusion(ids, classes, score, model.preprocess.blank, window=window)

    method = cover if isinstance(model, TextTransformer) else partial(occlusion, window=window)
    return _perturbed(method, lambda logits: logits, model, images, query, targets)


def _rise(
    model: Tower, images: Tensor, query: Query, targets: Tensor | None, *, samples: int = 1000
) -> Explanation:
    masked = partial(rise, samples=samples)
    model = require_pictures(model, "rise")
    return _perturbed(masked, lambda logits: logits.softmax(-1), model, images, query, targets)


def _perturbed(
    method: Callable[..., Tensor],
    to_score: Callable[[Tensor], Tensor],
    model: Tower,
    images: Tensor,
    query: Query,
    targets: Tensor | None,
) -> Explanation:
    """Methods that ask the model about changed pictures or texts."""
    logits = model.read(model.encode(images))  # never in half precision, as `forward` may be
    targets = logits.argmax(1) if targets is None else targets
    grid = model.grid(images)

    def score(variants: Tensor, classes: Tensor) -> Tensor:
        return _chosen(to_score(_reading(model, model.encode(variants), query, grid)), classes)

    return Explanation(method(images, targets, score, grid), logits, targets, None, None)


def _reading(model: Tower, states: Tensor, query: Query, grid: tuple[int, int]) -> Tensor:
    """The logits a query stands for: the model's own, or what the head makes of one token alone."""
    if query == "cls":
        return model.read(states)
    seed = seed_row(query, grid, model.prefix, pool=model.pool_kind)[0]
    return model.read_token(torch.einsum("n,bnd->bd", seed.to(states), states))


def _chosen(logits: Tensor, targets: Tensor) -> Tensor:
    """(B, classes), (B,) -> (B,)."""
    return logits.gather(1, targets[:, None])[:, 0]


@contextmanager
def _gradients_to_attention(model: nn.Module, watched: dict[int, _Watched]) -> Iterator[None]:
    """Gradients on for the mixed values, the leaves of the graph, and off for weights and pictures."""

    def visit(slot: int, recording: Recording, values: Tensor, mixed: Tensor) -> None:
        watched[slot] = _Watched(recording, values, mixed.requires_grad_())

    if any(parameter.is_inference() for parameter in model.parameters()):
        raise VitError(
            "the model was made under torch.inference_mode() and can have no gradients: make it outside"
        )
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad(), watch_attention(model, visit):
            yield
    finally:
        for parameter in learning:
            parameter.requires_grad_()


def _outside_inference(images: Tensor) -> Tensor:
    """Pictures made under `torch.inference_mode()` cannot enter a graph; their copy can."""
    return images.clone() if images.is_inference() else images


class Method(NamedTuple):
    """How a method runs, whether it explains a class, and the options it knows."""

    run: Callable[..., Explanation]
    of_a_class: bool
    options: tuple[str, ...]


METHODS = {
    "raw": Method(_raw, False, ("layer", "head", "fusion")),
    "rollout": Method(_rollout, False, ("fusion", "discard")),
    "grad_rollout": Method(_grad_rollout, True, ("discard",)),
    "relevance": Method(_relevance, True, ()),
    "legrad": Method(_legrad, True, ()),
    "occlusion": Method(_occlusion, True, ("window",)),
    "rise": Method(_rise, True, ("samples",)),
}
