"""Features of a model that does not change, computed once and kept in the cache."""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from vit.core import Tower
from vit.data.cache import tensors as cache
from vit.data.found import Examples
from vit.data.loader import loader
from vit.inference.forward import CPU_TOKENS
from vit.progress import progress_bar
from vit.weights.models import tensor_bytes

KIND = "features"  # the folder of the cache
WORTH_STORING = 5.0  # seconds of computing
BATCH_SIZE = 256


@torch.no_grad()  # not inference mode: a head is trained on them
def frozen_features(
    model: Any,
    examples: Any,
    to_inputs: Callable[[Tensor], Tensor],
    *,
    batch_size: int = BATCH_SIZE,
    use_cache: bool = True,
) -> Tensor:
    """What the head of a model reads, for each example: float32 (n, F), on the CPU.

    They are taken from the cache where weights, precision, preprocessing and examples are those of before.
    The head does not matter.

    Args:
        model: A tower in eval mode.
        examples: n images or tokenized texts.
        to_inputs: From a batch of the examples, pixels or ids, to inputs of the model, on its device.
        batch_size: Most examples in a forward pass; on a CPU fewer, where they have many tokens.
        use_cache: Look into the cache, and keep them there.
    """
    key = feature_key(model, examples) if use_cache else None
    if key and (stored := cache.load(KIND, key)):
        return stored["features"].clone()  # not the file itself, which stays as it is
    if next(model.parameters()).device.type == "cpu":
        batch_size = min(batch_size, max(1, CPU_TOKENS // _tokens(model)))
    begun = time.perf_counter()
    parts = []
    with progress_bar("computing features", len(examples)) as advance:
        for raw, targets, _ in loader(examples, batch_size):
            parts.append(model.features(to_inputs(raw)).float().cpu())
            advance(len(targets))
    features = torch.cat(parts)
    if key and time.perf_counter() - begun > WORTH_STORING:
        cache.store(KIND, key, {"features": features})
    return features


def feature_key(model: Tower, examples: Examples) -> str:
    """A hash of all that the features depend on: the model but for its head, and the examples.

    Args:
        model: The tower.
        examples: By the digests of their content, and where they have none, by their pixels or ids.
    """
    architecture = {name: value for name, value in model.architecture.items() if name != "classes"}
    device = next(model.parameters()).device.type
    settings = (
        sorted(architecture.items(), key=str),
        model.preprocess,
        model.autocast,
        device,
        torch.__version__,
    )
    key = sha256(repr(settings).encode())
    if model.reads == "text":
        key.update(model.preprocess.definition.encode())
    for name, tensor in sorted(weights_without_head(model).items()):
        key.update(name.encode())
        key.update(tensor_bytes(tensor))
    if examples.digests:
        key.update("".join(examples.digests).encode())
    else:
        for raw, _, _ in loader(examples, BATCH_SIZE):  # type: ignore[arg-type]
            key.update(tensor_bytes(raw))
    return key.hexdigest()


def weights_without_head(tower: Tower) -> dict[str, Tensor]:
    """All weights of a tower but those of its head."""
    return {name: tensor for name, tensor in tower.state_dict().items() if not name.startswith("head.")}


def _tokens(model: Any) -> int:
    """Of an input: the patches of an image in the size that it is read in, or the longest text."""
    if model.reads == "text" or model.preprocess is None:
        return int(model.usual_tokens)
    rows, cols = model.grid(torch.empty(1, 1, model.preprocess.height, model.preprocess.width, device="meta"))
    return int(rows * cols)
