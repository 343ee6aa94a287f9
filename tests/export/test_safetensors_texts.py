"""Text models as folders that transformers loads: the same results, and the same tensors read again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vit
from vit.errors import VitError
from vit.export.safetensors import export_safetensors
from vit.export.safetensors.checks import same_tensors
from vit.text import Tokenizer

from ..towers import text_tower

transformers = pytest.importorskip("transformers")

from ..weights import text_folders  # noqa: E402
from ..weights.language_models import byte_tokenizer, made, unigram_tokenizer  # noqa: E402
from ..weights.text_families import SYSTEMS, batch, theirs_of  # noqa: E402

NOT_COVERED = {system for system in SYSTEMS if system.lower().startswith("xlnet")}
# One of each way in which tensors are written; the others are slow tests.
USUAL = {("bert", True), ("roberta", False), ("roberta", True), ("distilbert", True), ("electra", True)}
USUAL |= {("mpnet", True), ("ModernBERT, odd window", True), ("clip", True)}
CASES = [
    pytest.param(system, head, marks=[] if (system, head) in USUAL else [pytest.mark.slow])
    for system in SYSTEMS
    if system not in NOT_COVERED
    for head in (False, True)
]
# Families that compute the same have one spelling: that of the first.
SAME_AS = {"xlm-roberta": "Roberta", "camembert": "Roberta"}
SAME_AS |= {"ELECTRA, one width": "Bert"}  # without a head

T5: dict[str, Any] = {
    "vocab_size": 37, "d_model": 22, "d_kv": 7, "d_ff": 29, "num_layers": 2, "num_decoder_layers": 3,
    "num_heads": 3, "decoder_start_token_id": 0,
}  # fmt: skip
GPT2: dict[str, Any] = {"vocab_size": 37, "n_embd": 22, "n_layer": 2, "n_head": 2, "n_positions": 19}
GPT2 |= {"eos_token_id": 36, "bos_token_id": 36}
# The class, its config, its fields, and the class that it comes back as.
LANGUAGE: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "GPT-2, states": ("GPT2Model", "GPT2Config", GPT2, "GPT2Model"),
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", GPT2, "GPT2LMHeadModel"),
    "GPT-2, a head of its own": (
        "GPT2LMHeadModel", "GPT2Config",
        GPT2 | {"tie_word_embeddings": False, "n_inner": 29, "activation_function": "relu"},
        "GPT2LMHeadModel",
    ),
    "T5": ("T5ForConditionalGeneration", "T5Config", T5, "T5ForConditionalGeneration"),
    "T5, gated": (
        "T5ForConditionalGeneration", "T5Config",
        T5 | {"tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"},
        "T5ForConditionalGeneration",
    ),
    "T5, states": ("T5Model", "T5Config", T5, "T5Model"),
    "T5, encoder": ("T5EncoderModel", "T5Config", T5, "T5EncoderModel"),
    "mT5": ("MT5ForConditionalGeneration", "MT5Config", T5, "T5ForConditionalGeneration"),
    "UMT5": ("UMT5ForConditionalGeneration", "UMT5Config", T5, "UMT5ForConditionalGeneration"),
}  # fmt: skip


def loaded(folder: Path) -> Any:
    """The class of transformers that the config names."""
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, said = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert {key for key in said["missing_keys"] if "pooler" not in key} == set()
    assert set(said["unexpected_keys"]) == set()
    return model.eval()


def outputs(theirs: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Logits, embeddings of texts, or states without those of padding."""
    more = {"decoder_input_ids": ids[:, :5]} if theirs.config.is_encoder_decoder else {}
    if type(theirs).__name__.endswith("EncoderModel"):
        more = {}
    with torch.no_grad():
        found = theirs(input_ids=ids, attention_mask=mask.long(), **more)
    results = (getattr(found, name, None) for name in ("logits", "text_embeds", "last_hidden_state"))
    result: torch.Tensor = next(result for result in results if result is not None)
    return result * mask[..., None] if result.shape[:2] == mask.shape and not more else result


@pytest.mark.parametrize(("system", "head"), CASES)
def test_a_model_of_transformers_comes_back(system: str, head: bool, tmp_path: Path) -> None:
    theirs, folder = theirs_of(system, head=head), tmp_path / "out"
    ours = vit.from_huggingface(theirs, processor=False)
    export_safetensors(ours, folder, library="transformers")
    again = loaded(folder)
    if not (system == "ELECTRA, one width" and head):
        assert type(again).__name__.startswith(SAME_AS.get(system, type(theirs).__name__))
    end = ours.end if isinstance(ours.end, int) else None
    ids, mask = batch(ours.padding, "right", end=end)
    for count in (1, 2, 3):
        expected = outputs(theirs, ids[:count], mask[:count])
        found = outputs(again, ids[:count], mask[:count])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert same_tensors(ours, vit.weights.huggingface.importer.from_folder(folder)) == []


@pytest.mark.parametrize("system", LANGUAGE)
def test_a_language_model_comes_back(system: str, tmp_path: Path) -> None:
    kind, config, fields, back = LANGUAGE[system]
    theirs = made(kind, getattr(transformers, config)(**fields))
    ours = vit.from_huggingface(theirs, processor=False)
    export_safetensors(ours, tmp_path / "out", library="transformers")
    again = loaded(tmp_path / "out")
    assert type(again).__name__ == back
    ids, mask = batch(ours.padding, "right")
    expected, found = outputs(theirs, ids, mask), outputs(again, ids, mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs")
    files = (tmp_path / folder / "model.safetensors" for folder in ("theirs", "out"))
    wanted, written = (load_file(file) for file in files)
    assert wanted.keys() == written.keys()
    assert all(torch.equal(wanted[name], written[name]) for name in wanted)


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "BERT": lambda folder: text_folders.bert(folder, "ForSequenceClassification", num_labels=3),
    "DistilBERT": lambda folder: text_folders.distilbert(folder),
    "RoBERTa": lambda folder: text_folders.roberta(folder, "ForSequenceClassification", num_labels=3),
}


@pytest.mark.parametrize("family", FOLDERS)
def test_tokenizers_travel(family: str, tmp_path: Path) -> None:
    source = FOLDERS[family](tmp_path / "source")
    model = vit.load_model(f"hf:{source}")
    export_safetensors(model, tmp_path / "out", library="transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    texts = [text for text in text_folders.TEXTS if text]
    found = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    assert torch.equal(found["input_ids"], model.preprocess.batch(texts))
    kind = "AutoModelForSequenceClassification" if model.labels else "AutoModel"
    theirs = getattr(transformers, kind).from_pretrained(tmp_path / "out").eval()
    plain = tokenizer(["the cat sat", "a dog ."], padding=True, return_tensors="pt")
    with torch.no_grad():
        result = theirs(**plain)
        if model.labels:
            torch.testing.assert_close(result.logits, model(plain["input_ids"]), rtol=1e-5, atol=1e-5)
            assert list(theirs.config.id2label.values()) == model.labels
        else:
            mask = plain["attention_mask"][..., None]
            states = model.encode(plain["input_ids"])
            torch.testing.assert_close(result.last_hidden_state * mask, states * mask, rtol=1e-5, atol=1e-5)
    again = vit.load_model(f"hf:{tmp_path / 'out'}")
    assert again.labels == model.labels
    assert again.preprocess.to_dict() == model.preprocess.to_dict()


@pytest.mark.parametrize("kind", ["GPT2LMHeadModel", "T5ForConditionalGeneration"])
def test_a_language_model_writes_the_same_texts(kind: str, tmp_path: Path) -> None:
    gpt2 = kind.startswith("GPT2")
    tokenizer = byte_tokenizer() if gpt2 else unigram_tokenizer()
    size = {"vocab_size": len(tokenizer)}
    ids = {"eos_token_id": tokenizer.eos_token_id} | ({} if gpt2 else {"pad_token_id": 0})
    config = (
        transformers.GPT2Config(**GPT2 | size | ids) if gpt2 else transformers.T5Config(**T5 | size | ids)
    )
    theirs = made(kind, config)
    source = tmp_path / "source"
    theirs.save_pretrained(source)
    tokenizer.save_pretrained(source)
    model = vit.load_model(f"hf:{source}")
    export_safetensors(model, tmp_path / "out", library="transformers")
    again = vit.load_model(f"hf:{tmp_path / 'out'}")
    prompt = "the cat"
    assert again.generate(prompt, max_tokens=6) == model.generate(prompt, max_tokens=6)
    assert (again.ends, again.padding) == (model.ends, model.padding)


def sentence_model(**arguments: Any) -> Any:
    """A BERT whose vectors are pooled states, as a model of sentences."""
    sizes = {"width": 22, "heads": 2, "depth": 2, "norm": "post", "segments": 2, "length": 19, "pool": "mean"}
    model = text_tower(0, 40, **(sizes | arguments)).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


SENTENCES: dict[str, dict[str, Any]] = {
    "mean": {"unit": True},
    "class token and mean, two layers": {
        "pool": "cls_mean", "projections": [(9, "tanh", True), (7, "identity", False)],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SENTENCES)
def test_sentence_transformers_gives_the_same_vectors(kind: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    model = sentence_model(**SENTENCES[kind])
    source = text_folders.bert(tmp_path / "source")
    definition = (source / "tokenizer.json").read_text()
    model.use_tokenizer(Tokenizer(definition, 17, prompt="query : " if kind == "mean" else ""))
    export_safetensors(model, tmp_path / "out", library="transformers")
    texts = ["the cat sat on the mat .", "a dog"]
    found = torch.tensor(library.SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts))
    with torch.no_grad():
        torch.testing.assert_close(found, model.features(model.preprocess.batch(texts)), rtol=1e-5, atol=1e-5)
        states = loaded(tmp_path / "out")(model.preprocess.batch(texts[:1])).last_hidden_state
        torch.testing.assert_close(
            states, model.encode(model.preprocess.batch(texts[:1])), rtol=1e-5, atol=1e-5
        )
    again = vit.load_model(f"hf:{tmp_path / 'out'}")
    assert same_tensors(model, again) == []
    assert again.preprocess.to_dict() == model.preprocess.to_dict()


def prompted() -> Any:
    model = sentence_model(pool="cls")
    tokenizer = transformers.BertTokenizer(vocab=text_folders.BERT_VOCABULARY)
    model.use_tokenizer(Tokenizer(tokenizer.backend_tokenizer.to_str(), 17, prompt="query : "))
    return model


def with_bias() -> Any:
    model = vit.from_huggingface(
        made("GPT2ForSequenceClassification", transformers.GPT2Config(**GPT2, pad_token_id=3)),
        processor=False,
    )
    with torch.no_grad():
        model.head.bias.add_(1.0)
    return model


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "XLNet": (
        lambda: vit.from_huggingface(theirs_of("xlnet"), processor=False),
        r"has no counterpart of this",
    ),
    "pre-norm": (lambda: sentence_model(norm="pre"), r"norm is 'pre', and there it is 'post'"),
    "pool": (lambda: sentence_model(pool="last"), r"pool is 'last', and sentence-transformers has one of"),
    "no pooler": (
        lambda: text_tower(3, 40, width=22, heads=2, depth=2, norm="post", segments=2),
        r"pooler is None, and there it is 'tanh'",
    ),
    "prompt": (prompted, r"has no counterpart of the tokenizer's prompt 'query : '"),
    "bias of a head": (with_bias, r"head\.bias"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_counterpart_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(VitError, match=message) as caught:
        export_safetensors(make().eval(), tmp_path / "out", library="transformers")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
