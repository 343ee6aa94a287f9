"""The parts of a block beside plain attention and MLP."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from vit.core import Block, Encoder, new_cache
from vit.core.relations import causal_mask, with_mask

from ..towers import block_spec

B, N, M, D, H = 2, 5, 7, 12, 3
QKV = ("query", "key", "value")


def block(**arguments: Any) -> Block:
    made = Block(block_spec(D, H, 13, **arguments)).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.4)
    return made


def test_parallel_is_one_sum_of_both_branches() -> None:
    one = block(parallel=True, layer_scale=0.1)
    tokens = torch.randn(B, N, D)
    normed = one.attention_norm(tokens)
    expected = tokens + one.attention_scale(one.attention(normed)) + one.mlp_scale(one.mlp(normed))
    torch.testing.assert_close(one(tokens), expected)
    assert isinstance(one.mlp_norm, nn.Identity)


def test_norms_on_the_branches() -> None:
    one = block(norm="branch", norm_kind="rms")
    tokens = torch.randn(B, N, D)
    assert one.attention_branch_norm is not None
    assert one.mlp_branch_norm is not None
    middle = tokens + one.attention_branch_norm(one.attention(tokens))
    torch.testing.assert_close(one(tokens), middle + one.mlp_branch_norm(one.mlp(middle)))


@pytest.mark.parametrize(("gated", "hidden_norm"), [(True, False), (True, True), (False, True)])
def test_gated_mlp_and_its_norm(gated: bool, hidden_norm: bool) -> None:
    mlp = block(gated=gated, hidden_norm=hidden_norm, activation="silu", output_bias=False).mlp
    tokens = torch.randn(B, N, D)
    hidden = mlp.expand(tokens)
    if gated:
        assert mlp.gate is not None
        gate = mlp.gate(tokens)
        hidden = hidden * gate * gate.sigmoid()
    else:
        hidden = hidden * hidden.sigmoid()
    if hidden_norm:
        assert mlp.norm is not None
        hidden = mlp.norm(hidden)
    torch.testing.assert_close(mlp(tokens), hidden @ mlp.contract.weight.T)
    assert mlp.contract.bias is None


def test_biases_of_attention_and_mlp_are_told_apart() -> None:
    one = block(qkv_bias=(True, False, True), output_bias=False, mlp_bias=True)
    assert [name for name, _ in one.named_parameters() if name.endswith("bias") and "norm" not in name] == [
        "attention.query.bias", "attention.value.bias", "mlp.expand.bias", "mlp.contract.bias",
    ]  # fmt: skip


def test_a_decoder_block_is_that_of_torch() -> None:
    theirs = nn.TransformerDecoderLayer(D, H, 13, dropout=0.0, batch_first=True).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.4)
    ours = block(norm="post", cross=True, activation="relu", norm_eps=1e-5)
    state = {}
    for part, name in ((theirs.self_attn, "attention"), (theirs.multihead_attn, "cross")):
        for kind in ("weight", "bias"):
            stacked = getattr(part, f"in_proj_{kind}").chunk(3)
            state |= {f"{name}.{which}.{kind}": t for which, t in zip(QKV, stacked, strict=True)}
            state[f"{name}.output.{kind}"] = getattr(part.out_proj, kind)
    layers = {"linear1": "mlp.expand", "linear2": "mlp.contract", "norm1": "attention_post_norm"}
    layers |= {"norm2": "cross_post_norm", "norm3": "mlp_post_norm"}
    for name, our_name in layers.items():
        state |= {f"{our_name}.{kind}": getattr(getattr(theirs, name), kind) for kind in ("weight", "bias")}
    ours.load_state_dict(state)
    tokens, source = torch.randn(B, N, D), torch.randn(B, M, D)
    present = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    places = torch.arange(N)[None]
    relation = with_mask(None, causal_mask(places, places), 1)[0]
    torch.testing.assert_close(
        ours(tokens, relation=relation, source=source, source_mask=present),
        theirs(
            tokens,
            source,
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(N),
            memory_key_padding_mask=~present,
        ),
    )


def test_a_decoder_without_a_source_is_refused() -> None:
    with pytest.raises(ValueError, match="cross-attention got no source"):
        block(cross=True)(torch.randn(B, N, D))


@pytest.mark.parametrize("cross", [False, True])
def test_token_by_token_with_a_cache_is_all_at_once(cross: bool) -> None:
    stack = Encoder(replace(block_spec(D, H, 13), cross=cross), 3).double().eval()
    tokens, source = torch.randn(B, N, D).double(), torch.randn(B, M, D).double()
    mask = torch.ones(B, N, dtype=torch.bool)
    mask[1, :2] = False  # padding on the left
    keys = torch.arange(N)[None]
    around = {"source": source} if cross else {}
    at_once = stack(tokens, mask, with_mask(None, causal_mask(keys, keys), 3), **around)
    caches, steps = new_cache(3), []
    for start, end in ((0, 2), (2, 3), (3, 5)):
        relations = with_mask(None, causal_mask(keys[:, start:end], keys[:, :end]), 3)
        steps.append(stack(tokens[:, start:end], mask[:, :end], relations, caches=caches, **around))
    difference = (torch.cat(steps, 1) - at_once)[mask]
    assert difference.abs().max() < 1e-12
    if cross:
        assert caches[0].source.key is not None
        assert caches[0].source.key.shape[2] == M  # computed once, and not appended
