"""Small text encoders of transformers with random weights, and batches for them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

transformers = pytest.importorskip("transformers")

VOCABULARY, LABELS = 37, 5
BERT = {"vocab_size": VOCABULARY, "hidden_size": 22, "num_hidden_layers": 3, "num_attention_heads": 2}
BERT |= {"intermediate_size": 29, "max_position_embeddings": 19, "num_labels": LABELS}
ROBERTA = BERT | {"pad_token_id": 1}
MODERN = {name: value for name, value in BERT.items() if name != "hidden_size"} | {"hidden_size": 28}
MODERN |= {"num_hidden_layers": 5, "local_attention": 6, "pad_token_id": 3, "classifier_bias": True}
MODERN |= {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
CLIP = {name: value for name, value in BERT.items() if name != "num_labels"}
CLIP |= {"projection_dim": 13, "pad_token_id": 0, "bos_token_id": 35, "eos_token_id": 36}
XLNET = {"vocab_size": VOCABULARY, "d_model": 22, "n_layer": 3, "n_head": 2, "d_inner": 29}
XLNET |= {"num_labels": LABELS, "pad_token_id": 5}

# The class without a head, the one with a head, and the fields of both.
FAMILIES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "bert": ("BertModel", "BertForSequenceClassification", "BertConfig", BERT),
    "roberta": ("RobertaModel", "RobertaForSequenceClassification", "RobertaConfig", ROBERTA),
    "distilbert": (
        "DistilBertModel", "DistilBertForSequenceClassification", "DistilBertConfig",
        {"vocab_size": VOCABULARY, "dim": 22, "n_layers": 3, "n_heads": 2, "hidden_dim": 29,
         "max_position_embeddings": 19, "num_labels": LABELS},
    ),
    "xlm-roberta": (
        "XLMRobertaModel", "XLMRobertaForSequenceClassification", "XLMRobertaConfig", ROBERTA,
    ),
    "camembert": ("CamembertModel", "CamembertForSequenceClassification", "CamembertConfig", ROBERTA),
    "electra": (
        "ElectraModel", "ElectraForSequenceClassification", "ElectraConfig", BERT | {"embedding_size": 17},
    ),
    "mpnet": ("MPNetModel", "MPNetForSequenceClassification", "MPNetConfig", ROBERTA),
    "modernbert": ("ModernBertModel", "ModernBertForSequenceClassification", "ModernBertConfig", MODERN),
    "clip": ("CLIPTextModel", "CLIPTextModelWithProjection", "CLIPTextConfig", CLIP),
    "xlnet": ("XLNetModel", "XLNetForSequenceClassification", "XLNetConfig", XLNET),
}  # fmt: skip
# The same with other parts.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ELECTRA, one width": ("electra", {"embedding_size": 22}),
    "ModernBERT, biases": (
        "modernbert", {"attention_bias": True, "mlp_bias": True, "norm_bias": True},
    ),
    "ModernBERT, mean": ("modernbert", {"classifier_pooling": "mean", "classifier_activation": "silu"}),
    "ModernBERT, odd window": (
        "modernbert",
        {"local_attention": 5, "classifier_bias": False,
         "layer_types": ["sliding_attention"] * 3 + ["full_attention"] * 2,
         "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 777.0},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 33.0}}},
    ),
    "CLIP, highest id": ("clip", {"eos_token_id": 2}),
    "XLNet, one way": ("xlnet", {"attn_type": "uni"}),
    "XLNet, one way, same length": ("xlnet", {"attn_type": "uni", "same_length": True}),
    "XLNet, clamped": ("xlnet", {"clamp_len": 3, "same_length": True}),
    "XLNet, no layer": ("xlnet", {"summary_use_proj": False, "summary_activation": ""}),
}  # fmt: skip
SYSTEMS = {family: (family, {}) for family in FAMILIES} | VARIANTS
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def perturbed(kind: str, config: Any) -> nn.Module:
    """A model in eval mode whose every parameter is random, those that begin as 0 or 1 too."""
    torch.manual_seed(7)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def theirs_of(system: str, *, head: bool = False, kind: str | None = None, **changes: Any) -> nn.Module:
    family, variant = SYSTEMS[system]
    model, classifier, config, fields = FAMILIES[family]
    made = getattr(transformers, config)(**(fields | variant | changes))
    return perturbed(kind or (classifier if head else model), made)


def batch(padding: int, side: str, *, end: int | None = None) -> tuple[Tensor, Tensor]:
    """Ids and mask of texts of 11, 7 and 2 tokens, shorter than the table of positions."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(6, 35, (3, 11), generator=generator)
    lengths = torch.tensor([11, 7, 2])[:, None]
    if side == "left":
        mask = torch.arange(11) >= 11 - lengths
        last = torch.full((3, 1), 10)
    else:
        mask = torch.arange(11) < lengths
        last = lengths - 1
    if end is not None:
        ids = ids.scatter(1, last, end)
    return ids.where(mask, torch.tensor(padding)), mask


def exact_rotation(
    query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    """ModernBERT's rotation without its rounding of queries and keys to float32."""

    def turned(heads: Tensor) -> Tensor:
        one, two = heads.chunk(2, -1)
        return heads * cos.unsqueeze(unsqueeze_dim) + torch.cat([-two, one], -1) * sin.unsqueeze(
            unsqueeze_dim
        )

    return turned(query), turned(key)


def double_waves(method: Callable[..., Tensor], dtype: torch.dtype) -> Callable[..., Tensor]:
    """XLNet's sines and cosines in the model's dtype: with two streams theirs cannot mix dtypes."""
    return lambda *arguments, **options: method(*arguments, **options).to(dtype)
