"""From a model, its inputs and the name of a method to maps."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vit.attribution.query import parse_query
from vit.attribution.roster import AUTO, METHODS, Method, chosen_method, load_method
from vit.attribution.targets import as_targets
from vit.core import Tower, attention_slots
from vit.errors import UsageError, VitError
from vit.text.matching import is_encoder_decoder

Target = int | str | Tensor | None


class Explanation(NamedTuple):
    """The result of a method.

    Args:
        maps: (B, rows, cols), at least float32.
        logits: (B, classes), the model's own, of the same pass.
        targets: int64 (B,), the classes explained; None if the method explains none.
        tokens: (B, N), scores of all tokens, of which `maps` is the patches' part; None if the method
            gives none.
        outliers: bool (B, patches), patches of unusual norm (`vit.attribution.mass`); None likewise.
        method: The name of the method, which `auto` has chosen.
    """

    maps: Tensor
    logits: Tensor
    targets: Tensor | None
    tokens: Tensor | None
    outliers: Tensor | None
    method: str = ""


@torch.no_grad()
def explain(
    model: Tower,
    inputs: Tensor,
    method: str = "rollout",
    target: Target = None,
    query: str | tuple[int, int] = "cls",
    *,
    whole: bool = False,
    **options: Any,
) -> Explanation:
    """`vit.attend` on a batch, with logits and facts beside the maps. Arguments and errors are those of
    `vit.attend`.

    Args:
        model: In eval mode.
        inputs: Images (B, C, height, width), or ids int64 (B, N) without padding, whose maps are (B, 1, N).
            Every id of a single row counts as a token.
        method: See `vit.attend`, as are the following.
        target: See `method`.
        query: See `method`.
        whole: Whether every id of all rows counts as a token, also one of padding.
        options: See `method`.
    """
    attention_slots(model)  # refuses a model of another library
    if is_encoder_decoder(model):
        raise VitError("this is an encoder-decoder, which writes a target first: use vit.attend, not explain")
    mask = None if whole or model.reads == "image" or len(inputs) <= 1 else model.mask(inputs)
    if mask is not None and not bool(mask.all()):
        raise ValueError("ids hold padding, which would count as tokens: pass texts one at a time")
    method = method_for(model, method)
    how = check_method(model, method, target, options)
    arguments: list[Any] = [model, inputs, parse_query(query)]
    if how.explains_class:
        assert isinstance(model.head, nn.Linear)
        targets = as_targets(target, inputs.shape[0], model.head.out_features, model.labels)
        arguments.append(None if targets is None else targets.to(inputs.device))
    # Autocast would compute the maps themselves in half precision.
    with torch.autocast(inputs.device.type, enabled=False):
        found: Explanation = load_method(method)(*arguments, **options)
    return found._replace(method=method)


def method_for(model: Tower, method: str) -> str:
    """The method that `auto` stands for with this model: the most faithful with at most one backward pass.

    Any other name is returned unchanged. Models of classes get `libra_fullgrad`, or `libra` where a
    convolutional tokenizer makes tokens of overlapping pixels; models without classes, and encoder-decoders,
    `rollout`.
    """
    if not isinstance(model.head, nn.Linear) or is_encoder_decoder(model):
        return chosen_method(method, "no classes")
    convolutional = model.reads == "image" and model.architecture.get("tokenizer") == "conv"
    return chosen_method(method, "convolutional tokenizer" if convolutional else "classes")


def check_method(model: Tower, method: str, target: Target, options: dict[str, Any]) -> Method:
    """The method of that name.

    Raises:
        VitError: An unknown method or option, or one that this model or target does not fit.
    """
    if method not in METHODS:
        raise VitError(f"method is {method!r}, expected one of: {', '.join([*METHODS, AUTO])}")
    how = METHODS[method]
    for name in options:
        if name not in how.options:
            known = ", ".join(how.options) or "none"
            raise UsageError(f"{method} has no option {name}: it takes {known}")
    if model.reads not in how.reads:
        raise VitError(f"{method} applies to {how.reads[0]} models only, and this is a {model.reads} model")
    if is_encoder_decoder(model) and not how.is_attention:
        fitting = " and ".join(name for name, other in METHODS.items() if other.is_attention)
        raise VitError(
            f"{method} explains a class by one stack of blocks, and this is an encoder-decoder: {fitting} "
            "apply to it"
        )
    if not how.explains_class:
        if target is not None:
            raise VitError(f"target is {target}, but {method} explains no class: leave the target out")
    elif not isinstance(model.head, nn.Linear):
        raise VitError(f"{method} explains a class, and this model has no head: use rollout or raw")
    return how
