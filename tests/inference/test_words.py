"""Language models explained word by word: what they read, and what they wrote."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import vit
from vit.cli import main
from vit.errors import UsageError, VitError
from vit.inference.drawing.draw import Request
from vit.inference.drawing.texts import TextDrawer, explain_text
from vit.inference.words.reading import NoRoom, read_text
from vit.inference.words.vocabulary import class_names, token_index
from vit.inference.words.words import text_words, written_words

from .language_models import LENGTH, TEXT, causal_model, encoder_decoder, tokenizer

WORDS = re.findall(r"\w+|,", TEXT)


def facts(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


def row_of(folder: Path) -> dict[str, str]:
    with (folder / "attend.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    return row


# ---- words ----


def test_words_of_written_ids_are_those_of_the_text() -> None:
    """Byte pairs of a text, as if a model had written them: the same words, the same pieces in each."""
    words = tokenizer(marks=False)
    known = text_words(words, TEXT)
    written = written_words(words, known.ids)
    assert [name.lower() for name in known.names] == written.names
    assert torch.equal(known.word_ids, written.word_ids)
    assert not any(written.special)
    pieces = written_words(words, known.ids, merge=False)
    assert len(pieces.names) == len(known.ids)


def test_words_of_bytes() -> None:
    """Characters of several tokens stay whole, white space belongs to the word after it, marks are apart."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({byte: index for index, byte in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    words = vit.text.Tokenizer(inner.to_str(), 99)
    end = words.id_of("<|endoftext|>")
    assert end is not None
    text = "né 😀 isn't\n12"
    found = written_words(words, [*words(text).tolist(), end])
    assert found.names == ["né", "😀", "isn", "'", "t", "12", "<|endoftext|>"]
    assert found.special == [False] * 6 + [True]
    after = written_words(words, words(" té").tolist(), before=words("a").tolist())
    assert after.names == ["té"]
    assert written_words(words, []).names == []


# ---- causal models ----


@pytest.mark.parametrize("marks", [False, True])
def test_what_is_read_is_what_the_model_says(marks: bool) -> None:
    """The written words are `generate`'s, and each is what the model says next after the word before it."""
    model = causal_model(marks=marks)
    reading = read_text(model, TEXT, max_tokens=7, merge=False)
    assert reading.written == model.generate(TEXT, max_tokens=7).strip()
    ids, best = reading.inputs[0], reading.lens().argmax(-1)
    written = reading.shown["written"]
    assert written == [False] * (len(ids) - 7) + [True] * 7
    assert torch.equal(best[-8:-1], ids[-7:])
    assert int(reading.logits.argmax()) == int(best[-1])
    with torch.no_grad():
        whole = torch.ones_like(reading.inputs, dtype=torch.bool)
        torch.testing.assert_close(reading.logits, model(reading.inputs, whole)[0], atol=1e-5, rtol=0)


def test_a_word_sees_itself_and_those_before_it() -> None:
    reading = read_text(causal_model(), TEXT, max_tokens=6)
    names = reading.shown["tokens"]
    assert names[: len(WORDS)] == WORDS
    later = torch.ones(len(names), len(names), dtype=torch.bool).triu(1)
    for weights in reading.weights:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert (weights[:, later] == 0).all()
    assert "to itself and to those before it alone" in reading.shown["note"]


def test_without_max_tokens_the_text_is_shown_as_it_is() -> None:
    reading = read_text(causal_model(), TEXT)
    assert reading.shown["tokens"] == WORDS
    assert "written" not in reading.shown
    assert reading.written == ""


def test_a_token_of_the_vocabulary_is_a_target() -> None:
    model = causal_model()
    assert class_names(model)[token_index(model, "cat")] == "cat"
    by_word = vit.attend(model, [TEXT], "relevance", target="cat")
    by_index = vit.attend(model, [TEXT], "relevance", target=token_index(model, "cat"))
    torch.testing.assert_close(by_word, by_index, atol=0, rtol=0)
    assert (by_word - vit.attend(model, [TEXT], "relevance", target="mat")).abs().max() > 1e-3


def test_by_default_the_token_that_comes_next_is_explained() -> None:
    model = causal_model()
    found = explain_text(model, TEXT, Request("relevance"))
    assert found.targets is not None
    assert int(found.targets) == int(found.reading.logits.argmax())
    word = explain_text(model, TEXT, Request("relevance", query=(0, 3)))
    assert word.targets is not None
    assert int(word.targets) == int(word.reading.lens()[3].argmax())
    assert (word.heat[4:] == 0).all()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("catsat", "is 2 tokens of this model: give one of cat, sat"),
        ("Ω", "which the model's vocabulary lacks"),
    ],
)
def test_a_target_that_is_no_token(target: str, said: str) -> None:
    model = causal_model()
    for explained in (vit.attend, lambda *arguments: explain_text(model, TEXT, Request("legrad", target))):
        with pytest.raises(UsageError, match=said):
            explained(model, [TEXT], "legrad", target)


def test_the_page_and_the_overlay_of_what_was_written(tmp_path: Path) -> None:
    model = causal_model()
    model.save(tmp_path / "lm")
    words = ["attend", str(tmp_path / "lm"), "--text", TEXT, "--output", str(tmp_path / "out")]
    assert main([*words, "--max-tokens", "6", "--method", "legrad", "--target", "cat"]) == 0
    row = row_of(tmp_path / "out")
    assert row["written"] == model.generate(TEXT, max_tokens=6).strip()
    assert row["explained"] == "cat"
    assert row["label"]
    with Image.open(tmp_path / "out" / row["overlay"]) as picture:
        assert picture.width == 768
    shown = facts((tmp_path / "out" / row["page"]).read_text(encoding="utf-8"))
    count = sum(shown["written"])
    assert 0 < count <= 6
    assert shown["words"][: len(WORDS)] == WORDS
    assert shown["written"] == [False] * len(WORDS) + [True] * count
    assert shown["nextWord"] is True
    assert shown["target"] is None
    assert "Underlined words are the model's own" in shown["note"]
    assert row["label"] in [name for name, _ in shown["classes"]]
    assert shown["read"][-1] == 1


def test_texts_of_a_file_go_on_each(tmp_path: Path) -> None:
    """One that leaves no room has its row, and the others theirs."""
    (tmp_path / "t.txt").write_text(f"The cat\n{'cat ' * (LENGTH - 3)}\nIt was tired\n")
    causal_model().save(tmp_path / "lm")
    words = ["attend", str(tmp_path / "lm"), str(tmp_path / "t.txt"), "--output", str(tmp_path / "out")]
    assert main([*words, "--max-tokens", "5", "--method", "raw"]) == 3
    with (tmp_path / "out" / "attend.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == ["ok", "long", "ok"]
    assert "has room for 3 after 57: give at most 3" in rows[1]["error"]
    assert rows[0]["written"]


@pytest.mark.parametrize("more", [0, 9])
def test_a_text_that_fills_the_model(more: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No number of tokens would help, so none is proposed."""
    model = causal_model(marks=False)
    text = " ".join(["cat"] * (LENGTH + more))
    said = f"the text fills the {LENGTH} tokens that the model reads, so it cannot go on with it"
    with pytest.raises(NoRoom, match=said):
        read_text(model, text, max_tokens=1)
    model.save(tmp_path / "lm")
    (tmp_path / "t.txt").write_text(f"The cat\n{text}\n")
    words = ["--max-tokens", "1", "--method", "raw", "--output"]
    command = ["attend", str(tmp_path / "lm")]
    assert main([*command, str(tmp_path / "t.txt"), *words, str(tmp_path / "a")]) == 3
    with (tmp_path / "a" / "attend.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == ["ok", "long"]
    assert rows[1]["error"].startswith(said)
    assert main([*command, "--text", text, *words, str(tmp_path / "b")]) == 1
    assert said in capsys.readouterr().err


def test_a_text_without_a_token(tmp_path: Path) -> None:
    model = causal_model(marks=False)
    for texts in ([""], ["a", ""]):
        with pytest.raises(VitError, match="the text is empty: it has no token"):
            vit.attend(model, texts)
    with pytest.raises(VitError, match="the text is empty"):
        read_text(model, "")
    assert vit.attend(causal_model(marks=True), [""]).shape[0] == 1  # it has marks, which are tokens


def test_what_cannot_go_on_is_refused(texts_run: Path, tmp_path: Path) -> None:
    model = causal_model()
    with pytest.raises(NoRoom, match=f"reads {LENGTH} tokens, has room for"):
        read_text(model, TEXT, max_tokens=LENGTH)
    with pytest.raises(VitError, match="does not generate texts"):
        read_text(vit.load_model(texts_run), TEXT, max_tokens=3)
    model.preprocess = None
    with pytest.raises(VitError, match="needs its tokenizer"):
        TextDrawer(model, Request(), text=TEXT).check()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--max-tokens", "0"], 2, "--max-tokens is 0, expected at least 1"),
        (["--max-tokens", "3"], 1, "does not generate texts"),
    ],
)
def test_bad_words_of_attend(
    texts_run: Path, tmp_path: Path, words: list[str], code: int, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = ["attend", str(texts_run), "--text", "a film", "--output", str(tmp_path / "d")]
    assert main([*command, *words]) == code
    assert said in capsys.readouterr().err


def test_max_tokens_of_a_picture_model(
    digits_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["attend", str(digits_run), str(pictures), "--output", str(tmp_path / "d"), "--max-tokens", "3"]
    assert main(command) == 2
    assert "--max-tokens needs a language model" in capsys.readouterr().err


# ---- encoder-decoders ----


@pytest.mark.parametrize("depths", [(2, 3), (3, 1)])
def test_source_and_target_are_one_text(depths: tuple[int, int]) -> None:
    model = encoder_decoder(*depths)
    reading = read_text(model, TEXT, max_tokens=8)
    assert reading.written == model.generate(TEXT, max_tokens=8).strip()
    first = len(WORDS) + 2
    assert reading.shown["tokens"][: first + 1] == ["[CLS]", *WORDS, "[SEP]", "[PAD]"]
    assert reading.shown["target"] == first
    assert reading.shown["written"].index(True) == first + 1
    assert len(reading.weights) == sum(depths)
    for weights in reading.weights:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        assert (weights[:, :first, first:] == 0).all()
    seeds = [reading.seed(query) for query in ("cls", "mean", (0, 2))]
    assert all(float(seed.sum()) == pytest.approx(1) for seed in seeds)
    assert float(seeds[0][-1]) == 1
    assert (seeds[1][:first] == 0).all()


def test_maps_of_tokens_of_an_encoder_decoder() -> None:
    """In Python: shares of source and target that sum to 1, half of the last layer's row on the source."""
    model = encoder_decoder()
    texts = [TEXT, "The cat"]
    maps = vit.attend(model, texts, "raw", max_tokens=5)
    counts = [len(model.preprocess(text)) for text in texts]
    assert maps.shape[0] == 2
    torch.testing.assert_close(maps.sum(1), torch.ones(2))
    for row, count in zip(maps, counts, strict=True):
        assert float(row[:count].sum()) == pytest.approx(0.5, abs=1e-5)
    rolled = vit.attend(model, texts[:1], query=3)
    assert float(rolled[0, : counts[0]].sum()) == pytest.approx(1, abs=1e-5)
    assert (rolled[0, counts[0] :] == 0).all()


@pytest.mark.parametrize("method", ["relevance", "legrad", "grad_rollout", "occlusion"])
def test_methods_that_explain_a_class_are_refused(method: str) -> None:
    with pytest.raises(VitError, match=f"{method} explains a class by one stack.*raw and rollout"):
        vit.attend(encoder_decoder(), [TEXT], method)


def test_other_words_for_an_encoder_decoder() -> None:
    model = encoder_decoder()
    with pytest.raises(VitError, match="query is word 99, expected 0 to"):
        vit.attend(model, [TEXT], query=99)
    with pytest.raises(UsageError, match="rollout has no option layer"):
        vit.attend(model, [TEXT], layer=1)
    with pytest.raises(VitError, match="explains no class: leave the target out"):
        vit.attend(model, [TEXT], target="cat")
    with pytest.raises(NoRoom, match="give at most 59"):
        vit.attend(model, [TEXT], max_tokens=60)


def test_the_page_of_an_encoder_decoder(tmp_path: Path) -> None:
    model = encoder_decoder()
    model.save(tmp_path / "pair")
    words = ["attend", str(tmp_path / "pair"), "--text", TEXT, "--output", str(tmp_path / "out")]
    assert main([*words, "--max-tokens", "8", "--query", "16", "--method", "raw"]) == 0
    row = row_of(tmp_path / "out")
    assert row["written"] == model.generate(TEXT, max_tokens=8).strip()
    assert row["class_mass"] == ""
    shown = facts((tmp_path / "out" / row["page"]).read_text(encoding="utf-8"))
    assert shown["target"] == len(WORDS) + 2
    assert shown["layers"] == 5
    assert shown["classes"] == []
    assert "Layers 0 to 1 are the encoder's" in shown["note"]
    assert "Layers 2 to 4 are the decoder's" in shown["note"]
    assert main([*words, "--overwrite", "--method", "relevance"]) == 1
