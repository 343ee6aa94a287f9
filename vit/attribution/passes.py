"""What the methods share: passes through a model in which its attention is recorded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vit.attribution.explain import Explanation
from vit.attribution.gradient import Layer, weights_gradient
from vit.attribution.mass import outlier_patches
from vit.attribution.query import Query, seed_row, to_grid
from vit.core import POOL, Recording, Slot, Tower, watch_attention
from vit.errors import VitError

ENCODER = "encoder"  # the stack of a tower's blocks


class ForwardPass:
    """A forward pass that yields each layer's attention, so that only one layer is held at a time.

    Args:
        model: In eval mode.
        inputs: Images (B, C, height, width), or ids int64 (B, N) without padding.

    Attributes:
        grid: (rows, cols) of patches.
        last: (B, N, D), after the last block.
        states: (B, N, D), after the final norm.
        logits: (B, classes), the model's own.
        pool: The attention pool's recording; None without such a pool.
    """

    grid: tuple[int, int]
    last: Tensor
    states: Tensor
    logits: Tensor

    def __init__(self, model: Tower, inputs: Tensor):
        self.model, self.inputs = model, inputs
        self.pool: Recording | None = None

    def layers(self) -> Iterator[Recording]:
        """Yield each layer's recording, first layer first. The attributes are set when it is exhausted.

        Raises:
            RuntimeError: A block attended more than once, or not through `vit.core.Attention`.
        """
        seen: list[tuple[Slot, Recording]] = []

        def visit(slot: Slot, recording: Recording, values: Tensor, mixed: Tensor) -> None:
            seen.append((slot, recording))

        model = self.model
        with watch_attention(model, visit):
            tokens = model.embed(self.inputs, whole_mask(model, self.inputs))
            self.grid = model.grid(self.inputs)
            relations = model.relations(self.inputs)
            for layer, after in enumerate(model.encoder.layers(tokens, relations=relations)):
                tokens = after
                require_depth(len(seen), 1, f"block {layer}")
                yield seen.pop()[1]
            self.last, self.states = tokens, model.encoder.norm(tokens)
            self.logits = model.read(self.states)
            self.pool = dict(seen).get(POOL)

    def seed(self, query: Query) -> Tensor:
        """The weighting of final tokens that a query stands for, (1 or B, N); after `layers`."""
        row = None if self.pool is None else self.pool.weights().mean(1)[:, 0]
        return seed_row(query, self.grid, self.model.prefix, pool=self.model.pool_kind, pool_row=row)

    def row(self, query: Query, joint: Tensor) -> Explanation:
        """The explanation by the row of `joint` (B, N, N) that the query stands for."""
        seed = self.seed(query).to(joint).expand(len(joint), -1)
        row = torch.bmm(seed[:, None], joint)[:, 0]
        return explanation(self.model, self.grid, row, self.last, self.logits, None)


class Watched(NamedTuple):
    """One layer's attention while gradients are on.

    Args:
        recording: Queries, keys, mask.
        values: (B, H, M, K)
        mixed: (B, H, N, K), the weighted sums of the values.
    """

    recording: Recording
    values: Tensor
    mixed: Tensor

    def gradient(self, mixed_gradient: Tensor) -> Tensor:
        """A score's gradient by the weights, (B, H, N, M), from that by `mixed`."""
        return weights_gradient(mixed_gradient, self.values, self.recording.mask)


@contextmanager
def without_weights(model: Tower) -> Iterator[None]:
    """Gradients are on, also under `torch.inference_mode()`; the model's weights stay out of the graph.

    The weights' `requires_grad` is off meanwhile: do not train the same model object in another thread.

    Raises:
        VitError: The model was built under `torch.inference_mode()`.
    """
    parameters = list(model.parameters())
    if any(parameter.is_inference() for parameter in parameters):
        raise VitError(
            "the model was made under torch.inference_mode() and can have no gradients: make it outside"
        )
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_()


@contextmanager
def watch_gradients(model: Tower) -> Iterator[dict[Slot, Watched]]:
    """Gradients with respect to the mixed values of every layer; weights and errors as `without_weights`.

    Yields:
        What each layer computed, filled in during the forward pass.
    """
    watched: dict[Slot, Watched] = {}

    def visit(slot: Slot, recording: Recording, values: Tensor, mixed: Tensor) -> None:
        watched[slot] = Watched(recording, values, mixed.requires_grad_())

    with without_weights(model), watch_attention(model, visit):
        yield watched


def backward_rollout(
    product: Callable[[Tensor, Iterator[Layer]], Tensor],
    fuse_pool: Callable[[Tensor, Tensor], Tensor],
    model: Tower,
    inputs: Tensor,
    query: Query,
    targets: Tensor | None,
) -> Explanation:
    """Methods that multiply functions of attention and its gradient through the layers: one backward pass.

    Args:
        product: (seed (B, N), layers last to first) -> (B, N).
        fuse_pool: The attention pool's weights and gradient (B, H, 1, N) -> (B, 1, N).
        model: In eval mode, with a head.
        inputs: Images or ids.
        query: The token whose attention is explained.
        targets: int64 (B,); None: the predicted classes.
    """
    with watch_gradients(model) as watched:
        tokens = model.embed(clone_if_inference(inputs), whole_mask(model, inputs))
        for after in model.encoder.layers(tokens, relations=model.relations(inputs)):
            tokens = after
        depth = len(model.encoder.blocks)
        states = model.encoder.norm(tokens)
        logits = model.read(states)
        targets = logits.argmax(1) if targets is None else targets
        reads_pool = query == "cls" and POOL in watched
        grid = model.grid(inputs)
        score = logits if query == "cls" else query_logits(model, states, query, grid)
        require_depth(sum(slot.stack == ENCODER for slot in watched), depth, "the whole model")
        slots = [Slot(ENCODER, layer) for layer in range(depth)] + ([POOL] if reads_pool else [])
        scores = target_logits(score, targets).sum()
        gradients = dict(
            zip(slots, torch.autograd.grad(scores, [watched[slot].mixed for slot in slots]), strict=True)
        )

    def layer(slot: Slot) -> Layer:
        part = watched[slot]
        return part.recording.weights(), part.gradient(gradients[slot])

    pool_row = fuse_pool(*layer(POOL))[:, 0] if reads_pool else None
    seed = seed_row(query, grid, model.prefix, pool=model.pool_kind, pool_row=pool_row)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    seed = seed.to(logits.device, dtype).expand(inputs.shape[0], -1)
    row = product(seed, (layer(Slot(ENCODER, index)) for index in reversed(range(depth))))
    return explanation(model, grid, row, tokens, logits, targets)


def perturbed(
    method: Callable[..., Tensor],
    to_score: Callable[[Tensor], Tensor],
    model: Tower,
    inputs: Tensor,
    query: Query,
    targets: Tensor | None,
) -> Explanation:
    """Methods that read the score of changed inputs.

    Args:
        method: (inputs, targets, score, grid) -> maps (B, rows, cols).
        to_score: Logits -> scores (B, classes).
        model: In eval mode, with a head.
        inputs: Images or ids.
        query: The token that is read.
        targets: int64 (B,); None: the predicted classes.
    """
    logits = model.read(whole_states(model, inputs))  # exact, whatever `model.autocast` is
    targets = logits.argmax(1) if targets is None else targets
    grid = model.grid(inputs)

    def score(variants: Tensor, classes: Tensor) -> Tensor:
        states = whole_states(model, variants)
        return target_logits(to_score(query_logits(model, states, query, grid)), classes)

    return Explanation(method(inputs, targets, score, grid), logits, targets, None, None)


def whole_states(model: Tower, inputs: Tensor) -> Tensor:
    """Final states of images, or of texts in which every id is a token, also one of padding: (B, N, D)."""
    return model.encode(inputs, whole_mask(model, inputs))


def whole_mask(model: Tower, inputs: Tensor) -> Tensor | None:
    """The mask of texts in which every id is a token, bool (B, N); None for images."""
    return torch.ones_like(inputs, dtype=torch.bool) if model.reads == "text" else None


def explanation(
    model: Tower,
    grid: tuple[int, int],
    row: Tensor,
    last: Tensor,
    logits: Tensor,
    targets: Tensor | None,
) -> Explanation:
    """The explanation by scores of all tokens, (B, N).

    Args:
        model: The model.
        grid: (rows, cols)
        row: (B, N)
        last: (B, N, D), tokens after the last block.
        logits: (B, classes)
        targets: int64 (B,), or None.
    """
    outliers = outlier_patches(last, model.prefix)
    return Explanation(to_grid(row, grid, model.prefix), logits.detach(), targets, row, outliers)


def query_logits(model: Tower, states: Tensor, query: Query, grid: tuple[int, int]) -> Tensor:
    """The logits of a query, (B, classes): the model's own, or those of the query's state read alone."""
    if query == "cls":
        return model.read(states)
    seed = seed_row(query, grid, model.prefix, pool=model.pool_kind)[0]
    return model.read_token(torch.einsum("n,bnd->bd", seed.to(states), states))


def target_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """Each sample's logit of its target: (B, classes), (B,) -> (B,)."""
    return logits.gather(1, targets[:, None])[:, 0]


def clone_if_inference(inputs: Tensor) -> Tensor:
    """The inputs; a copy where they were made under `torch.inference_mode()` and cannot enter a graph."""
    return inputs.clone() if inputs.is_inference() else inputs


def require_depth(recorded: int, expected: int, what: str) -> None:
    """Raise if the number of recorded layers differs from the model's.

    Raises:
        RuntimeError: With both numbers.
    """
    if recorded != expected:
        raise RuntimeError(
            f"{what} recorded {recorded} layers of attention, expected {expected}: "
            "each block's attention must be vit.core.Attention"
        )


def pad_prefix(row: Tensor, prefix: int) -> Tensor:
    """(B, patches) -> (B, prefix + patches), zeros for the prefix."""
    return nn.functional.pad(row, (prefix, 0))
