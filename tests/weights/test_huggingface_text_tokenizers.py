"""From texts, and pairs of texts, to the logits of transformers with its tokenizers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

import vit
from vit.errors import VitError
from vit.text import Tokenizer, train_tokenizer

from .text_families import FAMILIES, theirs_of
from .text_folders import BERT_VOCABULARY, TEXTS, change, transformers

WORDS = [word for word in BERT_VOCABULARY if not word.startswith(("[", "##"))]
PIECES = [(f"▁{word}", -3.0) for word in WORDS] + [(letter, -9.0) for letter in "▁abcdehostu"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def unigram(kind: str, special: list[str], **options: Any) -> Any:
    vocabulary = [(name, 0.0) for name in special] + PIECES
    return getattr(transformers, kind)(vocab=vocabulary, model_max_length=17, **options)


def byte_pairs() -> Any:
    """CLIP's, whose ids of special tokens are the last."""
    alphabet = [*"abcdehostunmq.,:", *(f"{letter}</w>" for letter in "abcdehostunmq.,:"), "th", "the</w>"]
    vocabulary = {name: index for index, name in enumerate([*alphabet, "<|startoftext|>", "<|endoftext|>"])}
    return transformers.CLIPTokenizer(
        vocab=vocabulary, merges=[("t", "h"), ("th", "e</w>")], model_max_length=17
    )


def word_pieces(kind: str, special: list[str]) -> Any:
    rest = [word for word in BERT_VOCABULARY if not word.startswith("[")]
    vocabulary = {name: index for index, name in enumerate([*special, *rest])}
    return getattr(transformers, kind)(vocab=vocabulary, model_max_length=17)


BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
XLNET_SPECIAL = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]
TOKENIZERS = {
    "electra": lambda: word_pieces("ElectraTokenizer", BERT_SPECIAL),
    "mpnet": lambda: word_pieces("MPNetTokenizer", ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]),
    "xlm-roberta": lambda: unigram("XLMRobertaTokenizer", ROBERTA_SPECIAL),
    "camembert": lambda: unigram("CamembertTokenizer", ROBERTA_SPECIAL),
    "xlnet": lambda: unigram("XLNetTokenizer", XLNET_SPECIAL),
    "modernbert": lambda: word_pieces("BertTokenizer", BERT_SPECIAL),
    "clip": byte_pairs,
    "bert": lambda: word_pieces("BertTokenizer", BERT_SPECIAL),
}


def saved(family: str, folder: Path) -> tuple[Any, Any]:
    """Their model with a head and their tokenizer, both in a folder."""
    tokenizer = TOKENIZERS[family]()
    changes = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 23,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if family == "xlnet":
        del changes["max_position_embeddings"]
    if family == "clip":
        changes |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if family == "modernbert":
        changes |= dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 2)
    theirs = theirs_of(family, head=True, **changes)
    theirs.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return theirs, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("family", TOKENIZERS)
def test_texts_of_a_folder_give_their_logits(family: str, tmp_path: Path) -> None:
    theirs, tokenizer = saved(family, tmp_path)
    ours = vit.load_model(f"hf:{tmp_path}")
    rows = []
    for text in TEXTS:
        given = tokenizer(text, truncation=True, return_tensors="pt")
        ids = ours.preprocess(text)
        assert ids.tolist() == given["input_ids"][0].tolist(), text
        if (ids[0] != ours.padding) and (ids[-1] != ours.padding or ours.end is not None):
            with torch.no_grad():
                rows.append((ids, theirs(**given)[0]))
    assert len(rows) > 10, "all but those that spell padding out at an end"
    ids = pad_sequence([ids for ids, _ in rows], batch_first=True, padding_value=ours.padding)
    with torch.no_grad():
        assert (ours(ids) - torch.cat([logits for _, logits in rows])).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["bert", "electra", "mpnet", "xlm-roberta", "xlnet"])
def test_pairs_of_texts_give_their_logits(family: str, tmp_path: Path) -> None:
    theirs, tokenizer = saved(family, tmp_path)
    ours = vit.load_model(f"hf:{tmp_path}")
    for first, second in (("the cat sat", "on the mat"), ("a", "b c"), ("the cat " * 9, "the dog " * 9)):
        given = tokenizer(first, second, truncation=True, return_tensors="pt", return_token_type_ids=True)
        pair = ours.preprocess.pair(first, second)
        assert pair.ids.tolist() == given["input_ids"][0].tolist()
        assert pair.segments.tolist() == given["token_type_ids"][0].tolist()
        if family == "mpnet":  # it has no segments
            del given["token_type_ids"]
        segments = None if family == "mpnet" else pair.segments[None]
        with torch.no_grad():
            logits = theirs(**given).logits
            assert (ours(pair.ids[None], segments=segments) - logits).abs().max() < 1e-5
    if family in ("bert", "electra", "xlnet"):
        assert pair.segments.unique().tolist() == ([0, 1, 2] if family == "xlnet" else [0, 1])


def test_a_pair_needs_room() -> None:
    tokenizer = train_tokenizer(["the cat sat"] * 3, vocabulary=37, length=3)
    with pytest.raises(VitError, match="length is 3 tokens, expected more than the 3 special ones of a pair"):
        tokenizer.pair("the cat", "sat")
    with pytest.raises(VitError, match=r"U\+D83D"):
        tokenizer.cut(9).pair("the cat", "\ud83d")


def test_a_prompt_stands_before_the_first() -> None:
    tokenizer = train_tokenizer(["the cat sat"] * 3, vocabulary=37, length=19)
    asked = Tokenizer(tokenizer.definition, 19, prompt="the ")
    assert torch.equal(asked.pair("cat", "sat").ids, tokenizer.pair("the cat", "sat").ids)


def test_an_xlnet_that_is_given_segments_is_refused(tmp_path: Path) -> None:
    """Their tokenizer gives none, unless its config asks for them."""
    saved("xlnet", tmp_path)
    change(tmp_path / "tokenizer_config.json", model_input_names=["input_ids", "token_type_ids"])
    with pytest.raises(VitError, match=r"into the segments \[0, 2\], and vit reads 0 alone"):
        vit.load_model(f"hf:{tmp_path}")


def test_every_family_is_here() -> None:
    assert FAMILIES.keys() - TOKENIZERS.keys() == {"roberta", "distilbert"}  # those of `text_folders`
