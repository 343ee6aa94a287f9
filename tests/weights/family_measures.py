"""Small random models of each family and ours: the largest difference of what they give."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from math import sqrt
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import transformers
from torch import Tensor, nn

import vit
from vit.positions.absolute import sinusoidal
from vit.text.two_streams import two_streams

from ..text import test_seq2seq as original
from . import test_huggingface_gpt2 as gpt2
from . import test_huggingface_t5 as t5
from . import text_families as texts
from . import vision_models as images
from .test_timm_families import pixels_of, small


class Pair(NamedTuple):
    """A model of a peer, ours, and the largest difference of what they give."""

    theirs: Any
    ours: Any
    difference: float


Measure = Callable[[torch.dtype], Iterable[Pair]]


def distance(*pairs: tuple[Tensor, Tensor]) -> float:
    """The largest difference of (found, expected)."""
    for found, expected in pairs:
        assert found.shape == expected.shape
        assert expected.std() > 0.01, "the peer's outputs are all alike"
    return max((found - expected).abs().max().item() for found, expected in pairs)


def image_models(*systems: str) -> Measure:
    """Models of transformers: states, and logits, embeddings or pooled features."""

    def measure(dtype: torch.dtype) -> Iterator[Pair]:
        for system in systems:
            theirs = images.theirs_of(system).to(dtype)
            ours = vit.from_huggingface(theirs, False)
            pixels = torch.randn(2, 3, *ours.image_size, dtype=dtype)
            states, pooled, _ = images.outputs(theirs, pixels)
            pairs = [(ours.encode(pixels), states)]
            pairs += [] if pooled is None else [(ours(pixels), pooled)]
            yield Pair(theirs, ours, distance(*pairs))

    return measure


def text_models(family: str) -> Measure:
    """An encoder of transformers, and its classifier or projection: states, pooled states, logits."""

    def measure(dtype: torch.dtype) -> Iterator[Pair]:
        for head in (False, True):
            theirs = texts.theirs_of(family, head=head).to(dtype)
            ours = vit.from_huggingface(theirs)
            side = "left" if family == "xlnet" else "right"  # where its head reads a token, not padding
            ids, mask = texts.batch(ours.padding, side, end=36 if family == "clip" else None)
            found = theirs(input_ids=ids, attention_mask=mask.long())
            pairs = [
                (ours(ids, mask), found[name])
                for name in ("logits", "text_embeds", "pooler_output")
                if name in found
            ]
            if not head:
                pairs.append((ours.encode(ids, mask)[mask], found.last_hidden_state[mask]))
            yield Pair(theirs, ours, distance(*pairs))

    return measure


def predicting_by_position(dtype: torch.dtype) -> Iterator[Pair]:
    """XLNet's two streams: content, and logits of three tokens that are predicted in a drawn order."""
    theirs = texts.theirs_of("xlnet", kind="XLNetLMHeadModel").to(dtype)
    ours = vit.from_huggingface(theirs)
    base = theirs.transformer
    base.relative_positional_encoding = texts.double_waves(base.relative_positional_encoding, dtype)
    ids, mask = texts.batch(5, "right")
    ids, mask, targets = ids[:1], mask[:1], torch.tensor([[3, 10, 7]])
    ranks = torch.randperm(11)
    visible = (ranks[None, :] < ranks[:, None])[None]
    visible[:, :, ranks.argmin()] = True  # each sees something
    mapping = nn.functional.one_hot(targets, 11).to(dtype)
    order = {"attention_mask": mask.to(dtype), "perm_mask": 1 - visible.to(dtype)}
    found = two_streams(ours, ids, targets, mask, visible=visible)
    content = base(ids, **order).last_hidden_state
    logits = theirs(ids, target_mapping=mapping, **order).logits
    yield Pair(theirs, ours, distance((found.content, content), (ours.head(found.query), logits)))


def language_models(dtype: torch.dtype) -> Iterator[Pair]:
    """GPT-2: states, logits of every token, and a classifier."""
    for kind in ("GPT2Model", "GPT2ForSequenceClassification", "GPT2LMHeadModel"):
        theirs = gpt2.peer(kind, dtype=dtype)
        ours = vit.from_huggingface(theirs)
        ids, mask = gpt2.inputs(left=True)
        found = gpt2.expected(theirs, ids, mask)
        if kind == "GPT2ForSequenceClassification":
            pair = (ours(ids, mask), found.logits)
        else:
            pair = (ours.read_token(ours.encode(ids, mask))[mask], found[0][mask])
        yield Pair(theirs, ours, distance(pair))


def encoder_decoders(family: str) -> Measure:
    """T5 and those that follow it: states of both stacks, and logits."""

    def measure(dtype: torch.dtype) -> Iterator[Pair]:
        for kind in ("EncoderModel", "Model", "ForConditionalGeneration"):
            theirs = t5.peer(family + kind, dtype=dtype)
            ours = vit.from_huggingface(theirs)
            ids, mask, target = t5.inputs()
            if kind == "EncoderModel":
                states = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
                yield Pair(theirs, ours, distance((ours.encode(ids, mask)[mask], states[mask])))
                continue
            found = t5.expected(theirs, ids, mask, target)
            source = found.encoder_last_hidden_state[mask]
            pairs = [(ours.encode(ids, mask)[mask], source), (ours(ids, mask, target), found[0])]
            yield Pair(theirs, ours, distance(*pairs))

    return measure


def the_original(dtype: torch.dtype) -> Iterator[Pair]:
    """The first Transformer, with torch's layers: states of both stacks, and logits."""
    sizes = (original.WIDTH, original.HEADS, 2, 3, original.HIDDEN)
    theirs = original.perturbed(nn.Transformer(*sizes, batch_first=True)).to(dtype)
    theirs.encoder.use_nested_tensor = False  # a faster way of its own, which warns
    ours = original.paper().to(dtype)
    original.copy_stack(ours.encoder, theirs.encoder)
    original.copy_stack(ours.decoder, theirs.decoder)
    ids, mask, target = original.inputs()
    table, sines = ours.token_embedding.weight, sinusoidal(19, original.WIDTH).to(dtype)
    embedded = [table[some] * sqrt(original.WIDTH) + sines[: some.shape[1]] for some in (ids, target)]
    source = theirs.encoder(embedded[0], src_key_padding_mask=~mask)
    causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1], dtype=dtype)
    padding = {"src_key_padding_mask": ~mask, "memory_key_padding_mask": ~mask}
    states = theirs(*embedded, tgt_mask=causal, **padding)
    pairs = [(ours.encode(ids, mask)[mask], source[mask]), (ours.encode(ids, mask, target), states)]
    yield Pair(theirs, ours, distance(*pairs, (ours(ids, mask, target), states @ table.T)))


def timm_models(*names: str, **arguments: Any) -> Measure:
    """Models of timm: features and logits."""

    def measure(dtype: torch.dtype) -> Iterator[Pair]:
        for name in names:
            side = int(name.partition("_patch")[2][:2] or 16)
            theirs = small(name, **{"img_size": (2 * side, 3 * side), **arguments}).to(dtype)
            ours = vit.from_timm(theirs)
            pixels = pixels_of(theirs).to(dtype)
            pairs = [(ours.encode(pixels), theirs.forward_features(pixels)), (ours(pixels), theirs(pixels))]
            yield Pair(theirs, ours, distance(*pairs))

    return measure


@contextmanager
def in_full(dtype: torch.dtype) -> Iterator[None]:
    """In float64 nothing of theirs is rounded to float32."""

    def norm(self: Any, states: Tensor) -> Tensor:
        variance = states.square().mean(-1, keepdim=True)
        return self.weight * states * torch.rsqrt(variance + self.variance_epsilon)

    models = transformers.models
    with ExitStack() as changes:
        if dtype == torch.float64:
            rotated = models.modernbert.modeling_modernbert
            changes.enter_context(patch.object(rotated, "apply_rotary_pos_emb", texts.exact_rotation))
            for kind in (
                models.t5.modeling_t5.T5LayerNorm,
                models.mt5.modeling_mt5.MT5LayerNorm,
                models.umt5.modeling_umt5.UMT5LayerNorm,
            ):
                changes.enter_context(patch.object(kind, "forward", norm))
        yield


@torch.no_grad()
def measured(measure: Measure, dtype: torch.dtype) -> tuple[list[Pair], float]:
    """The models that are compared, and the largest of their differences."""
    torch.manual_seed(11)
    with in_full(dtype):
        pairs = list(measure(dtype))
    return pairs, max(pair.difference for pair in pairs)
