"""The encoder-decoder of the paper against torch's own, and its promises."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vit
from vit.core import new_cache
from vit.errors import VitError
from vit.positions.absolute import sinusoidal
from vit.text import Tokenizer, train_tokenizer
from vit.text.seq2seq import EncoderDecoder

from ..towers import block_spec

WIDTH, HEADS, HIDDEN, VOCABULARY = 28, 2, 31, 37
BUCKETS = {"kind": "buckets", "buckets": 6, "max_distance": 5}
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-10}


def perturbed(model: nn.Module) -> Any:
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def paper(**changes: Any) -> EncoderDecoder:
    """The arguments of Vaswani et al. 2017; torch has final norms, and its epsilon is 1e-5."""
    spec = block_spec(WIDTH, HEADS, HIDDEN, norm="post", activation="relu", norm_eps=1e-5)
    arguments: dict[str, Any] = {"depth": 2, "decoder_depth": 3, "length": 19}
    arguments |= {"embedding_scale": math.sqrt(WIDTH), **changes}
    return perturbed(EncoderDecoder(VOCABULARY, spec, **arguments))


def inputs(left: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([11, 7, 1])
    mask = torch.arange(11) < lengths[:, None]
    mask = mask.flip(1) if left else mask
    ids = torch.randint(1, VOCABULARY, (3, 11), generator=generator) * mask
    return ids, mask, torch.randint(0, VOCABULARY, (3, 5), generator=generator)


def copy_attention(ours: Any, theirs: nn.MultiheadAttention) -> None:
    for layer, weight, bias in zip(
        (ours.query, ours.key, ours.value),
        theirs.in_proj_weight.chunk(3),
        theirs.in_proj_bias.chunk(3),
        strict=True,
    ):
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    ours.output.load_state_dict(theirs.out_proj.state_dict())


@torch.no_grad()
def copy_stack(ours: Any, theirs: Any) -> None:
    for block, layer in zip(ours.blocks, theirs.layers, strict=True):
        norms = [block.attention_post_norm, block.mlp_post_norm]
        copy_attention(block.attention, layer.self_attn)
        if hasattr(layer, "multihead_attn"):
            copy_attention(block.cross, layer.multihead_attn)
            norms.insert(1, block.cross_post_norm)
        for number, norm in enumerate(norms, 1):
            norm.load_state_dict(getattr(layer, f"norm{number}").state_dict())
        block.mlp.expand.load_state_dict(layer.linear1.state_dict())
        block.mlp.contract.load_state_dict(layer.linear2.state_dict())
    ours.norm.load_state_dict(theirs.norm.state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("left", [False, True])
def test_states_are_those_of_torch(left: bool, dtype: torch.dtype) -> None:
    theirs = perturbed(nn.Transformer(WIDTH, HEADS, 2, 3, HIDDEN, batch_first=True)).to(dtype)
    theirs.encoder.use_nested_tensor = False  # a faster way of its own, which warns
    ours = paper().to(dtype)
    copy_stack(ours.encoder, theirs.encoder)
    copy_stack(ours.decoder, theirs.decoder)
    ids, mask, target = inputs(left)
    table, sines = ours.token_embedding.weight, sinusoidal(19, WIDTH).to(dtype)
    embedded = [table[some] * math.sqrt(WIDTH) + sines[: some.shape[1]] for some in (ids, target)]
    with torch.no_grad():
        source = theirs.encoder(embedded[0], src_key_padding_mask=~mask)
        wanted = theirs(
            *embedded,
            src_key_padding_mask=~mask,
            memory_key_padding_mask=~mask,
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(5, dtype=dtype),
        )
    torch.testing.assert_close(ours.encode(ids, mask)[mask], source[mask], atol=CLOSE[dtype], rtol=0)
    torch.testing.assert_close(ours.encode(ids, mask, target), wanted, atol=CLOSE[dtype], rtol=0)
    torch.testing.assert_close(ours(ids, mask, target), wanted @ table.T, atol=CLOSE[dtype] * 10, rtol=0)


def test_the_sines_are_those_of_the_paper() -> None:
    table = sinusoidal(13, 6)
    for place in range(13):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert table[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "learned"},
        {"positions": "none", "relative": BUCKETS},
        {"positions": "none", "relative": BUCKETS | {"shared": False}},
        {"positions": "none", "relative": {"kind": "rotary"}},
    ],
)
def test_a_token_at_a_time_with_a_cache(changes: dict[str, Any]) -> None:
    model = paper(**changes).double()
    if changes.get("relative", {}).get("kind") == "rotary":
        model = model.float()
    ids, mask, target = inputs()
    states = model.encode(ids, mask)
    whole = model.decode(target, states, mask)
    caches = new_cache(3)
    parts = [
        model.decode(target[:, start:stop], states, mask, known=start, caches=caches)
        for start, stop in ((0, 2), (2, 3), (3, 5))
    ]
    torch.testing.assert_close(
        torch.cat(parts, 1), whole, atol=1e-6 if whole.dtype.itemsize < 8 else 1e-12, rtol=0
    )


def test_the_target_sees_nothing_after_it_and_no_padding_of_the_source() -> None:
    model = paper()
    ids, mask, target = inputs()
    before = model(ids, mask, target)
    changed = target.clone()
    changed[:, 3] = (changed[:, 3] + 1) % VOCABULARY
    after = model(ids, mask, changed)
    assert torch.equal(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3], before[:, 3])
    other = ids.masked_fill(~mask, 5)
    torch.testing.assert_close(model(other, mask, target), before, atol=1e-6, rtol=0)
    alone = model(ids[1:2, :7], None, target[1:2])
    torch.testing.assert_close(alone, before[1:2], atol=1e-5, rtol=0)


def test_heads() -> None:
    tied, own, none = (paper(head=head) for head in ("tied", "own", "none"))
    assert tied.head.weight is tied.token_embedding.weight
    assert own.head.weight is not own.token_embedding.weight
    ids, mask, target = inputs()
    assert torch.equal(none(ids, mask, target), none.encode(ids, mask, target))
    assert paper(head_bias=True).head.bias.shape == (VOCABULARY,)
    states = own.encode(ids, mask, target)
    scaled = paper(head="own", head_scale=0.5)
    torch.testing.assert_close(scaled.read_token(states), own.head(states * 0.5))


def test_what_does_not_fit_is_said() -> None:
    for changes, said in (
        ({"head": "both"}, "head is 'both', expected one of: tied, own, none"),
        ({"padding": 37}, "padding has id 37, expected 0 to 36"),
        ({"start": -1}, "start has id -1"),
        ({"ends": (2, 40)}, "ends has id 40"),
        ({"relative": {"kind": "clock"}}, "relative positions are 'clock'"),
    ):
        with pytest.raises(ValueError, match=said):
            paper(**changes)
    ids, mask, target = inputs()
    model = paper(length=9)
    with pytest.raises(ValueError, match="the text has 11 tokens, expected at most 9"):
        model(ids, mask, target)
    with pytest.raises(ValueError, match="the text has 5 tokens, expected at most 4"):
        model.decode(target, model.encode(ids[:, :5]), known=5)
    with pytest.raises(VitError, match="gives texts, not vectors"):
        model.features(ids)


@pytest.mark.parametrize("head", ["tied", "own", "none"])
def test_a_bundle_gives_the_same(head: str, tmp_path: Path) -> None:
    model = paper(head=head, length=29)
    with pytest.raises(VitError, match=r"has no preprocess, which texts need: .*model\.use_tokenizer\("):
        model.save(tmp_path)
    trained = train_tokenizer(["the cat sat"] * 3, vocabulary=30, length=29)
    model.use_tokenizer(Tokenizer(trained.definition, model.length))  # as the message says
    model.save(tmp_path)
    again = vit.load_model(tmp_path)
    ids, mask, target = inputs()
    assert torch.equal(again(ids, mask, target), model(ids, mask, target))
    assert repr(again) == repr(model)
    assert vit.weights.models.describe(str(tmp_path))["width"] == WIDTH
    tied = again.head is not None and getattr(again.head, "weight", None) is again.token_embedding.weight
    assert tied == (head == "tied")
