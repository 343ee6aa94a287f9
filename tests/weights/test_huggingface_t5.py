"""T5, mT5 and UMT5 against transformers: states, logits, every field of their configs, files and bundles."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vit
from vit.bundle import read_bundle
from vit.errors import VitError
from vit.weights.huggingface.importer import from_tensors

from .language_models import batch, made, saved, transformers, unigram_tokenizer

SIZES = {"vocab_size": 41, "d_model": 14, "d_kv": 5, "d_ff": 17, "num_layers": 2, "num_decoder_layers": 3}
SIZES |= {"num_heads": 3, "relative_attention_num_buckets": 10, "relative_attention_max_distance": 13}
SIZES |= {"initializer_factor": 0.3}  # logits of a usual size, which float32 holds to 1e-6
IDS = {"pad_token_id": 7, "eos_token_id": 2, "decoder_start_token_id": 3}
FAMILIES = ("T5", "MT5", "UMT5")
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.fixture(autouse=True)
def _norms_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their norms compute the variance in float32, whatever the dtype: for float64 that is too coarse."""

    def forward(self: Any, states: Tensor) -> Tensor:
        return self.weight * (
            states * torch.rsqrt(states.square().mean(-1, keepdim=True) + self.variance_epsilon)
        )

    for family in FAMILIES:
        module = getattr(transformers.models, family.lower())
        norm = getattr(getattr(module, f"modeling_{family.lower()}"), f"{family}LayerNorm")
        monkeypatch.setattr(norm, "forward", forward)


def peer(
    kind: str = "T5ForConditionalGeneration", *, dtype: torch.dtype = torch.float32, **fields: Any
) -> Any:
    family = next(family for family in ("UMT5", "MT5", "T5") if kind.startswith(family))
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **IDS, **fields})
    return made(kind, config, dtype=dtype)


def inputs(left: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Source ids, mask, and target ids."""
    ids, mask = batch((19, 7, 1), 41, left=left, padding=7)
    return ids, mask, torch.randint(0, 41, (3, 16), generator=torch.Generator().manual_seed(8))


def expected(model: Any, ids: Tensor, mask: Tensor, target: Tensor) -> Any:
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=target)


def same_logits(ours: Any, theirs: Any, left: bool = False) -> None:
    ids, mask, target = inputs(left)
    wanted = expected(theirs, ids, mask, target).logits
    with torch.no_grad():
        found = ours(ids, mask, target)
    torch.testing.assert_close(found, wanted, atol=CLOSE[found.dtype], rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits(family: str, left: bool, dtype: torch.dtype) -> None:
    theirs = peer(f"{family}ForConditionalGeneration", dtype=dtype)
    same_logits(vit.from_huggingface(theirs), theirs, left)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_states_of_both_stacks(family: str, left: bool, dtype: torch.dtype) -> None:
    theirs = peer(f"{family}Model", dtype=dtype)
    ours = vit.from_huggingface(theirs)
    ids, mask, target = inputs(left)
    wanted = expected(theirs, ids, mask, target)
    with torch.no_grad():
        source, states = ours.encode(ids, mask), ours.encode(ids, mask, target)
        assert torch.equal(ours(ids, mask, target), states)
    torch.testing.assert_close(
        source[mask], wanted.encoder_last_hidden_state[mask], atol=CLOSE[dtype], rtol=0
    )
    torch.testing.assert_close(states, wanted.last_hidden_state, atol=CLOSE[dtype], rtol=0)
    with pytest.raises(VitError, match=r"does not generate texts \(it has no head\)"):
        ours.generate("the")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_encoder_alone_is_a_text_tower(family: str, left: bool, dtype: torch.dtype) -> None:
    theirs = peer(f"{family}EncoderModel", dtype=dtype)
    ours = vit.from_huggingface(theirs)
    ids, mask, _ = inputs(left)
    with torch.no_grad():
        wanted = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state[mask]
        torch.testing.assert_close(ours.encode(ids, mask)[mask], wanted, atol=CLOSE[dtype], rtol=0)
    assert ours.architecture["tower"] == "text"


FIELDS: dict[str, Any] = {
    "vocab_size": 43,
    "d_model": 22,
    "d_kv": 4,
    "d_ff": 19,
    "num_layers": 3,
    "num_decoder_layers": None,
    "num_heads": 2,
    "relative_attention_num_buckets": 16,
    "relative_attention_max_distance": 9,
    "layer_norm_epsilon": 0.1,
    "feed_forward_proj": "gated-gelu",
    "is_decoder": True,
    "tie_word_embeddings": False,
    "scale_decoder_outputs": False,
    "pad_token_id": 5,
    "eos_token_id": [4, 9],
    "decoder_start_token_id": 6,
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_is_followed_or_refused_by_name(family: str, field: str) -> None:
    theirs = peer(f"{family}ForConditionalGeneration", **{field: FIELDS[field]})
    try:
        ours = vit.from_huggingface(theirs)
    except VitError as error:
        assert field in str(error)  # noqa: PT017
        assert field == "is_decoder"
        return
    same_logits(ours, theirs)
    assert ours.padding == (5 if field == "pad_token_id" else 7)
    assert ours.ends == ((4, 9) if field == "eos_token_id" else (2,))
    assert ours.start == (6 if field == "decoder_start_token_id" else 3)


@pytest.mark.parametrize(
    "projection", ["relu", "gelu", "silu", "gated-relu", "gated-gelu", "gated-silu", "gated-gelu_new"]
)
def test_feed_forward_projections(projection: str) -> None:
    theirs = peer(feed_forward_proj=projection)
    ours = vit.from_huggingface(theirs)
    same_logits(ours, theirs)
    config = {
        name: value
        for name, value in theirs.config.to_dict().items()
        if name not in ("dense_act_fn", "is_gated_act")
    }
    kind = "T5ForConditionalGeneration"
    same_logits(from_tensors(config, theirs.state_dict(), architecture=kind), theirs)


def test_a_head_of_its_own() -> None:
    theirs = peer(tie_word_embeddings=False)
    theirs.lm_head.weight = torch.nn.Parameter(torch.randn(41, 14))
    ours = vit.from_huggingface(theirs)
    assert ours.architecture["head"] == "own"
    assert ours.head_scale == 1
    same_logits(ours, theirs)
    # As files of earlier versions say it.
    config = theirs.config.to_dict() | {"tie_word_embeddings": False}
    del config["scale_decoder_outputs"]
    again = from_tensors(config, theirs.state_dict(), architecture="T5ForConditionalGeneration")
    same_logits(again, theirs)


def test_what_is_refused_is_named() -> None:
    for fields, said in (
        ({"feed_forward_proj": "tanh"}, "feed_forward_proj is tanh, with the activation tanh"),
        ({"relative_attention_num_buckets": 2}, "relative_attention_num_buckets is 2"),
        ({"relative_attention_max_distance": 5}, "relative_attention_max_distance 5"),
    ):
        theirs = peer()
        for name, value in fields.items():
            setattr(theirs.config, name, value)
        if "feed_forward_proj" in fields:
            theirs.config.dense_act_fn = "tanh"
        with pytest.raises(VitError, match=said):
            vit.from_huggingface(theirs)
    theirs = peer("T5Model")
    theirs.decoder.embed_tokens = torch.nn.Embedding(41, 14)
    with pytest.raises(VitError, match=r"decoder\.embed_tokens\.weight is not shared\.weight"):
        vit.from_huggingface(theirs)
    with pytest.raises(VitError, match="cannot import a T5ForTokenClassification, expected one of: T5Model"):
        vit.from_huggingface(peer("T5ForTokenClassification"))


@pytest.mark.parametrize("own", [False, True])
def test_folders_and_bundles(own: bool, tmp_path: Path) -> None:
    tokenizer = unigram_tokenizer()
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    theirs = peer(vocab_size=len(tokenizer), **ids)
    if own:
        theirs.lm_head.weight = torch.nn.Parameter(torch.randn(len(tokenizer), 14))
    theirs.generation_config.decoder_start_token_id = 4
    folder = saved(tmp_path / "theirs", theirs, tokenizer)
    ours = vit.load_model(f"hf:{folder}")
    assert (ours.start, ours.ends) == (4, (1,))
    for text in ("the cat", "", "a b, c"):
        assert ours.preprocess(text).tolist() == tokenizer(text)["input_ids"]
    ours.save(tmp_path / "ours")
    assert ("head.weight" in read_bundle(tmp_path / "ours").weights) == own
    again = vit.load_model(tmp_path / "ours")
    assert (again.head.weight is again.token_embedding.weight) != own
    source, target = ours.preprocess("the cat")[None], torch.tensor([[4, 5, 6]])
    assert torch.equal(again(source, None, target), ours(source, None, target))
    with torch.no_grad():
        wanted = theirs(input_ids=source, decoder_input_ids=target).logits
    torch.testing.assert_close(ours(source, None, target), wanted, atol=1e-5, rtol=0)
    assert again.generate("the cat", max_tokens=5) == ours.generate("the cat", max_tokens=5)
