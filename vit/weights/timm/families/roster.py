"""The classes of timm's image models that can be imported, and known ones that cannot, with the reason."""

from timm.models import beit as timm_beit
from timm.models import eva as timm_eva
from timm.models import naflexvit as timm_naflex
from timm.models import vision_transformer as timm_vit
from timm.models import vision_transformer_relpos as timm_relpos
from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.naflexvit import NaFlexVit
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_relpos import VisionTransformerRelPos

from vit.weights.timm.families import eva, naflex, relative, vision_transformer
from vit.weights.timm.families.family import Family

FAMILIES: dict[type, Family] = {
    VisionTransformer: Family(
        "ViT, DeiT, DINOv2, CLIP, SigLIP, AIMv2, BEiT-3, InternViT, FlexiViT",
        vision_transformer.arguments,
        vision_transformer.tensors,
        timm_vit.checkpoint_filter_fn,
    ),
    VisionTransformerDistilled: Family(
        "DeiT with distillation",
        vision_transformer.distilled_arguments,
        vision_transformer.distilled_tensors,
        timm_vit.checkpoint_filter_fn,
    ),
    Eva: Family(
        "EVA, EVA-02, DINOv3, RoPE-ViT, Perception Encoder",
        eva.arguments,
        eva.tensors,
        timm_eva.checkpoint_filter_fn,
    ),
    Beit: Family(
        "BEiT, BEiT v2",
        relative.beit_arguments,
        relative.beit_tensors,
        timm_beit.checkpoint_filter_fn,
    ),
    VisionTransformerRelPos: Family(
        "ViT with relative positions",
        relative.relpos_arguments,
        relative.relpos_tensors,
        timm_relpos.checkpoint_filter_fn,
    ),
    NaFlexVit: Family(
        "NaFlex ViT",
        naflex.arguments,
        naflex.tensors,
        timm_naflex.checkpoint_filter_fn,
    ),
}

WINDOWS = "its attention stays within windows, and its tokens are merged from stage to stage"

# By the name of the class: why our tower does not compute what it computes.
REASONS = {
    "SwinTransformer": WINDOWS,
    "SwinTransformerV2": WINDOWS,
    "SwinTransformerV2Cr": WINDOWS,
    "Hiera": WINDOWS,
    "HieraDet": WINDOWS,
    "VisionTransformerSAM": "its attention stays within windows, with positions of rows and columns apart",
    "TinyVit": "its patches come from convolutions, and its attention stays within windows",
    "Cait": "its attention mixes heads, and its class token has blocks of its own",
    "Xcit": "its attention is between channels, not between tokens",
}
