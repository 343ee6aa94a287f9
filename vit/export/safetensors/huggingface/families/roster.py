"""The families of transformers that a tower may be written as; the first that computes the same is taken."""

from collections.abc import Mapping
from typing import Any, Literal

from vit.export.safetensors.huggingface.counterpart import Counterpart
from vit.export.safetensors.huggingface.families import beit, bert, clip, gpt2, modernbert, t5, vit
from vit.text.matching import is_encoder_decoder, predicts_next

Task = Literal["encoder", "classifier", "language"]

COUNTERPARTS: Mapping[str, tuple[Counterpart, ...]] = {
    "image": (
        vit.VIT,
        vit.IJEPA,
        vit.DEIT,
        vit.DEIT_DISTILLED,
        vit.DINOV2,
        vit.DINOV2_GATED,
        vit.REGISTERS,
        vit.REGISTERS_GATED,
        vit.DINOV3,
        beit.BEIT,
        clip.CLIP,
        clip.CLIP_PROJECTED,
        clip.CLIP_CLASSIFIER,
        clip.SIGLIP,
        clip.SIGLIP_CLASSIFIER,
    ),
    "text": (
        *bert.BERTS,
        modernbert.MODERNBERT,
        clip.CLIP_TEXT,
        clip.CLIP_TEXT_PROJECTED,
        gpt2.GPT2,
        gpt2.GPT2_CLASSIFIER,
        *t5.T5_KINDS,
    ),
}


def task_of(model: Any) -> Task:
    """What a model is for."""
    if is_encoder_decoder(model):
        return "encoder" if model.architecture["head"] == "none" else "language"
    if predicts_next(model):
        return "language"
    return "classifier" if model.architecture["classes"] else "encoder"
