"""Small image models of transformers with random weights, and what they give for images."""

from typing import Any

import torch
import transformers
from torch import Tensor

SIZES = {"image_size": 15, "patch_size": 3, "num_channels": 3, "hidden_size": 24, "num_hidden_layers": 3}
SIZES |= {"num_attention_heads": 3}
SMALL = SIZES | {"intermediate_size": 29}
DINOV2 = SIZES | {"mlp_ratio": 2, "layerscale_value": 0.7}
DINOV3 = SMALL | {"layerscale_value": 0.7, "num_register_tokens": 2}
BEIT = SMALL | {"layer_scale_init_value": 0.3}
BIASED = BEIT | {"use_relative_position_bias": True}

# The model of each system, its config, and the config's fields.
SYSTEMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ViT": ("ViTModel", "ViTConfig", SMALL),
    "ViT classifier": ("ViTForImageClassification", "ViTConfig", SMALL),
    "DeiT": ("DeiTModel", "DeiTConfig", SMALL),
    "DeiT classifier": ("DeiTForImageClassification", "DeiTConfig", SMALL),
    "DeiT with a teacher": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", SMALL),
    "MAE": ("ViTMAEModel", "ViTMAEConfig", SMALL | {"mask_ratio": 0.0}),
    "MSN": ("ViTMSNModel", "ViTMSNConfig", SMALL),
    "MSN classifier": ("ViTMSNForImageClassification", "ViTMSNConfig", SMALL),
    "I-JEPA": ("IJepaModel", "IJepaConfig", SMALL),
    "I-JEPA classifier": ("IJepaForImageClassification", "IJepaConfig", SMALL),
    "DINOv2": ("Dinov2Model", "Dinov2Config", DINOV2),
    "DINOv2, SwiGLU": ("Dinov2Model", "Dinov2Config", DINOV2 | {"use_swiglu_ffn": True}),
    "DINOv2, registers": (
        "Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", DINOV2 | {"num_register_tokens": 2},
    ),
    "DINOv2 classifier, registers": (
        "Dinov2WithRegistersForImageClassification",
        "Dinov2WithRegistersConfig",
        DINOV2 | {"num_register_tokens": 2, "use_swiglu_ffn": True},
    ),
    "DINOv3": ("DINOv3ViTModel", "DINOv3ViTConfig", DINOV3),
    "DINOv3, gated": ("DINOv3ViTModel", "DINOv3ViTConfig", DINOV3 | {"use_gated_mlp": True}),
    "BEiT": ("BeitModel", "BeitConfig", BIASED),
    "BEiT, everything": (
        "BeitModel",
        "BeitConfig",
        BIASED
        | {"use_mean_pooling": False, "use_absolute_position_embeddings": True}
        | {"use_shared_relative_position_bias": True, "use_mask_token": True},
    ),
    "BEiT classifier": (
        "BeitForImageClassification", "BeitConfig", BEIT | {"use_shared_relative_position_bias": True},
    ),
    "BEiT classifier, class token": (
        "BeitForImageClassification", "BeitConfig", BIASED | {"use_mean_pooling": False},
    ),
    "Data2Vec": (
        "Data2VecVisionModel", "Data2VecVisionConfig", BIASED | {"use_shared_relative_position_bias": True},
    ),
    "Data2Vec classifier": ("Data2VecVisionForImageClassification", "Data2VecVisionConfig", BIASED),
    "CLIP": ("CLIPVisionModel", "CLIPVisionConfig", SMALL),
    "CLIP, projection": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", SMALL | {"projection_dim": 7}),
    "CLIP classifier": ("CLIPForImageClassification", "CLIPConfig", {"vision_config": SMALL}),
    "SigLIP": ("SiglipVisionModel", "SiglipVisionConfig", SMALL),
    "SigLIP without a head": (
        "SiglipVisionModel", "SiglipVisionConfig", SMALL | {"vision_use_head": False},
    ),
    "SigLIP, a border": ("SiglipVisionModel", "SiglipVisionConfig", SMALL | {"image_size": 17}),
    "SigLIP classifier": ("SiglipForImageClassification", "SiglipConfig", {"vision_config": SMALL}),
}  # fmt: skip
LABELS = 5


def perturbed(kind: str, config: Any) -> Any:
    """A model in eval mode, whose every weight is random: norms, scales and tables of biases too."""
    torch.manual_seed(7)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def theirs_of(system: str, **changes: Any) -> Any:
    """The model of a system with fields of its config changed."""
    kind, config, fields = SYSTEMS[system]
    labels = {"num_labels": LABELS} if "Classification" in kind else {}
    return perturbed(kind, getattr(transformers, config)(**(fields | labels | changes)))


def outputs(theirs: Any, images: Tensor, *, attentions: bool = False) -> tuple[Tensor, Tensor | None, Any]:
    """States; logits, embeddings or pooled features, where the model has them; attention where asked for."""
    kind = type(theirs).__name__
    options: dict[str, Any] = {"output_hidden_states": True, "output_attentions": attentions}
    size = getattr(theirs.config, "vision_config", theirs.config).image_size
    usual = list(images.shape[2:]) == ([size, size] if isinstance(size, int) else list(size))
    if not usual and not kind.lower().startswith("dino"):  # which interpolate without being told
        options["interpolate_pos_encoding"] = True
    if kind.startswith("ViTMAE"):
        patches = len(theirs.base_model.embeddings.patch_embeddings(images)[0])
        options["noise"] = torch.arange(float(patches)).expand(len(images), patches)
    with torch.no_grad():
        found = theirs(images, **options)
        states = getattr(found, "last_hidden_state", None)
        if states is None:
            base = getattr(theirs, theirs.base_model_prefix, None) or theirs.vision_model
            states = base(images, **options).last_hidden_state
    results = (getattr(found, name, None) for name in ("logits", "image_embeds", "pooler_output"))
    return states, next((result for result in results if result is not None), None), found.attentions
