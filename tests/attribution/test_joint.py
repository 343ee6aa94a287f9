"""Encoder-decoders: both stacks as one, against matrices put together by hand."""

import pytest
import torch
from torch import nn

import vit
from vit.attribution.explain import explain
from vit.attribution.joint import joint_layers
from vit.attribution.methods.rollout import rollout
from vit.errors import VitError
from vit.text.seq2seq import EncoderDecoder

from ..towers import block_spec

B, H, M, N = 2, 3, 7, 5


def model_and_ids(depth: int, decoder_depth: int) -> tuple[EncoderDecoder, torch.Tensor, torch.Tensor]:
    model = EncoderDecoder(23, block_spec(12, H), depth=depth, decoder_depth=decoder_depth, length=17).eval()
    for name, parameter in model.named_parameters():
        if "query" in name:
            nn.init.normal_(parameter, std=0.4)
    return model, torch.randint(1, 23, (B, M)), torch.randint(1, 23, (B, N))


@pytest.mark.parametrize("depths", [(2, 4), (3, 1), (1, 1)])
@torch.no_grad()
def test_rows_sum_to_one_and_have_their_parts(depths: tuple[int, int]) -> None:
    model, source, target = model_and_ids(*depths)
    with vit.record_attention(model) as tape:
        model(source, None, target)
    layers = list(joint_layers(tape))
    assert len(layers) == sum(depths)
    for index, weights in enumerate(layers):
        assert weights.shape == (B, H, M + N, M + N)
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, M + N))
        assert (weights[..., :M, M:] == 0).all(), "the source does not see the target"
        if index < depths[0]:
            assert torch.equal(weights[..., :M, :M], tape.weights()[index])
            assert torch.equal(weights[..., M:, :], torch.eye(M + N)[M:].expand(B, H, -1, -1))
        else:
            assert torch.equal(weights[..., :M, :], torch.eye(M + N)[:M].expand(B, H, -1, -1))
            layer = index - depths[0]
            assert torch.equal(weights[..., M:, :M], tape.weights("decoder.cross")[layer] / 2)
            assert torch.equal(weights[..., M:, M:], tape.weights("decoder")[layer] / 2)


@torch.no_grad()
def test_rollout_is_that_of_each_stack_joined() -> None:
    """In float64: the source by the encoder alone; the target layer by layer, its source by all of it."""
    model, source, target = model_and_ids(2, 3)
    with vit.record_attention(model) as tape:
        model(source, None, target)
    encoder = torch.eye(M, dtype=torch.float64).expand(B, M, M)
    for weights in tape.weights("encoder"):
        encoder = (weights.double().mean(1) + torch.eye(M)) / 2 @ encoder
    own, of_source = torch.eye(N, dtype=torch.float64).expand(B, N, N), torch.zeros(B, N, M).double()
    for self_, cross in zip(tape.weights("decoder"), tape.weights("decoder.cross"), strict=True):
        step = self_.double().mean(1) / 4 + torch.eye(N).double() / 2
        own, of_source = step @ own, step @ of_source + cross.double().mean(1) / 4 @ encoder
    joint = rollout(joint_layers(tape)).double()
    torch.testing.assert_close(joint[:, :M, :M], encoder, atol=1e-6, rtol=0)
    torch.testing.assert_close(joint[:, M:], torch.cat([of_source, own], -1), atol=1e-6, rtol=0)


def test_explain_wants_one_stack() -> None:
    model, source, _ = model_and_ids(1, 1)
    with pytest.raises(VitError, match=r"use vit\.attend"):
        explain(model, source, "rollout")
