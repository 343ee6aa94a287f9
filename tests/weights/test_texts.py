"""Folders of text models: texts as transformers reads them, tokenizers that fit, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vit
from vit.cli import main
from vit.errors import VitError
from vit.inference.embed import embedder
from vit.text import Tokenizer
from vit.weights.huggingface.folder import huggingface_model
from vit.weights.huggingface.tokens import fast_tokenizer, folder_tokenizer

from .text_folders import BERT_VOCABULARY, FAMILIES, TEXTS, bert, change, distilbert, roberta, saved

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
CLASSIFIER = "ForSequenceClassification"


@torch.no_grad()
def their_logits(folder: Path, texts: list[str]) -> Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    limit = min(tokenizer.model_max_length, huggingface_model(folder).length)
    return torch.cat(
        [
            model(**tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")).logits
            for text in texts
        ]
    )


def closed_by_nothing(folder: Path) -> Path:
    """BERT whose tokenizer adds no special token, so that a text may end with padding's."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(BERT_VOCABULARY, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.add_special_tokens(["[PAD]", "[UNK]", "[MASK]"])
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **names)
    sizes = {"hidden_size": 22, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 29}
    config = transformers.BertConfig(
        vocab_size=len(BERT_VOCABULARY), max_position_embeddings=19, num_labels=3, **sizes
    )
    return saved(folder, f"Bert{CLASSIFIER}", config, tokenizer)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_of_texts_that_spell_out_special_tokens(tmp_path: Path, family: str) -> None:
    folder = FAMILIES[family](tmp_path, CLASSIFIER, num_labels=3)
    model = vit.load_model(f"hf:{folder}")
    expected = their_logits(folder, TEXTS)
    with torch.no_grad():
        alone = torch.cat([model(model.preprocess(text)[None]) for text in TEXTS])
        together = model(model.preprocess.batch(TEXTS))
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", [*FAMILIES, "no closing token"])
def test_rows_of_such_texts_do_not_depend_on_the_batch(tmp_path: Path, family: str) -> None:
    build: Any = FAMILIES.get(family, closed_by_nothing)
    model = vit.load_model(f"hf:{build(tmp_path)}")
    texts = [text for text in TEXTS if text]
    fields = [(f"t:{index}", text, None, "ok", "") for index, text in enumerate(texts)]
    pipeline = embedder(model)
    together = [row["vector"] for rows in pipeline.rows([list(each) for each in fields]) for row in rows]
    with torch.no_grad():
        for text, vector in zip(texts, together, strict=True):
            ids = model.preprocess(text)[None]
            alone = model.features(ids, torch.ones_like(ids, dtype=torch.bool))[0]
            torch.testing.assert_close(torch.tensor(vector), alone, atol=1e-5, rtol=0)


def test_a_text_that_ends_with_padding_and_nothing_after_it(tmp_path: Path) -> None:
    folder = closed_by_nothing(tmp_path)
    model = vit.load_model(f"hf:{folder}")
    texts = ["the cat [PAD]", "[PAD]", "[PAD] the [PAD] [PAD]", "the cat sat on mat"]
    with torch.no_grad():
        for text, logits in zip(texts, their_logits(folder, texts), strict=True):
            ids = model.preprocess(text)[None]
            found = model(ids, torch.ones_like(ids, dtype=torch.bool))[0]
            torch.testing.assert_close(found, logits, atol=1e-5, rtol=0)
    for method in ("raw", "rollout", "relevance", "occlusion"):
        maps = vit.attend(model, texts, method)
        assert maps.shape == (4, 5)
        assert maps.isfinite().all()
    covered = vit.attend(model, ["the cat [PAD]"], "occlusion", 1)[0]
    ids = model.preprocess("the cat [PAD]")
    with torch.no_grad():
        whole = torch.ones(1, 3, dtype=torch.bool)
        without = ids.clone()
        without[2] = model.preprocess.blank
        fall = model(ids[None], whole)[0, 1] - model(without[None], whole)[0, 1]
    torch.testing.assert_close(covered[2], fall, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_of_such_texts(tmp_path: Path, family: str) -> None:
    folder = FAMILIES[family](tmp_path / "model", CLASSIFIER, num_labels=3)
    lines = [text for text in TEXTS if text.strip() and "\n" not in text]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    words = [f"hf:{folder}", str(tmp_path / "texts.txt"), "--output", str(out), "--method", "relevance"]
    assert main(["attend", *words]) == 0
    assert len(list(out.rglob("texts.txt,*.png"))) == len(lines)
    assert len(list(out.rglob("texts.txt,*.html"))) == len(lines)
    assert main(["attend", f"hf:{folder}", "--text", "the [PAD] cat", "--output", str(tmp_path / "one")]) == 0


def test_a_map_of_such_a_text_has_a_word_for_each_special_token(tmp_path: Path) -> None:
    from vit.inference.words.reading import read_text

    model = vit.load_model(f"hf:{bert(tmp_path)}")
    shown = read_text(model, "the [PAD] cat[SEP] unbelievable").shown
    assert shown["tokens"] == ["[CLS]", "the", "[PAD]", "cat", "[SEP]", "unbelievable", "[SEP]"]
    assert shown["special"] == [True, False, False, False, False, False, True]


def test_words_of_a_prompt_are_words(tmp_path: Path) -> None:
    from vit.inference.words.reading import read_text

    model = vit.load_model(f"hf:{bert(tmp_path)}")
    before = model.preprocess
    model.preprocess = Tokenizer(before.definition, before.length, prompt="query: ")
    reading = read_text(model, "the cat")
    assert reading.shown["tokens"] == ["[CLS]", "query", ":", "the", "cat", "[SEP]"]
    assert torch.equal(reading.inputs[0], before("query: the cat"))


@pytest.mark.parametrize(
    ("entries", "length"),
    [({}, 17), ({"model_max_length": 6}, 6), ({"model_max_length": 10**30}, 19), ({"max_len": 5}, 17)],
)
def test_the_longest_text_of_a_folder(tmp_path: Path, entries: dict[str, int], length: int) -> None:
    change(bert(tmp_path) / "tokenizer_config.json", **entries)
    assert vit.load_model(f"hf:{tmp_path}").preprocess.length == length


def test_a_folder_without_a_tokenizer_config_is_read_as_theirs(tmp_path: Path) -> None:
    folder = bert(tmp_path, CLASSIFIER, cased=True, num_labels=3)
    (folder / "tokenizer_config.json").unlink()
    model = vit.load_model(f"hf:{folder}")
    assert model.preprocess.length == 19
    with torch.no_grad():
        found = torch.cat([model(model.preprocess(text)[None]) for text in TEXTS])
    torch.testing.assert_close(found, their_logits(folder, TEXTS), atol=1e-5, rtol=0)


def test_a_tokenizer_larger_than_the_model(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["vast", "huge"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(VitError, match="ids up to 26, and the model's embeddings end at 24"):
        vit.load_model(f"hf:{folder}")


def test_a_tokenizer_with_another_padding_than_positions_are_counted_by(tmp_path: Path) -> None:
    folder = roberta(tmp_path)
    change(folder / "config.json", pad_token_id=2)
    with pytest.raises(VitError, match="pads with id 1, and the model counts positions by id 2"):
        vit.load_model(f"hf:{folder}")


def test_a_folder_without_a_fast_tokenizer(tmp_path: Path) -> None:
    folder = distilbert(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(BERT_VOCABULARY))
    with pytest.raises(VitError, match=r"has no tokenizer\.json, only vocab\.txt: AutoTokenizer.*writes it"):
        vit.load_model(f"hf:{folder}")


def test_files_that_are_broken(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    for content, said in (("{", "cannot be read"), ("[]", "no JSON object"), ("{}", "cannot be read")):
        (folder / "tokenizer.json").write_text(content)
        with pytest.raises(VitError, match=said):
            vit.load_model(f"hf:{folder}")


def test_segments_other_than_the_first(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text())
    for part in content["post_processor"]["single"]:
        next(iter(part.values()))["type_id"] = 1
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(VitError, match=r"into the segments \[1\], and vit reads 0 alone"):
        vit.load_model(f"hf:{folder}")


def test_a_fast_tokenizer_in_memory(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = fast_tokenizer(theirs, 512)
    assert ours.length == 17
    assert fast_tokenizer(theirs, 9).length == 9
    assert fast_tokenizer(theirs.backend_tokenizer, 512).length == 512
    for text in TEXTS:
        assert ours(text).tolist() == theirs(text, truncation=True)["input_ids"]
        assert torch.equal(ours(text), folder_tokenizer(folder, 19)(text))
    theirs.truncation_side = "left"
    assert fast_tokenizer(theirs, 7)(TEXTS[0]).tolist() == theirs(
        TEXTS[0], truncation=True, max_length=7
    )["input_ids"]  # fmt: skip
    theirs.backend_tokenizer.encode_special_tokens = True
    with pytest.raises(VitError, match="split_special_tokens"):
        fast_tokenizer(theirs, 9)
    with pytest.raises(VitError, match="a str is no fast tokenizer"):
        fast_tokenizer("bert", 9)


def test_a_model_without_a_tokenizer_says_the_way_out() -> None:
    sizes = {"hidden_size": 22, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 29}
    model = vit.from_huggingface(transformers.BertModel(transformers.BertConfig(vocab_size=31, **sizes)))
    assert model.preprocess is None
    said = r"model\.preprocess is None, and a text model needs its tokenizer: .*hf:FOLDER"
    with pytest.raises(VitError, match=said):
        vit.attend(model, ["hello"])
    with pytest.raises(VitError, match=said):
        embedder(model)
