"""Whether two towers compute the same: their arguments without what changes no result."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from vit.weights.huggingface.families.beit import PREFIX_PAIRS

# Of training, names of defaults, and what counts for images of another size alone.
IDLE = {"dropout", "drop_path", "mlp_ratio", "positions_antialias", "stem", "pool_block", "trim"}
# Of relative positions: what changes roundings alone, and values that are often left out. The biases of pairs
# with the prefix are zeros where a tower has none.
OF_ROUNDING = {"interpolation", "precision", "periods", "prefix_bias"}
USUAL = (("offset", 0.0), ("grid", None), ("coordinates", "unit"))
ATTENDING = ("attention", "attention_all")  # pools that have a block of their own
POOL_FIELDS = ("heads", "hidden", "activation", "gated", "hidden_norm", "qkv_bias", "output_bias", "mlp_bias")


class Difference(NamedTuple):
    """An argument that a library's model has otherwise.

    Args:
        name: Of the argument of our tower.
        ours: Its value in the model.
        theirs: Its value in the library's model.
    """

    name: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        return f"{self.name} is {self.ours!r}, and there it is {self.theirs!r}"


def differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], idle: frozenset[str] = frozenset()
) -> list[Difference]:
    """The arguments of two towers that make a difference to logits.

    Args:
        ours: `architecture` of a tower.
        theirs: Of the tower that an importer makes of a library's model.
        idle: Further arguments that make none in this library.
    """
    first, second = essential(ours), essential(theirs)
    names = [name for name in first | second if name not in idle]
    return [
        Difference(name, first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    ]


def essential(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that make a difference, each in one spelling."""
    found = {name: value for name, value in architecture.items() if name not in IDLE}
    found |= _block(architecture)
    if architecture["tower"] == "vision":
        found["image_size"], found["patch_size"] = (
            tuple(architecture[n]) for n in ("image_size", "patch_size")
        )
        if architecture["positions"] == "sincos":  # a table like any other, at the size of the model
            found["positions"] = "learned"
    if found.get("pool") in ATTENDING:
        spec = architecture["pool_block"] or architecture
        found["pool_block"] = {name: value for name, value in _block(spec).items() if name in POOL_FIELDS}
    if found.get("relative") is not None:
        found["relative"] = {
            name: value
            for name, value in found["relative"].items()
            if name not in OF_ROUNDING and (name, value) not in USUAL
        }
    return found


def hidden_width(architecture: Mapping[str, Any]) -> int:
    """Of the MLPs."""
    return round(architecture["width"] * architecture["mlp_ratio"])


def qkv_biases(architecture: Mapping[str, Any]) -> tuple[bool, bool, bool]:
    """Whether queries, keys and values have a bias."""
    said = architecture["qkv_bias"]
    query, key, value = [said] * 3 if isinstance(said, bool) else said
    return bool(query), bool(key), bool(value)


def mlp_bias(architecture: Mapping[str, Any]) -> bool:
    """Whether the layers of the MLPs have a bias."""
    said = architecture["mlp_bias"]
    return bool(architecture["output_bias"] if said is None else said)


def _block(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `BlockSpec` that have several spellings."""
    head_width = spec["head_width"] or spec["width"] // spec["heads"]
    return {
        **{name: spec[name] for name in ("heads", "activation", "gated", "hidden_norm", "output_bias")},
        "hidden": hidden_width(spec),
        "head_width": head_width,
        "scale": head_width**-0.5 if spec["scale"] is None else spec["scale"],
        "qkv_bias": qkv_biases(spec),
        "mlp_bias": mlp_bias(spec),
        "layer_scale": spec["layer_scale"] is not None,
    }


def weights_of(model: Any) -> dict[str, Tensor]:
    """The tensors of a tower, float32 on the CPU, with those of tables that are computed."""
    weights = {name: tensor.detach().float().cpu() for name, tensor in model.state_dict().items()}
    positions = getattr(model, "positions", None)
    if positions is not None:
        weights.setdefault("positions.table", positions.table.detach().float().cpu())
    biases = weights.get("relative.table")  # (1 or L, H, offsets of rows, of columns)
    if biases is not None:
        weights.setdefault("relative.prefix", biases.new_zeros(*biases.shape[:2], PREFIX_PAIRS))
    return weights
