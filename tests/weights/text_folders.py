"""Folders of small text models with random weights, as transformers writes them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "query", ":", ".", ",", "a", "b", "c", "The", "Cat", "un"]
WORDS += ["##believ", "##able", "猫", "é"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BERT_VOCABULARY = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SIZES = {"hidden_size": 22, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 29}

TEXTS = [
    "the cat sat on the mat .",
    "The Cat, unbelievable",
    "",
    "a",
    "the [PAD] cat",
    "[PAD]",
    "[PAD] [PAD] the dog [PAD]",
    "the [SEP] cat [MASK] sat [CLS] [UNK]",
    "<pad> the <pad> cat <pad>",
    "the </s> cat <mask> sat <s>",
    "é e\u0301 猫 😀 שלום \u200b",
    " the  dog\t",
    "the cat sat on the mat and " * 40,
]


def bert(folder: Path, head: str = "Model", *, cased: bool = False, **options: Any) -> Path:
    config = {"vocab_size": len(BERT_VOCABULARY), "max_position_embeddings": 19, "layer_norm_eps": 1e-6}
    tokenizer = transformers.BertTokenizer(
        vocab=BERT_VOCABULARY, do_lower_case=not cased, model_max_length=17
    )
    return saved(folder, f"Bert{head}", transformers.BertConfig(**config, **SIZES, **options), tokenizer)


def distilbert(folder: Path, head: str = "Model", **options: Any) -> Path:
    sizes = {"dim": 22, "n_layers": 3, "n_heads": 2, "hidden_dim": 29, "max_position_embeddings": 19}
    config = transformers.DistilBertConfig(vocab_size=len(BERT_VOCABULARY), **sizes, **options)
    tokenizer = transformers.DistilBertTokenizer(vocab=BERT_VOCABULARY)
    return saved(folder, f"DistilBert{head}", config, tokenizer)


def roberta(folder: Path, head: str = "Model", **options: Any) -> Path:
    pieces = [*sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), "th", "Ġth", "the", "Ġthe"]
    vocabulary = {name: index for index, name in enumerate([*ROBERTA_SPECIAL, *pieces])}
    merges = [("t", "h"), ("Ġ", "th"), ("th", "e"), ("Ġth", "e")]
    tokenizer = transformers.RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=31)
    config = {"vocab_size": len(vocabulary), "max_position_embeddings": 33, "pad_token_id": 1}
    return saved(
        folder, f"Roberta{head}", transformers.RobertaConfig(**config, **SIZES, **options), tokenizer
    )


FAMILIES = {"BERT": bert, "DistilBERT": distilbert, "RoBERTa": roberta}


def saved(folder: Path, kind: str, config: Any, tokenizer: Any) -> Path:
    torch.manual_seed(3)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() or "bias" in name:  # else all ones and zeros, which any order fits
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def change(file: Path, **entries: Any) -> None:
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content | entries))
