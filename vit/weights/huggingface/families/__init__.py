"""The families of transformers that can be imported, by the `model_type` of their configs."""

from vit.weights.huggingface.families.beit import BEIT, DATA2VEC
from vit.weights.huggingface.families.bert import (
    BERT,
    CAMEMBERT,
    DISTILBERT,
    ELECTRA,
    MPNET,
    ROBERTA,
    XLM_ROBERTA,
)
from vit.weights.huggingface.families.clip_text import CLIP_TEXT
from vit.weights.huggingface.families.clip_vision import CLIP, SIGLIP
from vit.weights.huggingface.families.dinov3 import DINOV3
from vit.weights.huggingface.families.family import Family, Task
from vit.weights.huggingface.families.gpt2 import GPT2
from vit.weights.huggingface.families.modernbert import MODERNBERT
from vit.weights.huggingface.families.t5 import MT5, T5, UMT5
from vit.weights.huggingface.families.vit import (
    DEIT,
    DINOV2,
    DINOV2_WITH_REGISTERS,
    IJEPA,
    VIT,
    VIT_MAE,
    VIT_MSN,
)
from vit.weights.huggingface.families.xlnet import XLNET

FAMILIES: dict[str, Family] = {
    "vit": VIT,
    "dinov2": DINOV2,
    "dinov2_with_registers": DINOV2_WITH_REGISTERS,
    "dinov3_vit": DINOV3,
    "deit": DEIT,
    "vit_mae": VIT_MAE,
    "vit_msn": VIT_MSN,
    "ijepa": IJEPA,
    "beit": BEIT,
    "data2vec-vision": DATA2VEC,
    "clip_vision_model": CLIP,
    "clip": CLIP,  # the image half of a folder with both
    "siglip_vision_model": SIGLIP,
    "siglip": SIGLIP,  # likewise
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": XLM_ROBERTA,
    "camembert": CAMEMBERT,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "mpnet": MPNET,
    "modernbert": MODERNBERT,
    "xlnet": XLNET,
    "clip_text_model": CLIP_TEXT,
    "gpt2": GPT2,
    "t5": T5,
    "mt5": MT5,
    "umt5": UMT5,
}

__all__ = ["FAMILIES", "Family", "Task"]
