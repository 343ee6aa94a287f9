"""Weight for weight against the transformers library, random weights on small configurations."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import vit
from vit.errors import VitError
from vit.text import train_tokenizer
from vit.weights.huggingface.importer import from_tensors
from vit.weights.huggingface.names import our_name

transformers = pytest.importorskip("transformers")

PICTURES = {
    "image_size": (15, 21),
    "patch_size": 3,
    "num_channels": 3,
    "hidden_size": 22,
    "num_hidden_layers": 3,
}
PICTURES |= {"num_attention_heads": 2, "intermediate_size": 29, "mlp_ratio": 2, "layerscale_value": 0.7}
TEXTS = {"vocab_size": 37, "hidden_size": 22, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXTS |= {"intermediate_size": 29, "max_position_embeddings": 19}
DISTIL = {
    "vocab_size": 37,
    "dim": 22,
    "n_layers": 3,
    "n_heads": 2,
    "hidden_dim": 29,
    "max_position_embeddings": 19,
}
SQUARE = {"image_size": 15}  # all that their DINOv2 can place
PAD = 1

VISION = {
    "ViT": ("ViTModel", "ViTConfig", {}),
    "ViT classifier": ("ViTForImageClassification", "ViTConfig", {"num_labels": 5}),
    "ViT, tanh GELU, no bias": ("ViTModel", "ViTConfig", {"hidden_act": "gelu_new", "qkv_bias": False}),
    "ViT, other eps": ("ViTModel", "ViTConfig", {"layer_norm_eps": 0.1}),
    "DINOv2": ("Dinov2Model", "Dinov2Config", SQUARE),
    "DINOv2 classifier": ("Dinov2ForImageClassification", "Dinov2Config", SQUARE | {"num_labels": 5}),
    "DINOv2, registers": (
        "Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", SQUARE | {"num_register_tokens": 3},
    ),
}  # fmt: skip
TEXT = {
    "BERT": ("BertModel", "BertConfig", TEXTS),
    "BERT classifier": ("BertForSequenceClassification", "BertConfig", TEXTS | {"num_labels": 5}),
    "BERT, ReLU": ("BertModel", "BertConfig", TEXTS | {"hidden_act": "relu"}),
    "BERT, other eps": ("BertModel", "BertConfig", TEXTS | {"layer_norm_eps": 0.1}),
    "RoBERTa": ("RobertaModel", "RobertaConfig", TEXTS | {"pad_token_id": PAD}),
    "RoBERTa classifier": (
        "RobertaForSequenceClassification", "RobertaConfig", TEXTS | {"pad_token_id": PAD, "num_labels": 5},
    ),
    "DistilBERT": ("DistilBertModel", "DistilBertConfig", DISTIL),
    "DistilBERT, sines": ("DistilBertModel", "DistilBertConfig", DISTIL | {"sinusoidal_pos_embds": True}),
    "DistilBERT classifier": (
        "DistilBertForSequenceClassification", "DistilBertConfig", DISTIL | {"num_labels": 5},
    ),
}  # fmt: skip
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def theirs_of(kind: str, config: str, options: dict) -> nn.Module:
    torch.manual_seed(7)
    model = getattr(transformers, kind)(getattr(transformers, config)(**options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() or "bias" in name:  # else all ones and zeros, which any order fits
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def batch(padding: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts of 11, 7 and 1 tokens, shorter than the table."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, 37, (3, 11), generator=generator)
    mask = torch.arange(11) < torch.tensor([11, 7, 1])[:, None]
    if side == "left":
        mask = mask.flip(1)
    return ids.where(mask, torch.tensor(padding)), mask


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("system", VISION)
def test_a_picture_model_gives_their_states_and_logits(system: str, dtype: torch.dtype) -> None:
    kind, config, options = VISION[system]
    theirs = theirs_of(kind, config, PICTURES | options).to(dtype)
    ours = vit.from_huggingface(theirs)
    images = torch.randn(2, 3, *ours.image_size, dtype=dtype)
    with torch.no_grad():
        base = getattr(theirs, theirs.base_model_prefix, theirs)
        expected = base(images).last_hidden_state
        assert (ours.encode(images) - expected).abs().max() < TOLERANCE[dtype]
        if "classifier" in system:
            assert (ours(images) - theirs(images).logits).abs().max() < TOLERANCE[dtype]
            assert ours.labels == [f"LABEL_{index}" for index in range(5)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("system", TEXT)
def test_a_text_model_gives_their_states_and_logits(system: str, side: str, dtype: torch.dtype) -> None:
    kind, config, options = TEXT[system]
    theirs = theirs_of(kind, config, options).to(dtype)
    ours = vit.from_huggingface(theirs)
    ids, mask = batch(ours.padding, side)
    with torch.no_grad():
        base = getattr(theirs, theirs.base_model_prefix, theirs)
        expected = base(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        assert (ours.encode(ids, mask) - expected)[mask].abs().max() < TOLERANCE[dtype]
        assert torch.equal(ours.encode(ids), ours.encode(ids, mask)), "the mask follows from the padding"
        if "classifier" in system and side == "right":
            logits = theirs(input_ids=ids, attention_mask=mask.long()).logits
            assert (ours(ids, mask) - logits).abs().max() < TOLERANCE[dtype]


def test_segments() -> None:
    theirs = theirs_of("BertModel", "BertConfig", TEXTS)
    ours = vit.from_huggingface(theirs)
    ids, mask = batch(0, "right")
    segments = (torch.arange(11) > 4).long().expand(3, 11)
    with torch.no_grad():
        found = theirs(input_ids=ids, attention_mask=mask.long(), token_type_ids=segments)
        assert (ours.encode(ids, mask, segments=segments) - found.last_hidden_state)[mask].abs().max() < 1e-5
        assert (ours(ids, mask, segments=segments) - found.pooler_output).abs().max() < 1e-5


@pytest.mark.parametrize("system", TEXT)
def test_a_text_of_padding_alone_is_finite_and_leaves_its_neighbours_alone(system: str) -> None:
    kind, config, options = TEXT[system]
    ours = vit.from_huggingface(theirs_of(kind, config, options))
    ids, _ = batch(ours.padding, "right")
    with torch.no_grad():
        alone = ours(ids[:2])
        ids[2] = ours.padding
        together = ours(ids)
    assert together.isfinite().all()
    assert (together[:2] - alone).abs().max() < 1e-5


OLD_VIT = {
    r"^vit\.layers\.": "vit.encoder.layer.",
    r"attention\.q_proj": "attention.attention.query",
    r"attention\.k_proj": "attention.attention.key",
    r"attention\.v_proj": "attention.attention.value",
    r"attention\.o_proj": "attention.output.dense",
    r"mlp\.fc1": "intermediate.dense",
    r"mlp\.fc2": "output.dense",
}  # fmt: skip


def test_old_names_of_a_vit() -> None:
    theirs = theirs_of("ViTForImageClassification", "ViTConfig", PICTURES | {"num_labels": 5})
    old = {}
    for name, tensor in theirs.state_dict().items():
        for pattern, replacement in OLD_VIT.items():
            name = re.sub(pattern, replacement, name)
        old[name] = tensor
    assert any("attention.attention.query" in name for name in old)
    images = torch.randn(2, 3, 15, 21)
    with torch.no_grad():
        ours = from_tensors(theirs.config.to_dict(), old)
        assert (ours(images) - theirs(images).logits).abs().max() < 1e-5


def test_old_names_of_a_bert() -> None:
    theirs = theirs_of("BertModel", "BertConfig", TEXTS)
    old = {}
    for name, tensor in theirs.state_dict().items():
        name = re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name)
        old["bert." + re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", name)] = tensor
    old |= {"bert.embeddings.position_ids": torch.arange(19)[None], "cls.predictions.bias": torch.zeros(37)}
    assert "bert.encoder.layer.0.output.LayerNorm.gamma" in old
    ids, mask = batch(0, "right")
    with torch.no_grad():
        ours = from_tensors(theirs.config.to_dict(), old)
        expected = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        assert (ours.encode(ids, mask) - expected)[mask].abs().max() < 1e-5


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("encoder.layer.11.attention.attention.value.bias", "encoder.blocks.11.attention.value.bias"),
        ("vit.layers.3.attention.v_proj.bias", "encoder.blocks.3.attention.value.bias"),
        ("distilbert.transformer.layer.0.ffn.lin2.weight", "encoder.blocks.0.mlp.contract.weight"),
        ("bert.embeddings.LayerNorm.gamma", "embedding_norm.weight"),
        ("roberta.embeddings.position_embeddings.weight", "positions.table"),
        ("dinov2.embeddings.mask_token", None),
        ("lm_head.dense.weight", None),
        ("vocab_projector.bias", None),
    ],
)
def test_names(name: str, ours: str | None) -> None:
    assert our_name(name) == ours


@pytest.mark.parametrize(
    ("kind", "config", "options", "what"),
    [
        ("BertModel", "BertConfig", TEXTS | {"hidden_act": "mish"}, "mish"),
        ("ViTModel", "ViTConfig", PICTURES | {"hidden_act": "mish"}, "hidden_act is mish"),
        ("SwinModel", "SwinConfig", {"embed_dim": 6, "depths": [1], "num_heads": [1]}, "windows"),
    ],
)
def test_what_vit_has_not_is_refused_by_name(kind: str, config: str, options: dict, what: str) -> None:
    model = getattr(transformers, kind)(getattr(transformers, config)(**options))
    with pytest.raises(VitError, match=what):
        vit.from_huggingface(model)


def test_a_missing_weight_is_named() -> None:
    theirs = theirs_of("BertModel", "BertConfig", TEXTS)
    tensors = dict(theirs.state_dict())
    del tensors["encoder.layer.1.output.dense.bias"]
    with pytest.raises(VitError, match=r"blocks\.1\.mlp\.contract\.bias"):
        from_tensors(theirs.config.to_dict(), tensors)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(VitError, match="Linear"):
        vit.from_huggingface(nn.Linear(2, 3))


def test_the_copy_shares_no_memory() -> None:
    theirs = theirs_of("BertModel", "BertConfig", TEXTS)
    ours = vit.from_huggingface(theirs)
    before = ours.token_embedding.weight.clone()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.zero_()
    assert torch.equal(ours.token_embedding.weight, before)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    theirs = theirs_of(
        "ViTForImageClassification", "ViTConfig", PICTURES | {"num_labels": 5, "image_size": 15}
    )
    theirs.save_pretrained(tmp_path)
    processor = {
        "size": {"height": 15, "width": 15},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.5, 0.6, 0.7],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor | {"resample": 2}))
    model = vit.load_model(f"hf:{tmp_path}")
    assert model.preprocess.mean == (0.1, 0.2, 0.3)
    assert model.preprocess.interpolation == "bilinear"
    images = torch.randn(2, 3, 15, 15)
    with torch.no_grad():
        assert (model(images) - theirs(images).logits).abs().max() < 1e-5


def test_a_folder_of_texts(tmp_path: Path) -> None:
    theirs = theirs_of(
        "BertForSequenceClassification", "BertConfig", TEXTS | {"id2label": {0: "bad", 1: "good"}}
    )
    theirs.save_pretrained(tmp_path)
    with pytest.raises(VitError, match=r"has no tokenizer\.json"):
        vit.load_model(f"hf:{tmp_path}")
    tokenizer = train_tokenizer(["a good film", "a bad film"] * 3, vocabulary=37, length=9)
    (tmp_path / "tokenizer.json").write_text(tokenizer.definition)
    model = vit.load_model(f"hf:{tmp_path}")
    assert model.labels == ["bad", "good"]
    ids = model.preprocess("a good film")[None]
    with torch.no_grad():
        assert (model(ids) - theirs(ids).logits).abs().max() < 1e-5


def test_sentences_are_pooled_as_the_folder_says(tmp_path: Path) -> None:
    theirs = theirs_of("BertModel", "BertConfig", TEXTS)
    theirs.save_pretrained(tmp_path)
    tokenizer = train_tokenizer(["a good film", "a bad film"] * 3, vocabulary=37, length=9)
    (tmp_path / "tokenizer.json").write_text(tokenizer.definition)
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"}
        for path, kind in (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    pooling = tmp_path / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}))
    model = vit.load_model(f"hf:{tmp_path}")
    ids = model.preprocess("a good film")[None]
    with torch.no_grad():
        mean = theirs(ids).last_hidden_state.mean(1)
        torch.testing.assert_close(model(ids), mean / mean.norm(), atol=1e-5, rtol=0)
    pooling.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(VitError, match="pools by max"):
        vit.load_model(f"hf:{tmp_path}")


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    theirs_of("BertModel", "BertConfig", TEXTS).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(VitError, match="never from a pickle"):
        vit.load_model(f"hf:{tmp_path}")
