"""The families of transformers that can be imported, by the `model_type` of their configs."""

from vit.weights.huggingface.families.bert import BERT, DISTILBERT, ROBERTA
from vit.weights.huggingface.families.family import Family, Task
from vit.weights.huggingface.families.vit import DINOV2, DINOV2_WITH_REGISTERS, VIT

FAMILIES: dict[str, Family] = {
    "vit": VIT,
    "dinov2": DINOV2,
    "dinov2_with_registers": DINOV2_WITH_REGISTERS,
    "bert": BERT,
    "roberta": ROBERTA,
    "distilbert": DISTILBERT,
}

__all__ = ["FAMILIES", "Family", "Task"]
