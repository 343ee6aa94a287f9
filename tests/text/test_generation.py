"""Generation against transformers' own, and what a text may depend on."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import vit
from vit.errors import UsageError, VitError
from vit.text.generation import Sampling, generate_ids, stream

from ..towers import text_tower, vision_tower
from ..weights.language_models import batch, byte_tokenizer, made, transformers, unigram_tokenizer

GPT2 = {"n_positions": 47, "n_embd": 15, "n_layer": 3, "n_head": 3}
T5 = {"d_model": 14, "d_kv": 5, "d_ff": 17, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 3}
T5 |= {"relative_attention_num_buckets": 10, "relative_attention_max_distance": 13}
DRAWN = {"temperature": 1.5, "top_p": 0.9, "seed": 4}


def gpt2(vocabulary: int = 41, *, ends: Any = 2, **fields: Any) -> tuple[Any, Any]:
    """Theirs and ours, of float64: rounding decides no token."""
    ids = {"bos_token_id": 1, "eos_token_id": ends, "pad_token_id": 7}
    fields = {"tie_word_embeddings": False, **fields}  # a tied one repeats its last token
    config = transformers.GPT2Config(vocab_size=vocabulary, **GPT2, **ids, **fields)
    theirs = made("GPT2LMHeadModel", config, dtype=torch.float64)
    return theirs, vit.from_huggingface(theirs)


def t5(vocabulary: int = 41, *, ends: Any = 2, padding: int = 7) -> tuple[Any, Any]:
    ids = {"eos_token_id": ends, "pad_token_id": padding, "decoder_start_token_id": 3}
    config = transformers.T5Config(vocab_size=vocabulary, **T5, **ids)
    theirs = made("T5ForConditionalGeneration", config)
    theirs.lm_head.weight = torch.nn.Parameter(torch.randn(vocabulary, 14))
    theirs = theirs.double()
    return theirs, vit.from_huggingface(theirs)


def language_model(tokenizer: Any = None) -> Any:
    """Of texts."""
    tokenizer = tokenizer or byte_tokenizer()
    theirs, _ = gpt2(len(tokenizer), ends=len(tokenizer) - 1)
    return vit.from_huggingface(theirs, tokenizer)


def theirs_of(model: Any, ids: Tensor, mask: Tensor, **options: Any) -> list[list[int]]:
    """New ids of each row, the end included."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    found = model.generate(ids, attention_mask=mask.long(), do_sample=False, max_new_tokens=17, **options)
    rows = found[:, 1 if model.config.is_encoder_decoder else ids.shape[1] :].tolist()
    stops = [next((at + 1 for at, token in enumerate(row) if token in ends), len(row)) for row in rows]
    return [row[:stop] for row, stop in zip(rows, stops, strict=True)]


def plain(rows: list[Tensor]) -> list[list[int]]:
    return [row.tolist() for row in rows]


@pytest.mark.parametrize("make", [gpt2, t5])
@pytest.mark.parametrize("cached", [True, False])
def test_greedy_is_that_of_transformers(make: Any, cached: bool) -> None:
    ids, mask = batch((11, 7, 1), 41, left=True, padding=7)
    free = theirs_of(make()[0], ids, mask)
    lengths = set()
    # A token that comes in the middle of one text ends it.
    for ends in (40, free[0][4], free[1][9], [free[0][7], free[1][5]]):
        theirs, ours = make(ends=ends)
        wanted = theirs_of(theirs, ids, mask)
        assert plain(generate_ids(ours, ids, mask, max_tokens=17, cached=cached)) == wanted
        lengths |= {len(row) for row in wanted}
    assert len(lengths) > 2
    assert len({token for row in free for token in row}) > 4


@pytest.mark.parametrize("options", [{}, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("make", [gpt2, t5])
def test_a_batch_gives_what_its_rows_give_alone(make: Any, options: dict[str, Any]) -> None:
    _, ours = make(ends=[5, 6, 8])
    right, mask = batch((11, 7, 1, 7), 41, left=False, padding=7)
    lengths = mask.sum(1).tolist()
    left = torch.full_like(right, 7)
    for row, length in enumerate(lengths):
        left[row, -length:] = right[row, :length]
    together = plain(generate_ids(ours, right, mask, **options))
    assert plain(generate_ids(ours, left, mask.flip(1), **options)) == together
    assert plain(generate_ids(ours, right, **options)) == together  # the model finds the padding
    for row, length in enumerate(lengths):
        alone = generate_ids(ours, right[row : row + 1, :length], **options)
        assert plain(alone) == together[row : row + 1]
    backwards = generate_ids(ours, right.flip(0), mask.flip(0), **options)
    assert plain(backwards)[::-1] == together
    for cached in (True, False):
        assert plain(generate_ids(ours, right, mask, cached=cached, **options)) == together


@pytest.mark.parametrize("make", [gpt2, t5])
def test_finished_rows_do_no_more_work(make: Any) -> None:
    ids, mask = batch((5, 4, 3), 41, left=True, padding=7)
    _, ours = make(ends=40)
    rows = plain(generate_ids(ours, ids, mask, max_tokens=9))
    _, ours = make(ends=rows[0][2])
    sizes: list[int] = []
    stack = ours.decoder if hasattr(ours, "decoder") else ours.encoder
    stack.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    rows = plain(generate_ids(ours, ids, mask, max_tokens=9))
    assert sizes == [sum(len(row) > step for row in rows) for step in range(len(sizes))]
    assert sizes[-1] < 3


def test_drawn_tokens() -> None:
    logits = torch.tensor([[2.0, 1.0, 3.0, -1.0]])
    share = logits[0].softmax(-1)
    draws = torch.arange(20_000, dtype=torch.float64) / 20_000
    many = logits.expand(20_000, -1)

    def shares(**options: Any) -> Tensor:
        chosen = Sampling(**options).choose(many, draws)
        return torch.bincount(chosen, minlength=4) / 20_000

    torch.testing.assert_close(shares(temperature=1.0), share, atol=1e-3, rtol=0)
    hot = (logits[0] / 2).softmax(-1)
    torch.testing.assert_close(shares(temperature=2.0), hot, atol=1e-3, rtol=0)
    first = torch.tensor([0.0, 0.0, 1.0, 0.0])
    for options in (
        {"temperature": 0.0},
        {"temperature": 1.0, "top_k": 1},
        {"temperature": 1.0, "top_p": 1e-9},
    ):
        assert torch.equal(shares(**options), first)
    assert torch.equal(shares(temperature=1e-300), first)
    two = share * torch.tensor([1, 0, 1, 0])
    torch.testing.assert_close(shares(temperature=1.0, top_k=2), two / two.sum(), atol=1e-3, rtol=0)
    # 0.64 of the first, 0.88 of the first two: 0.8 needs both.
    torch.testing.assert_close(shares(temperature=1.0, top_p=0.8), two / two.sum(), atol=1e-3, rtol=0)
    torch.testing.assert_close(shares(temperature=1.0, top_p=0.6), first, atol=0, rtol=0)
    torch.testing.assert_close(shares(temperature=1.0, top_k=9, top_p=1.0), share, atol=1e-3, rtol=0)


@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.7}, {"top_k": 5, "top_p": 0.5}])
def test_the_tokens_that_may_be_drawn_are_those_of_transformers(options: dict[str, Any]) -> None:
    logits = torch.randn(1, 41, dtype=torch.float64)
    warped = logits / 1.3
    if "top_k" in options:
        warped = transformers.TopKLogitsWarper(options["top_k"])(None, warped)
    if "top_p" in options:
        warped = transformers.TopPLogitsWarper(options["top_p"])(None, warped)
    draws = torch.arange(50_000, dtype=torch.float64) / 50_000
    chosen = Sampling(temperature=1.3, **options).choose(logits.expand(50_000, -1), draws)
    shares = torch.bincount(chosen, minlength=41).double() / 50_000
    torch.testing.assert_close(shares, warped[0].softmax(-1), atol=1e-3, rtol=0)


def test_seeds() -> None:
    _, ours = gpt2(ends=40)
    ids = torch.tensor([[3, 4, 5], [9, 8, 6], [3, 4, 5]])
    hot = {"temperature": 3.0, "max_tokens": 12}
    one = plain(generate_ids(ours, ids, seed=1, **hot))
    assert plain(generate_ids(ours, ids, seed=1, **hot)) == one
    assert plain(generate_ids(ours, ids, seed=2, **hot)) != one
    assert one[0] == one[2] != one[1]  # equal prompts, the same seed
    without = plain(generate_ids(ours, ids, **hot))
    assert without[0] != without[2]
    assert plain(generate_ids(ours, ids, **hot)) != without


def test_texts() -> None:
    model = language_model()
    prompts = ["the cat sat", "Zoë", "a mat on the cat"]
    texts = model.generate(prompts, max_tokens=9)
    assert texts == [model.generate(prompt, max_tokens=9) for prompt in prompts]
    assert model.generate(prompts[0]) == model.generate(prompts[0], max_tokens=20, temperature=0)
    assert model.generate([]) == []
    ids = generate_ids(model, model.preprocess(prompts[0])[None], max_tokens=9)[0]
    assert texts[0] == byte_tokenizer().decode(ids, skip_special_tokens=True)


def test_texts_of_an_encoder_decoder() -> None:
    tokenizer = unigram_tokenizer()
    theirs, _ = t5(len(tokenizer), ends=1, padding=0)
    model = vit.from_huggingface(theirs, tokenizer)
    prompts = ["the cat", "a", "the mat and the cat"]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
    found = theirs.generate(**inputs, do_sample=False, max_new_tokens=15)
    wanted = [tokenizer.decode(row, skip_special_tokens=True) for row in found]
    assert model.generate(prompts, max_tokens=15) == wanted
    assert "".join(stream(model, prompts[2], max_tokens=15)) == wanted[2]
    with pytest.raises(VitError, match="prompt 2 is empty: a prompt needs at least one token"):
        model.generate(["a", ""], max_tokens=3)  # although its tokenizer puts an end after each text


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_whole_characters_and_together_the_text(seed: int) -> None:
    model = language_model()
    options = {"max_tokens": 40, "temperature": 3.0, "seed": seed}
    text = model.generate("the", **options)
    pieces = list(stream(model, "the", **options))
    assert "".join(pieces) == text
    assert all(pieces)
    word = text[12:15]
    cut = text[: text.find(word)]
    assert model.generate("the", stop=word, **options) == cut
    assert model.generate("the", stop=["zzzz", word], **options) == cut
    pieces = list(stream(model, "the", stop=[word], **options))
    assert "".join(pieces) == cut


def test_what_is_no_language_model_is_said() -> None:
    model = language_model()
    others = {
        "its tokens see those after them": text_tower(41, 41, width=12, depth=1, heads=2, length=9),
        "its head gives 3 classes": text_tower(
            3, 41, width=12, depth=1, heads=2, length=9, causal=True, pool="last"
        ),
        "it reads images": vision_tower(3, (8, 8), width=12, depth=1, heads=2, patch_size=(4, 4)),
    }
    for said, other in others.items():
        with pytest.raises(VitError, match=f"does not generate texts \\({said}"):
            list(stream(other.eval(), "the"))
    with pytest.raises(VitError, match=r"in training mode.*call model\.eval\(\) first"):
        model.train().generate("the")
    model.eval().preprocess = None
    with pytest.raises(VitError, match=r"model\.preprocess is None, and texts need a tokenizer"):
        model.generate("the")


def test_what_does_not_fit_is_said() -> None:
    model = language_model()
    for prompt, options, said in (
        ("", {}, "the prompt is empty"),
        (["a", ""], {}, "prompt 2 is empty"),
        (["a", "b" * 48], {}, "prompt 2 has 48 tokens, and the model reads 47"),
        ("b" * 40, {}, "max_tokens is 20, and the model, which reads 47 tokens, has room for 8 after the 40"),
        ("a\ud800", {}, "lone surrogate"),
        (
            torch.tensor([[3]]),
            {},
            r"a prompt is of type Tensor, expected a text: ids are for vit\.text",
        ),
    ):
        with pytest.raises(VitError, match=said):
            model.generate(prompt, **options)
    assert isinstance(model.generate("b" * 47, max_tokens=1), str)
    assert isinstance(model.generate("b" * 40, max_tokens=8), str)
    for options, said in (
        ({"max_tokens": 0}, "max_tokens is 0, expected at least 1"),
        ({"temperature": -1}, "temperature is -1, expected 0"),
        ({"temperature": float("nan")}, "temperature is nan, expected 0 .* or more, and finite"),
        ({"top_k": 0}, "top_k is 0, expected at least 1"),
        ({"top_p": 0}, "top_p is 0, expected a probability"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"stop": ["a", ""]}, "a stop word is empty"),
        ({"stop": 3}, "stop is 3, expected a word or a list of words"),
        ({"stop": None}, "stop is None, expected a word"),
        ({"top_k": 3}, "top_k is 3, and temperature is 0, which takes the most probable token"),
        ({"top_p": 0.5, "seed": 1}, "top_p is 0.5, and temperature is 0"),
        ({"max_tokens": 2.5}, "max_tokens is 2.5, expected a whole number"),
        ({"max_tokens": "3"}, "max_tokens is '3', expected a whole number"),
        ({"max_tokens": True}, "max_tokens is True, expected a whole number"),
        ({"max_tokens": None}, "max_tokens is None, expected a whole number"),
        ({"temperature": "1"}, "temperature is '1', expected a number"),
        ({"temperature": True}, "temperature is True, expected a number"),
        ({"seed": "x"}, "seed is 'x', expected a whole number"),
        ({"seed": 1.5}, "seed is 1.5, expected a whole number"),
        ({"seed": True}, "seed is True, expected a whole number"),
        ({"temperature": 1, "top_k": 1.5}, "top_k is 1.5, expected a whole number"),
        ({"temperature": 1, "top_p": "0.5"}, "top_p is '0.5', expected a number"),
    ):
        with pytest.raises(UsageError, match=said):
            model.generate("a", **options)
    numbers = {
        "max_tokens": np.int64(3),
        "temperature": np.float32(1),
        "top_k": np.int32(5),
        "seed": np.int8(1),
    }
    assert model.generate("a", **numbers) == model.generate("a", max_tokens=3, temperature=1, top_k=5, seed=1)
    _, ours = t5()
    ids = torch.full((1, 3), 7)
    with pytest.raises(VitError, match="the prompt is empty"):
        generate_ids(ours, ids)


@pytest.mark.parametrize("make", [gpt2, t5])
def test_what_is_no_batch_of_ids_is_said(make: Any) -> None:
    _, ours = make(vocabulary=41)
    ids = torch.tensor([[11, 2, 3], [4, 5, 40]])
    every = torch.ones(2, 3, dtype=torch.bool)
    for odd, mask, said in (
        (ids.float(), None, r"ids have shape \(2, 3\) and torch.float32, expected \(B, N\), torch.int64"),
        (ids[0], None, r"ids have shape \(3,\) and torch.int64, expected \(B, N\)"),
        (ids.bool(), None, "torch.bool, expected"),
        (ids.tolist(), None, "ids are of type list, expected a tensor"),
        (ids + 1, None, "ids are from 3 to 41, expected 0 to 40"),
        (ids - 3, None, "ids are from -1 to 37, expected 0 to 40"),
        (ids, every[:, :2], r"mask has shape \(2, 2\), expected \(2, 3\): one entry per id"),
        (ids, every[:1], r"mask has shape \(1, 3\), expected \(2, 3\)"),
        (ids, every.long(), "mask is torch.int64, expected torch.bool"),  # it would be taken for places
        (ids, every.tolist(), "mask is of type list, expected a tensor"),
        (ids, ~every, "prompt 1 is empty"),
        (ids[:, :0], None, "prompt 1 is empty"),
    ):
        with pytest.raises(VitError, match=said):
            generate_ids(ours, odd, mask, max_tokens=2)
    assert generate_ids(ours, ids[:0], max_tokens=2) == []
    wanted = plain(generate_ids(ours, ids, every, max_tokens=2))
    assert plain(generate_ids(ours, ids.int(), every, max_tokens=2)) == wanted


def test_a_prompt_in_a_list_is_no_text_to_stream() -> None:
    with pytest.raises(VitError, match="a prompt is of type list, expected a text"):
        next(stream(language_model(), ["a"]))  # type: ignore[arg-type]


def test_a_model_without_an_end_goes_on_to_the_last_token() -> None:
    _, ours = gpt2(ends=None)
    assert ours.ends == ()
    assert len(generate_ids(ours, torch.tensor([[3, 4]]), max_tokens=30)[0]) == 30


def test_the_end_that_a_tokenizer_adds_is_no_part_of_a_prompt() -> None:
    tokenizer = unigram_tokenizer()  # "</s>" after each text
    theirs, _ = gpt2(len(tokenizer), ends=1)
    model = vit.from_huggingface(theirs, tokenizer)
    prompt = tokenizer("the cat", add_special_tokens=False)["input_ids"]
    wanted = generate_ids(model, torch.tensor([prompt]), torch.ones(1, len(prompt)).bool(), max_tokens=6)[0]
    whole = tokenizer.decode([*prompt, *wanted], skip_special_tokens=True)
    assert model.generate("the cat", max_tokens=6) == whole.removeprefix("the cat")
