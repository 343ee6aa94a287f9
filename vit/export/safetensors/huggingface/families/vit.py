"""ViT, I-JEPA, DeiT, DINOv2 and DINOv3."""

from typing import Any

import torch

from vit.export.safetensors.architecture import hidden_width, mlp_bias, qkv_biases
from vit.export.safetensors.huggingface.counterpart import Architecture, Counterpart, NoCounterpart, State
from vit.export.safetensors.huggingface.families.grid import (
    image_config,
    rows_of_positions,
    unflatten_patches,
)
from vit.weights.huggingface.names import (
    DEIT_AROUND,
    DINOV2_AROUND,
    DINOV2_BLOCK,
    DINOV2_GATED_BLOCK,
    DINOV3_AROUND,
    DINOV3_BLOCK,
    DISTILLED_AROUND,
    GRID,
    VIT_BLOCK,
    Names,
)

LAYER = "encoder.layer."
RATIOS = range(1, 17)  # that a config of DINOv2 may say: whole numbers


def vit_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    head_width = {} if ours["head_width"] is None else {"head_dim": ours["head_width"]}
    pooler = (
        {} if ours["pooler"] is None else {"pooler_act": ours["pooler"], "pooler_output_size": ours["width"]}
    )
    return image_config(ours) | {"qkv_bias": any(qkv_biases(ours))} | head_width | pooler


def undo_vit(state: State, ours: Architecture) -> None:
    """Positions of a class token, if there is one, and patches."""
    unflatten_patches(state, ours)
    rows_of_positions(state, int(ours["class_token"]))


def deit_config(ours: Architecture) -> dict[str, Any]:
    """Likewise, of a model with one head."""
    if ours["pool"] == "prefix":
        raise NoCounterpart("pool is 'prefix', and there it is 'cls'")
    return vit_config(ours)


def undo_deit(state: State, ours: Architecture) -> None:
    """Positions of class token and distillation token; a head for each where the mean of both is read."""
    unflatten_patches(state, ours)
    rows_of_positions(state, 2)
    if ours["pool"] == "prefix" and "head.weight" in state:
        both = 2 * state["head.weight"]
        state["head.weight"], state["other_head.weight"] = (part.clone() for part in both.chunk(2, 1))
        state["other_head.bias"] = state["head.bias"].clone()


def dinov2_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    fields = vit_config(ours) | {
        "layerscale_value": 1.0,
        "mlp_ratio": _ratio(ours),
        "use_swiglu_ffn": ours["gated"],
    }
    del fields["intermediate_size"]
    return fields | ({"hidden_act": "gelu"} if ours["gated"] else {})


def _ratio(ours: Architecture) -> int:
    """`mlp_ratio`; a gated MLP has two thirds of it, as a multiple of 8."""
    hidden, width = hidden_width(ours), ours["width"]
    for number in RATIOS:
        if hidden == ((int(width * number * 2 / 3) + 7) // 8 * 8 if ours["gated"] else width * number):
            return number
    raise NoCounterpart(
        f"the hidden width of the MLPs is {hidden}, which no whole mlp_ratio gives for {width}", 1
    )


def undo_dinov2(state: State, ours: Architecture) -> None:
    """Also a mask token, which no result reads, and gate and hidden layer of a gated MLP as one."""
    undo_vit(state, ours)
    state["embeddings.mask_token"] = torch.zeros(1, ours["width"])
    for gate in [name for name in state if ".mlp.gate." in name]:
        joined = torch.cat([state.pop(gate), state.pop(gate.replace("gate", "expand"))])
        state[gate.replace("gate", "weights_in")] = joined


def dinov3_config(ours: Architecture) -> dict[str, Any]:
    """Fields of `config.json`."""
    query, key, value = qkv_biases(ours)
    return image_config(ours) | {
        "query_bias": query,
        "key_bias": key,
        "value_bias": value,
        "proj_bias": ours["output_bias"],
        "mlp_bias": mlp_bias(ours),
        "use_gated_mlp": ours["gated"],
        "layerscale_value": 1.0,
        "num_register_tokens": ours["registers"],
        "rope_theta": (ours["relative"] or {}).get("temperature", 100.0),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": (ours["relative"] or {}).get("temperature", 100.0),
        },
    }


def undo_dinov3(state: State, ours: Architecture) -> None:
    """Also a mask token, and registers without rows where there are none."""
    unflatten_patches(state, ours)
    state["embeddings.mask_token"] = torch.zeros(1, 1, ours["width"])
    state.setdefault("registers", torch.zeros(1, 0, ours["width"]))


def _image(
    kind: str, prefix: str, base: str, config: Any, undo: Any, names: Names, **more: Any
) -> Counterpart:
    classes = {"encoder": f"{prefix}Model", "classifier": f"{prefix}ForImageClassification"}
    return Counterpart(
        kind=kind, classes=classes, config=config, undo=undo, theirs=names.theirs, base=base, **more
    )


def _dinov2(*, gated: bool, registers: bool) -> Counterpart:
    kind, prefix = ("dinov2_with_registers", "Dinov2WithRegisters") if registers else ("dinov2", "Dinov2")
    block, around = DINOV2_GATED_BLOCK if gated else DINOV2_BLOCK, DINOV2_AROUND if registers else GRID

    def config(ours: Architecture) -> dict[str, Any]:
        if ours["gated"] != gated:
            raise NoCounterpart(f"gated is {ours['gated']}, and there it is {gated}")
        said = {"num_register_tokens": ours["registers"]} if registers else {}
        return dinov2_config(ours) | said

    return _image(kind, prefix, kind, config, undo_dinov2, Names(kind, LAYER, block, around))


VIT = _image("vit", "ViT", "vit", vit_config, undo_vit, Names("vit", LAYER, VIT_BLOCK, GRID))
IJEPA = _image("ijepa", "IJepa", "ijepa", vit_config, undo_vit, Names("ijepa", LAYER, VIT_BLOCK, GRID))
DEIT = _image("deit", "DeiT", "deit", deit_config, undo_deit, Names("deit", LAYER, VIT_BLOCK, DEIT_AROUND))
DEIT_DISTILLED = Counterpart(
    kind="deit",
    classes={"classifier": "DeiTForImageClassificationWithTeacher"},
    config=vit_config,
    undo=undo_deit,
    theirs=Names("deit", LAYER, VIT_BLOCK, DISTILLED_AROUND).theirs,
    base="deit",
    heads=("cls_classifier.", "distillation_classifier."),
)
DINOV2, DINOV2_GATED = (_dinov2(gated=gated, registers=False) for gated in (False, True))
REGISTERS, REGISTERS_GATED = (_dinov2(gated=gated, registers=True) for gated in (False, True))
DINOV3 = Counterpart(
    kind="dinov3_vit",
    classes={"encoder": "DINOv3ViTModel"},
    config=dinov3_config,
    undo=undo_dinov3,
    theirs=Names("model", "layer.", DINOV3_BLOCK, DINOV3_AROUND).theirs,
    base="model",
)
