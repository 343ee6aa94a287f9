"""The registry of attribution methods. Help texts, command line options and error messages are made from it.

It imports no torch: `vit attend --help` reads it. A method is the module of its name in
`vit/attribution/methods/`, whose `run` gets the model, the inputs, the query, for a method that explains a
class the targets, and the options.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from vit.attribution.heads import FUSIONS


class Option(NamedTuple):
    """An option of a method: a keyword of its `run`, and `--NAME` of `vit attend`.

    Args:
        type: The type of its value.
        help: One line, without the methods that take it.
    """

    type: Callable[[str], Any]
    help: str


OPTIONS = {
    "layer": Option(int, "counted from 0; -1 is the last (default)"),
    "head": Option(int, "counted from 0 (default: all heads)"),
    "fusion": Option(str, f"how heads are fused: {', '.join(FUSIONS)} (default: mean)"),
    "discard": Option(float, "share of the weakest patch-to-patch weights set to zero (default: 0)"),
    "window": Option(int, "patches per side of the cover (default: 1, 2 and 3 in turn; of texts 1)"),
    "samples": Option(int, "number of random masks (default: 1000)"),
    "baseline": Option(
        str, "what the input is compared with: blank (default), of images mean or local, none"
    ),
}


class Method(NamedTuple):
    """An attribution method.

    Args:
        summary: One line.
        explains_class: Whether it explains the score of a class; otherwise it takes no target.
        quick: Whether it needs at most one backward pass.
        is_attention: Whether its scores are shares of attention, which class token and registers have too.
        options: Names in `OPTIONS`.
        reads: The kinds of input that it applies to.
    """

    summary: str
    explains_class: bool
    quick: bool = True
    is_attention: bool = False
    options: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("image", "text")


METHODS = {
    "raw": Method("one layer's attention", False, is_attention=True, options=("layer", "head", "fusion")),
    "rollout": Method(
        "attention through all layers", False, is_attention=True, options=("fusion", "discard")
    ),
    "grad_rollout": Method("rollout of gradient times attention, for a class", True, options=("discard",)),
    "relevance": Method("attention that raised a class's score, through all layers", True),
    "legrad": Method("gradients of a class's score in each layer", True),
    "libra": Method("what each patch adds to a class's score", True, options=("baseline",)),
    "libra_fullgrad": Method("what states and biases add to a class's score, in all layers", True),
    "occlusion": Method(
        "how far a class's score falls when patches are covered; slow", True, quick=False, options=("window",)
    ),
    "rise": Method("random masks; slowest", True, quick=False, options=("samples",), reads=("image",)),
}

# What `auto` stands for: the most faithful with at most one backward pass (docs/attention.md).
AUTO = "auto"
AUTO_METHODS = {
    "convolutional tokenizer": "libra",  # its tokens overlap, so that only pixels belong to one patch
    "classes": "libra_fullgrad",
    "no classes": "rollout",
}

QUICK_METHODS = tuple(name for name, method in METHODS.items() if method.quick)
QUICK_CLASS_METHODS = tuple(name for name in QUICK_METHODS if METHODS[name].explains_class)


def chosen_method(method: str, kind: str) -> str:
    """The method that `auto` stands for; any other name unchanged.

    Args:
        method: A name in `METHODS`, or `auto`.
        kind: The kind of model, a key of `AUTO_METHODS`.
    """
    return AUTO_METHODS[kind] if method == AUTO else method


def load_method(method: str) -> Callable[..., Any]:
    """The `run` of a method; its module is imported on first use."""
    return import_module(f"vit.attribution.methods.{method}").run


def method_table() -> str:
    """One line per method with its options, as `vit attend --help` shows it."""
    lines = []
    for name, method in METHODS.items():
        options = ", ".join(f"--{option}" for option in method.options)
        lines.append(f"  {name:13} {method.summary}{f' ({options})' if options else ''}")
    return "\n".join(lines)
