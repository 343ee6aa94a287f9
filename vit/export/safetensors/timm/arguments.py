"""From the arguments of our tower to those of timm's classes; the importer decides if they say the same."""

from collections.abc import Callable, Mapping
from typing import Any

from vit.export.safetensors.architecture import hidden_width, qkv_biases

Arguments = Callable[[Mapping[str, Any]], dict[str, Any]]

POOLS = {"cls": "token", "mean": "avg", "attention": "map", "mean_all": "avg", "attention_all": "map"}
POOLS |= {"prefix": "token"}  # of DeiT with distillation, whose second token timm adds by itself
EPS = 1e-6  # of the norms that timm makes of a name
NORMS = {"layer": "layernorm", "rms": "rmsnorm"}


def common(ours: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that all classes of timm have."""
    return {
        "img_size": _side(ours["image_size"]),
        "patch_size": _side(ours["patch_size"]),
        "in_chans": ours["channels"],
        "num_classes": ours["classes"],
        "global_pool": POOLS.get(ours["pool"], "avg"),
        "embed_dim": ours["width"],
        "depth": ours["depth"],
        "num_heads": ours["heads"],
        "mlp_ratio": _ratio(hidden_width(ours), ours["width"]),
        "qkv_bias": any(qkv_biases(ours)),
        "init_values": None if ours["layer_scale"] is None else 1.0,
    }


def vit(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Of `VisionTransformer`."""
    named = {"norm_layer": NORMS.get(ours["norm_kind"])} if ours["norm_eps"] == EPS else {}
    patch_norm = NORMS.get(ours["norm_kind"]) if ours["patch_norm"] else None
    keeps_patch_norm = ours["patch_norm"] and ours["norm_eps"] != EPS  # that of the architecture
    return {
        **common(ours),
        "qk_norm": ours["qk_norm"],
        "scale_attn_norm": ours["mixed_norm"],
        "scale_mlp_norm": ours["hidden_norm"],
        "proj_bias": ours["output_bias"],
        "class_token": ours["class_token"],
        "reg_tokens": 0 if ours["pool"] == "prefix" else ours["registers"],
        "pos_embed": "none" if ours["positions"] == "none" else "learn",
        "pre_norm": ours["embedding_norm"],
        "final_norm": ours["encoder_norm"] or ours["pool_norm"],
        "fc_norm": ours["pool_norm"],
        "pool_include_prefix": ours["pool"].endswith("_all"),
        "act_layer": ours["activation"],
        **named,
        **({} if keeps_patch_norm else {"embed_norm_layer": patch_norm}),
    }


def packed(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Of `VisionTransformer` whose MLP has gate and hidden channels in one layer."""
    return vit(ours) | {"mlp_ratio": _ratio(2 * hidden_width(ours), ours["width"])}


def eva(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Of `Eva`."""
    pool = ours["pool_block"] or ours
    return {
        **common(ours),
        "qk_norm": ours["qk_norm"],
        "swiglu_mlp": ours["gated"],
        "scale_mlp": ours["hidden_norm"],
        "scale_attn_inner": ours["mixed_norm"],
        "attn_type": "rope" if len(set(qkv_biases(ours))) == 1 and any(qkv_biases(ours)) else "eva",
        "class_token": ours["class_token"],
        "num_reg_tokens": ours["registers"],
        "use_abs_pos_emb": ours["positions"] != "none",
        "use_post_norm": ours["norm"] == "branch",
        "use_pre_transformer_norm": ours["embedding_norm"],
        "use_post_transformer_norm": ours["encoder_norm"],
        "use_fc_norm": ours["pool_norm"],
        "attn_pool_num_heads": pool["heads"],
        "attn_pool_mlp_ratio": _ratio(hidden_width(pool), ours["width"]),
        **_rotary(ours),
    }


def _rotary(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary positions; our rows of projections can be brought to any order that timm has."""
    relative = ours["relative"]
    if relative is None or not relative["kind"].startswith("rotary"):
        return {"use_rot_pos_emb": False}
    if relative["kind"] == "rotary_mixed":
        return {"use_rot_pos_emb": True, "rope_type": "mixed"}
    index = relative.get("coordinates") == "index"
    grid = relative.get("grid")
    return {
        "use_rot_pos_emb": True,
        "rope_type": "cat" if index else "dinov3",
        "rope_temperature": relative["temperature"],
        "rope_grid_offset": relative.get("offset", 0.0),
        "ref_feat_shape": list(grid) if grid else None,
        "dynamic_img_size": relative.get("precision") != "float32",
    }


def beit(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Of `Beit`."""
    relative = ours["relative"] or {}
    return {
        **common(ours),
        "swiglu_mlp": ours["gated"],
        "scale_mlp": ours["hidden_norm"],
        "use_abs_pos_emb": ours["positions"] != "none",
        "use_rel_pos_bias": bool(relative) and not relative.get("shared"),
        "use_shared_rel_pos_bias": bool(relative.get("shared")),
        "use_fc_norm": ours["pool_norm"],
    }


def relpos(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Of `VisionTransformerRelPos`, with tables; ours has those that an MLP of theirs computes too."""
    return {
        **common(ours),
        "qk_norm": ours["qk_norm"],
        "class_token": ours["class_token"],
        "fc_norm": ours["pool_norm"],
        "rel_pos_type": "bias",
        "shared_rel_pos": bool((ours["relative"] or {}).get("shared")),
    }


# timm's modules, and the arguments of the class that their architectures have.
MODULES: dict[str, Arguments] = {
    "vision_transformer": vit,
    "deit": vit,
    "eva": eva,
    "beit": beit,
    "vision_transformer_relpos": relpos,
}
# Architectures of timm that differ in what no argument says, such as the class of a block; the first that
# computes what the model computes is taken.
ARCHITECTURES: dict[str, Arguments] = {
    "vit_base_patch16_224": vit,
    "vit_base_patch16_clip_224": vit,  # norms with an epsilon of 1e-5
    "deit_base_distilled_patch16_224": vit,
    "vit_base_patch16_rpn_224": vit,  # norms after the branches
    "vit_pwee_patch16_reg1_gap_256": vit,  # parallel branches
    "vit_giant_patch14_dinov2": packed,
    "aimv2_large_patch14_224": vit,  # RMS norms with 1e-5, a gated MLP
    "beit_base_patch16_224": beit,
    "eva_giant_patch14_224": eva,
    "vit_small_patch16_dinov3": eva,  # rotated halves, norms with 1e-5
    "vit_relpos_base_patch16_224": relpos,
    "vit_relpos_base_patch32_plus_rpn_256": relpos,  # norms after the branches
}


def _ratio(hidden: int, width: int) -> float:
    """A number of which timm's `int(width * ratio)` makes the hidden width."""
    return hidden / width if int(width * (hidden / width)) == hidden else (hidden + 0.5) / width


def _side(size: Any) -> Any:
    """One number for a square; JSON has no tuples."""
    first, second = size
    return first if first == second else [first, second]
