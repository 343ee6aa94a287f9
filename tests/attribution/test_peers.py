"""The tape of imported models against the attention that transformers returns for the same weights."""

from typing import Any

import pytest
import torch
from torch import Tensor

import vit

transformers = pytest.importorskip("transformers")

B, M, N, VOCABULARY = 2, 13, 5, 37
SOURCE = torch.randint(1, VOCABULARY, (B, M), generator=torch.Generator().manual_seed(1))
TARGET = torch.randint(1, VOCABULARY, (B, N), generator=torch.Generator().manual_seed(2))
IMAGES = torch.randn(B, 3, 20, 20, generator=torch.Generator().manual_seed(3))
TOKENS = {"bos_token_id": None, "eos_token_id": None}
EAGER = {"attn_implementation": "eager"}  # other kernels return no attention


def moved(model: Any) -> Any:
    """The model in eval mode with every parameter moved."""
    model = model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def equal(ours: list[Tensor], theirs: tuple[Tensor, ...]) -> None:
    assert len(ours) == len(theirs) > 1
    for one, two in zip(ours, theirs, strict=True):
        assert (one - two).abs().max() <= 1e-5
        torch.testing.assert_close(one.sum(-1), torch.ones(one.shape[:-1]))


@torch.no_grad()
def test_gpt2() -> None:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=24, n_layer=3, n_head=2, n_positions=40, **TOKENS, **EAGER
    )
    theirs = moved(transformers.GPT2LMHeadModel(config))
    ours = vit.from_huggingface(theirs)
    with vit.record_attention(ours) as tape:
        ours(SOURCE, torch.ones_like(SOURCE, dtype=torch.bool))
    equal(tape.weights(), theirs(input_ids=SOURCE, output_attentions=True).attentions)


@torch.no_grad()
def test_t5() -> None:
    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=20, d_kv=6, d_ff=28, num_layers=2, num_decoder_layers=3, num_heads=3,
        decoder_start_token_id=0, **EAGER,
    )  # fmt: skip
    theirs = moved(transformers.T5ForConditionalGeneration(config))
    ours = vit.from_huggingface(theirs)
    with vit.record_attention(ours) as tape:
        ours(SOURCE, None, TARGET)
    found = theirs(input_ids=SOURCE, decoder_input_ids=TARGET, output_attentions=True)
    equal(tape.weights(), found.encoder_attentions)
    equal(tape.weights("decoder"), found.decoder_attentions)
    equal(tape.weights("decoder.cross"), found.cross_attentions)


@torch.no_grad()
def test_modernbert() -> None:
    """Rotary positions with two temperatures, and windows in two of three layers."""
    config = transformers.ModernBertConfig(
        vocab_size=VOCABULARY, hidden_size=24, intermediate_size=36, num_hidden_layers=4,
        num_attention_heads=2, local_attention=6, max_position_embeddings=40, pad_token_id=0,
        cls_token_id=1, sep_token_id=2, **TOKENS, **EAGER,
    )  # fmt: skip
    theirs = moved(transformers.ModernBertModel(config))
    ours = vit.from_huggingface(theirs)
    with vit.record_attention(ours) as tape:
        ours.encode(SOURCE)
    equal(tape.weights(), theirs(input_ids=SOURCE, output_attentions=True).attentions)
    windowed = (tape.weights()[1] == 0).double().mean()
    assert windowed > 0.3
    assert (tape.weights()[0] > 0).all()


@torch.no_grad()
def test_beit() -> None:
    """A table of biases by offset, with entries for the class token."""
    config = transformers.BeitConfig(
        image_size=20, patch_size=4, hidden_size=24, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=36, use_relative_position_bias=True, use_mask_token=False, **EAGER,
    )  # fmt: skip
    theirs = moved(transformers.BeitModel(config))
    ours = vit.from_huggingface(theirs)
    with vit.record_attention(ours) as tape:
        ours.encode(IMAGES)
    equal(tape.weights(), theirs(IMAGES, output_attentions=True).attentions)
