"""Every field of the configs of image models: followed, or refused by its name."""

from typing import Any

import pytest
import torch

import vit
from vit.errors import VitError

transformers = pytest.importorskip("transformers")
from .vision_models import SYSTEMS, outputs, theirs_of  # noqa: E402

# Other values of the fields that families share, and of those that are of one family alone.
SHARED: dict[str, list[Any]] = {
    "hidden_size": [36],
    "num_hidden_layers": [2],
    "num_attention_heads": [2],
    "intermediate_size": [31],
    "hidden_act": ["gelu_new", "relu", "silu", "quick_gelu", "gelu_pytorch_tanh", "mish", "gelu_10"],
    "image_size": [21, 17],
    "patch_size": [5],
    "num_channels": [1],
    "layer_norm_eps": [0.1],
    "initializer_range": [0.3],
    "qkv_bias": [False],
    "layerscale_value": [0.1],
    "pooler_act": ["relu", "gelu"],
    "pooler_output_size": [13],
    "num_register_tokens": [0, 3],
    # Of training, of heads that are not read, of feature maps.
    "hidden_dropout_prob": [0.4],
    "attention_probs_dropout_prob": [0.4],
    "attention_dropout": [0.4],
    "drop_path_rate": [0.4],
    "apply_layernorm": [False],
    "reshape_hidden_states": [False],
    "use_mask_token": [True, False],
    "out_indices": [[1, 2]],
    "out_features": [["stage1"]],
    "initializer_factor": [0.3],
    "encoder_stride": [3],
}
OWN: dict[str, dict[str, list[Any]]] = {
    "ViT": {"head_dim": [6]},
    "DeiT": {"head_dim": [6]},
    "I-JEPA": {"head_dim": [6]},
    "MSN": {"head_dim": [6]},
    "MAE": {
        "head_dim": [6],
        "mask_ratio": [0.6],
        "norm_pix_loss": [True],
        "decoder_num_attention_heads": [2],
        "decoder_hidden_size": [6],
        "decoder_num_hidden_layers": [1],
        "decoder_intermediate_size": [7],
    },
    "DINOv2": {"head_dim": [6], "mlp_ratio": [3], "use_swiglu_ffn": [True]},
    "DINOv2, registers": {"head_dim": [6], "mlp_ratio": [3], "use_swiglu_ffn": [True]},
    "DINOv3": {
        "rope_theta": [7.0, 10_000.0],
        "query_bias": [False],
        "key_bias": [True],
        "value_bias": [False],
        "proj_bias": [False],
        "mlp_bias": [False],
        "use_gated_mlp": [True],
        "pos_embed_shift": [0.3],
        "pos_embed_jitter": [1.3],
        "pos_embed_rescale": [1.5, None],
    },
    "BEiT": {
        "head_dim": [6],
        "use_absolute_position_embeddings": [True],
        "use_relative_position_bias": [False],
        "use_shared_relative_position_bias": [True],
        "use_mean_pooling": [False],
        "layer_scale_init_value": [0.0, 0.7],
        "vocab_size": [11],
        "pool_scales": [[1]],
        "use_auxiliary_head": [False],
        "auxiliary_loss_weight": [0.1],
        "auxiliary_channels": [3],
        "auxiliary_num_convs": [2],
        "auxiliary_concat_input": [True],
        "semantic_loss_ignore_index": [1],
        "add_fpn": [False],
    },
    "CLIP": {"projection_dim": [5]},
    "CLIP, projection": {"projection_dim": [5]},
    "SigLIP": {"vision_use_head": [False]},
}
NOT_DATA2VEC = ("head_dim", "add_fpn")
OWN["Data2Vec"] = {name: values for name, values in OWN["BEiT"].items() if name not in NOT_DATA2VEC}
FAMILIES = list(OWN)
LISTS = ["ViT", "DeiT", "MAE", "MSN", "I-JEPA"]  # that take a height and a width
REFUSED = {
    ("hidden_act", "mish"): FAMILIES,
    ("hidden_act", "gelu_10"): FAMILIES,
    ("pooler_act", "gelu"): ["ViT", "DeiT"],  # I-JEPA has these fields without a pooler
    ("pooler_output_size", 13): ["ViT", "DeiT"],
}


def fields_of(system: str) -> set[str]:
    """The fields of a family's config beside those of every config."""
    config = getattr(transformers, SYSTEMS[system][1])
    usual = transformers.PreTrainedConfig().to_dict()
    return config().to_dict().keys() - usual.keys() - {"model_type", "stage_names"}


CASES = [
    pytest.param(system, name, value, id=f"{system}: {name}={value}")
    for system in FAMILIES
    for name in sorted(fields_of(system) | OWN[system].keys())
    for value in (SHARED | OWN[system]).get(name, [])
]
CASES += [
    pytest.param(system, name, value, id=f"{system}: {name}={value}")
    for system in LISTS
    for name, value in (("image_size", [15, 21]), ("patch_size", [3, 5]))
]


@pytest.mark.parametrize("system", FAMILIES)
def test_every_field_is_here(system: str) -> None:
    """A field that a later version of transformers adds is looked at before it is trusted."""
    assert fields_of(system) - (SHARED | OWN[system]).keys() == set()


@pytest.mark.parametrize(("system", "name", "value"), CASES)
def test_a_field_is_followed_or_refused_by_its_name(system: str, name: str, value: Any) -> None:
    theirs = theirs_of(system, **{name: value})
    if isinstance(value, str | int) and system in REFUSED.get((name, value), ()):
        with pytest.raises(VitError, match=name):
            vit.from_huggingface(theirs, False)
        return
    ours = vit.from_huggingface(theirs, False)
    theirs.config.mask_ratio = 0.0
    images = torch.randn(2, ours.channels, *ours.image_size)
    states, pooled, _ = outputs(theirs, images)
    with torch.no_grad():
        assert (ours.encode(images) - states).abs().max() < 1e-5
        if pooled is not None:
            assert (ours(images) - pooled).abs().max() < 1e-5
