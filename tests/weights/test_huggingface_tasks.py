"""Heads, labels and scores against the pipelines of transformers; files in parts, halves, wrappers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data
from torch import nn

import vit
from vit.core.tower import probabilities
from vit.errors import VitError
from vit.text import train_tokenizer
from vit.weights.huggingface.importer import from_tensors

transformers = pytest.importorskip("transformers")

IMAGES = {"image_size": 21, "patch_size": 3, "hidden_size": 22, "num_hidden_layers": 2}
IMAGES |= {"num_attention_heads": 2, "intermediate_size": 29, "mlp_ratio": 2}
TEXTS = {"vocab_size": 61, "hidden_size": 22, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXTS |= {"intermediate_size": 29, "max_position_embeddings": 19, "pad_token_id": 0}
DISTIL = {"vocab_size": 61, "dim": 22, "n_layers": 2, "n_heads": 2, "hidden_dim": 29}
DISTIL |= {"max_position_embeddings": 19, "pad_token_id": 0}
CONFIGS = {
    "ViT": IMAGES,
    "Dinov2": IMAGES,
    "Dinov2WithRegisters": IMAGES,
    "Bert": TEXTS,
    "Roberta": TEXTS,
    "DistilBert": DISTIL,
}
CLASSIFIERS = {
    family: f"{family}For{'Image' if CONFIGS[family] is IMAGES else 'Sequence'}Classification"
    for family in CONFIGS
}
SENTENCES = ["a good film", "a bad film that was long", "film"]
# Labels, and how they are said: the pipelines of transformers take a softmax for the first two.
KINDS: dict[str, dict[str, Any]] = {
    "several classes": {"num_labels": 5},
    "names": {"id2label": {0: "cat", 1: "dog", 2: "truck"}},
    "two, not named": {},
    "one": {"num_labels": 1},
    "one, named": {"id2label": {0: "toxic"}},
    "several labels": {"num_labels": 3, "problem_type": "multi_label_classification"},
}


def made(kind: str, **options: Any) -> Any:
    torch.manual_seed(5)
    family = next(name for name in sorted(CONFIGS, key=len, reverse=True) if kind.startswith(name))
    config = getattr(transformers, f"{family}Config")(**(CONFIGS[family] | options))
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def write_tokenizer(folder: Path) -> None:
    tokenizer = train_tokenizer(SENTENCES * 3, vocabulary=61, length=17)
    (folder / "tokenizer.json").write_text(tokenizer.definition)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(names | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 17})
    )


def rows_of(model: Any, inputs: Any) -> list[dict[str, float]]:
    with torch.no_grad():
        scores = probabilities(model, model(inputs))
    return [dict(zip(model.labels, row.tolist(), strict=True)) for row in scores]


def same(found: dict[str, float], expected: list[dict[str, Any]]) -> None:
    assert found == pytest.approx({row["label"]: row["score"] for row in expected}, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["ViT", "Dinov2", "Dinov2WithRegisters"])
def test_labels_and_scores_of_pictures_are_those_of_the_pipeline(
    family: str, kind: str, tmp_path: Path
) -> None:
    made(CLASSIFIERS[family], **KINDS[kind]).save_pretrained(tmp_path)
    size = {"height": 21, "width": 21}
    transformers.ViTImageProcessor(size=size).save_pretrained(tmp_path)
    pipeline = transformers.pipeline("image-classification", str(tmp_path))
    ours = vit.load_model(f"hf:{tmp_path}")
    picture = Image.fromarray(data.coffee()).resize((21, 21))  # so that no resizing makes levels differ
    expected = pipeline(picture, top_k=9)
    same(rows_of(ours, ours.preprocess(picture)[None])[0], expected)
    again = vit.from_huggingface(pipeline.model)
    same(rows_of(again, again.preprocess(picture)[None])[0], expected)
    assert again.labels == ours.labels
    assert again.thresholds == ours.thresholds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
def test_labels_and_scores_of_texts_are_those_of_the_pipeline(family: str, kind: str, tmp_path: Path) -> None:
    made(CLASSIFIERS[family], **KINDS[kind]).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    pipeline = transformers.pipeline("text-classification", str(tmp_path))
    ours = vit.load_model(f"hf:{tmp_path}")
    for text in SENTENCES:
        (expected,) = pipeline([text], top_k=None)
        same(rows_of(ours, ours.preprocess(text)[None])[0], expected)
    again = vit.from_huggingface(pipeline.model)
    assert again.labels == ours.labels
    assert torch.equal(again.preprocess(text), ours.preprocess(text))
    assert vit.attend(again, SENTENCES[:2]).shape[0] == 2


def test_predict_writes_the_scores_of_the_pipeline(tmp_path: Path) -> None:
    from vit.cli import main

    folder, photos, rows = tmp_path / "model", tmp_path / "photos", tmp_path / "rows.jsonl"
    made("ViTForImageClassification", **KINDS["several labels"]).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 21, "width": 21}).save_pretrained(folder)
    photos.mkdir()
    picture = Image.fromarray(data.coffee()).resize((21, 21))
    picture.save(photos / "a.png")
    assert main(["predict", f"hf:{folder}", str(photos), "--output", str(rows), "--topk", "3"]) == 0
    row = json.loads(rows.read_text())
    topk = row["topk"] if isinstance(row["topk"], list) else json.loads(row["topk"])
    found = {entry["label"]: entry["score"] for entry in topk}
    same(found, transformers.pipeline("image-classification", str(folder))(picture))
    labels = row["labels"] if isinstance(row["labels"], list) else json.loads(row["labels"])
    assert sorted(labels) == sorted(label for label, score in found.items() if score >= 0.5)
    made("BertForMaskedLM").save_pretrained(folder)
    write_tokenizer(folder)
    assert main(["predict", f"hf:{folder}", str(photos), "--output", str(tmp_path / "none.csv")]) == 1


REFUSED = {
    "BertForTokenClassification": "BertForTokenClassification, expected one of: BertModel",
    "BertForMultipleChoice": "BertForMultipleChoice",
    "BertForQuestionAnswering": "BertForQuestionAnswering",
    "RobertaForTokenClassification": "RobertaForTokenClassification, expected one of: RobertaModel",
    "RobertaForMultipleChoice": r"encoder alone can be imported: vit\.from_huggingface\(model\.base_model\)",
    "RobertaForQuestionAnswering": "RobertaForQuestionAnswering",
    "DistilBertForTokenClassification": "DistilBertForTokenClassification",
    "DistilBertForMultipleChoice": "DistilBertForMultipleChoice",
    "DistilBertForQuestionAnswering": "DistilBertForQuestionAnswering",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_heads_of_other_tasks_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    theirs = made(kind)
    with pytest.raises(VitError, match=REFUSED[kind]):
        vit.from_huggingface(theirs)
    theirs.save_pretrained(tmp_path)
    with pytest.raises(VitError, match=REFUSED[kind]):
        vit.load_model(f"hf:{tmp_path}")
    ids = torch.tensor([[5, 7, 11, 3]])
    with torch.no_grad():  # the way out that the message names
        expected = theirs.base_model(ids).last_hidden_state
        assert (vit.from_huggingface(theirs.base_model).encode(ids) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
def test_a_token_classifier_is_refused_where_no_file_names_its_class(family: str) -> None:
    theirs = made(f"{family}ForTokenClassification")
    with pytest.raises(VitError, match="token classifier"):
        from_tensors(theirs.config.to_dict() | {"architectures": None}, theirs.state_dict())


@pytest.mark.parametrize("family", CONFIGS)
def test_a_regression_is_refused(family: str) -> None:
    theirs = made(CLASSIFIERS[family], num_labels=1, problem_type="regression")
    with pytest.raises(VitError, match="problem_type is regression"):
        vit.from_huggingface(theirs)


ENCODERS = (
    "ViTForMaskedImageModeling", "Dinov2Backbone", "BertForMaskedLM", "BertForPreTraining", "BertLMHeadModel",
    "BertForNextSentencePrediction", "RobertaForMaskedLM", "RobertaForCausalLM", "DistilBertForMaskedLM",
)  # fmt: skip


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_head_of_pretraining_is_left_out_and_that_is_said(kind: str, tmp_path: Path) -> None:
    theirs = made(kind)
    images = kind.startswith(("ViT", "Dino"))
    inputs = torch.randn(2, 3, 21, 21) if images else torch.tensor([[5, 7, 11, 3]])
    theirs.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    with torch.no_grad():
        if kind == "Dinov2Backbone":
            expected = theirs(inputs).feature_maps[0].flatten(2).transpose(1, 2)
        else:
            expected = theirs.base_model(inputs).last_hidden_state
        for ours in (vit.from_huggingface(theirs), vit.load_model(f"hf:{tmp_path}")):
            states = ours.encode(inputs)[:, 1:] if kind == "Dinov2Backbone" else ours.encode(inputs)
            assert (states - expected).abs().max() < 1e-5
            assert ours.labels == []
            said = None if kind == "Dinov2Backbone" else f"left out, that of {kind}"
            assert ours.source.get("head") == said


def test_a_pooler_beside_a_classifier_does_not_replace_its_own() -> None:
    """Checkpoints of RoBERTa's classifiers hold the encoder's pooler too, which their head does not read."""
    theirs = made("RobertaForSequenceClassification", num_labels=3)
    expected = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    odd = {f"roberta.pooler.dense.{part}": torch.randn(shape) for part, shape in
           (("weight", (22, 22)), ("bias", (22,)))}  # fmt: skip
    ids = torch.tensor([[5, 7, 11, 3]])
    config = theirs.config.to_dict()
    with torch.no_grad():
        for tensors in (odd | expected, expected | odd):
            assert (from_tensors(config, tensors)(ids) - theirs(ids).logits).abs().max() < 1e-5


def test_label_names() -> None:
    theirs = made("ViTForImageClassification", num_labels=3)
    config, tensors = theirs.config.to_dict(), theirs.state_dict()
    del config["id2label"], config["label2id"]
    assert from_tensors(config, tensors).labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert from_tensors(config | {"label2id": {"b": 1, "c": 2, "a": 0}}, tensors).labels == ["a", "b", "c"]
    strings = {"0": "x", "2": "z", "1": "y"}
    assert from_tensors(config | {"id2label": strings, "label2id": {}}, tensors).labels == ["x", "y", "z"]
    with pytest.raises(VitError, match=r"names the classes \[0, 1\], and the head has 3"):
        from_tensors(config | {"id2label": {"0": "x", "1": "y"}}, tensors)


def test_a_classifier_without_its_head_is_refused() -> None:
    theirs = made("BertForSequenceClassification")
    tensors = {name: tensor for name, tensor in theirs.state_dict().items() if "classifier" not in name}
    config = theirs.config.to_dict() | {"architectures": ["BertForSequenceClassification"]}
    with pytest.raises(VitError, match="its weights lack the head"):
        from_tensors(config, tensors)


def test_a_folder_in_parts_is_read_and_a_missing_part_is_named(tmp_path: Path) -> None:
    theirs = made("ViTForImageClassification", num_labels=5)
    theirs.save_pretrained(tmp_path, max_shard_size="9KB")
    parts = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(parts) > 2
    images = torch.randn(2, 3, 21, 21)
    ours = vit.load_model(f"hf:{tmp_path}")
    with torch.no_grad():
        assert (ours(images) - theirs(images).logits).abs().max() < 1e-5
    whole = b"".join(part.read_bytes() for part in parts)
    assert ours.source == {"word": f"hf:{tmp_path}", "sha256": hashlib.sha256(whole).hexdigest()}
    parts[1].rename(tmp_path / "elsewhere")
    with pytest.raises(VitError, match=rf"{parts[1].name} is missing: .* lists {len(parts)} parts"):
        vit.load_model(f"hf:{tmp_path}")
    (tmp_path / "elsewhere").rename(parts[1])
    rest = load_file(parts[1])
    lost = rest.popitem()[0]
    save_file(rest, parts[1])
    with pytest.raises(VitError, match=rf"lists {lost.replace('.', '[.]')}, which none of its parts has"):
        vit.load_model(f"hf:{tmp_path}")
    parts[0].write_bytes(b"short")
    with pytest.raises(VitError, match=f"{parts[0].name} cannot be read"):
        vit.load_model(f"hf:{tmp_path}")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(VitError, match="has no weight_map"):
        vit.load_model(f"hf:{tmp_path}")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single_from_a_folder_and_kept_in_memory(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    theirs = made("ViTForImageClassification", num_labels=5).to(dtype)
    theirs.save_pretrained(tmp_path)
    ours = vit.load_model(f"hf:{tmp_path}")
    images = torch.randn(2, 3, 21, 21)
    with torch.no_grad():
        assert (ours(images) - theirs.float()(images).logits).abs().max() < 1e-5
    assert vit.from_huggingface(theirs.to(dtype)).head.weight.dtype == dtype


def test_the_source_of_a_folder(tmp_path: Path) -> None:
    made("ViTModel").save_pretrained(tmp_path)
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert vit.load_model(f"hf:{tmp_path}").source == {"word": f"hf:{tmp_path}", "sha256": digest}
    readme = tmp_path / "README.md"
    for text, expected in {
        "---\nlicense: apache-2.0\n---\n# Name": "apache-2.0",
        "---\ntags:\n- x\nlicense:\n- mit\n- cc-by-4.0\n---\n": "mit, cc-by-4.0",
        "---\nlicense: [\n---\n": None,
        "---\ntags: [x]\n---\n": None,
        "# No front matter\n---\nlicense: mit\n---": None,
        "---": None,
    }.items():
        readme.write_text(text)
        assert vit.load_model(f"hf:{tmp_path}").source.get("license") == expected


def test_wrapped_models_are_unwrapped() -> None:
    theirs = made("ViTForImageClassification", num_labels=5)
    images = torch.randn(2, 3, 21, 21)
    with torch.no_grad():
        expected = theirs(images).logits
        for wrapped in (
            torch.compile(theirs),
            nn.DataParallel(theirs),
            torch.compile(nn.DataParallel(theirs)),
        ):
            assert (vit.from_huggingface(wrapped)(images) - expected).abs().max() < 1e-5
        theirs.vit.layers[0] = torch.compile(theirs.vit.layers[0])
        assert (vit.from_huggingface(theirs)(images) - expected).abs().max() < 1e-5


def test_a_class_of_ones_own_counts_as_the_one_that_it_is_derived_from() -> None:
    class Mine(transformers.ViTForImageClassification):
        pass

    class Other(transformers.ViTPreTrainedModel):
        def __init__(self, config: Any):
            super().__init__(config)
            self.vit = transformers.ViTModel(config)

    config = transformers.ViTConfig(**IMAGES, num_labels=5)
    assert len(vit.from_huggingface(Mine(config)).labels) == 5
    with pytest.raises(VitError, match="cannot import a ViTPreTrainedModel, expected one of: ViTModel"):
        vit.from_huggingface(Other(config))


def test_weights_that_are_not_here_are_refused() -> None:
    with torch.device("meta"):
        empty = transformers.ViTModel(transformers.ViTConfig(**IMAGES))
    with pytest.raises(VitError, match="on the meta device, empty or offloaded"):
        vit.from_huggingface(empty)
    quantized = made("ViTModel")
    quantized.layers[0].mlp.fc1.weight = nn.Parameter(
        torch.zeros(29, 22, dtype=torch.int8), requires_grad=False
    )
    with pytest.raises(
        VitError, match=r"quantized model \(layers\.0\.mlp\.fc1\.weight has dtype torch\.int8"
    ):
        vit.from_huggingface(quantized)


def test_sharded_weights_are_refused() -> None:
    from torch.distributed import destroy_process_group, init_process_group
    from torch.distributed.fsdp import fully_shard
    from torch.testing._internal.distributed.fake_pg import FakeStore

    init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        theirs = made("ViTModel")
        fully_shard(theirs)
        with pytest.raises(VitError, match=r"sharded model .* save it whole with save_pretrained"):
            vit.from_huggingface(theirs)
    finally:
        destroy_process_group()


def test_a_model_of_timm_is_sent_to_its_importer() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1)
    with pytest.raises(
        VitError, match=r"expected a model of transformers: vit\.from_timm imports models of timm"
    ):
        vit.from_huggingface(theirs)


def test_the_error_is_public() -> None:
    assert vit.VitError is VitError
    assert "VitError" in dir(vit)
