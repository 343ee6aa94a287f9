"""GPT-2 against transformers: states, logits, classifiers, every field of its config, files and bundles."""

from pathlib import Path
from typing import Any

import pytest
import torch

import vit
from vit.bundle import read_bundle
from vit.errors import VitError
from vit.weights.huggingface.importer import from_tensors

from .language_models import batch, byte_tokenizer, counted, made, saved, transformers

SIZES = {"vocab_size": 41, "n_positions": 23, "n_embd": 15, "n_layer": 4, "n_head": 3, "n_inner": 17}
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 7}
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-10}


def peer(kind: str = "GPT2LMHeadModel", *, dtype: torch.dtype = torch.float32, **fields: Any) -> Any:
    return made(kind, transformers.GPT2Config(**{**SIZES, **IDS, **fields}), dtype=dtype)


def inputs(left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    return batch((11, 7, 1), 41, left=left, padding=7)


def expected(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> Any:
    with torch.no_grad():
        return model(ids, attention_mask=mask.long(), position_ids=counted(mask))


def same_logits(ours: Any, theirs: Any, left: bool = False) -> None:
    ids, mask = inputs(left)
    with torch.no_grad():
        found = ours.read_token(ours.encode(ids, mask))[mask]
    wanted = expected(theirs, ids, mask).logits[mask]
    torch.testing.assert_close(found, wanted, atol=CLOSE[found.dtype], rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_logits_of_every_position(tied: bool, left: bool, dtype: torch.dtype) -> None:
    theirs = peer(dtype=dtype, tie_word_embeddings=tied)
    ours = vit.from_huggingface(theirs)
    same_logits(ours, theirs, left)
    assert (ours.head.weight is ours.token_embedding.weight) == tied
    ids, mask = inputs(left)
    last = mask.shape[1] - 1 - mask.int().flip(1).argmax(1)
    wanted = expected(theirs, ids, mask).logits[torch.arange(3), last]
    torch.testing.assert_close(ours(ids, mask), wanted, atol=CLOSE[dtype], rtol=0)
    torch.testing.assert_close(ours(ids), wanted, atol=CLOSE[dtype], rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("left", [False, True])
def test_states(left: bool, dtype: torch.dtype) -> None:
    theirs = peer("GPT2Model", dtype=dtype)
    ours = vit.from_huggingface(theirs)
    ids, mask = inputs(left)
    wanted = expected(theirs, ids, mask).last_hidden_state[mask]
    torch.testing.assert_close(ours.encode(ids, mask)[mask], wanted, atol=CLOSE[dtype], rtol=0)
    with pytest.raises(VitError, match="does not generate texts"):
        ours.generate("the")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("left", [False, True])
def test_classifiers(left: bool, dtype: torch.dtype) -> None:
    theirs = peer("GPT2ForSequenceClassification", dtype=dtype, num_labels=3)
    ours = vit.from_huggingface(theirs)
    ids, mask = inputs(left)
    wanted = expected(theirs, ids, mask).logits
    torch.testing.assert_close(ours(ids, mask), wanted, atol=CLOSE[dtype], rtol=0)
    assert ours.labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    with pytest.raises(VitError, match="its head gives 3 classes, and its vocabulary has 41 ids"):
        ours.generate("the")


FIELDS: dict[str, Any] = {
    "vocab_size": 43,
    "n_positions": 29,
    "n_embd": 21,
    "n_layer": 2,
    "n_head": 5,
    "n_inner": None,
    "activation_function": "relu",
    "layer_norm_epsilon": 0.1,
    "scale_attn_weights": False,
    "scale_attn_by_inverse_layer_idx": True,
    "reorder_and_upcast_attn": True,
    "add_cross_attention": True,
    "tie_word_embeddings": False,
    "pad_token_id": None,
    "eos_token_id": [3, 5],
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_followed_or_refused_by_name(field: str) -> None:
    theirs = peer(**{field: FIELDS[field]}, attn_implementation="eager")
    try:
        ours = vit.from_huggingface(theirs)
    except VitError as error:
        assert field in str(error)  # noqa: PT017
        assert field == "add_cross_attention"
        return
    same_logits(ours, theirs)
    same_logits(ours, theirs, left=True)
    assert ours.ends == ((3, 5) if field == "eos_token_id" else (2,))
    assert ours.padding == (2 if field == "pad_token_id" else 7)


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish"])
def test_activations(name: str) -> None:
    theirs = peer(activation_function=name)
    same_logits(vit.from_huggingface(theirs), theirs)


def test_what_is_refused_is_named() -> None:
    with pytest.raises(VitError, match="activation_function is tanh, expected one of: gelu"):
        vit.from_huggingface(peer(activation_function="tanh"))
    with pytest.raises(VitError, match="cannot import a GPT2DoubleHeadsModel, expected one of: GPT2Model"):
        vit.from_huggingface(peer("GPT2DoubleHeadsModel"))
    config, tensors = peer(tie_word_embeddings=False).config.to_dict(), peer().state_dict()
    del tensors["lm_head.weight"]
    with pytest.raises(VitError, match="language model, and its weights lack the head"):
        from_tensors(config, tensors, architecture="GPT2LMHeadModel")


def test_names_of_early_files() -> None:
    """Without the prefix and the head, and with the causal masks as buffers."""
    theirs = peer()
    tensors = {name.removeprefix("transformer."): value for name, value in theirs.state_dict().items()}
    del tensors["lm_head.weight"]
    tensors |= {f"h.{layer}.attn.bias": torch.ones(1, 1, 23, 23) for layer in range(4)}
    tensors |= {f"h.{layer}.attn.masked_bias": torch.tensor(-1e4) for layer in range(4)}
    same_logits(
        from_tensors(theirs.config.to_dict() | {"architectures": ["GPT2LMHeadModel"]}, tensors), theirs
    )
    same_logits(from_tensors(theirs.config.to_dict(), theirs.state_dict()), theirs)


@pytest.mark.parametrize("tied", [False, True])
def test_folders_and_bundles(tied: bool, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    theirs = peer(vocab_size=len(tokenizer), tie_word_embeddings=tied, eos_token_id=260)
    theirs.generation_config.eos_token_id = [260, 261]
    folder = saved(tmp_path / "theirs", theirs, tokenizer)
    ours = vit.load_model(f"hf:{folder}")
    assert ours.ends == (260, 261)
    for text in ("the cat  sat\n", "Zoë 猫 😀", " the"):
        assert ours.preprocess(text).tolist() == tokenizer(text)["input_ids"]
    ours.save(tmp_path / "ours")
    assert ("head.weight" in read_bundle(tmp_path / "ours").weights) == (not tied)
    again = vit.load_model(tmp_path / "ours")
    assert (again.head.weight is again.token_embedding.weight) == tied
    ids = ours.preprocess("the cat sat")[None]
    assert torch.equal(again(ids), ours(ids))
    assert again.generate("the cat", max_tokens=5) == ours.generate("the cat", max_tokens=5)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits[:, -1], atol=1e-5, rtol=0)
