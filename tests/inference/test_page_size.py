import torch

from vit.attribution.methods.rollout import rollout
from vit.inference import page_size
from vit.inference.page import view_of
from vit.inference.page_size import fitted
from vit.inference.reading import Reading
from vit.viewer import page

LAYERS, HEADS, TOKENS = 5, 3, 10


def attention() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(HEADS, TOKENS, TOKENS, generator=generator).softmax(-1) for _ in range(LAYERS)]


def test_what_fits_is_kept_whole():
    weights = attention()
    kept = fitted(weights, 1)
    assert kept.weights == weights
    assert (kept.layers, kept.rollout, kept.left_out) == ([0, 1, 2, 3, 4], None, "")


def test_of_too_many_weights_the_rollout_and_the_last_layers_are_kept(monkeypatch):
    monkeypatch.setattr(page_size, "ENTRIES", 4 * TOKENS**2)
    weights = attention()
    kept = fitted(weights, 1, fusion="max", discard=0.5)
    assert kept.layers == [2, 3, 4]
    for layer, fused in zip(kept.layers, kept.weights, strict=True):
        torch.testing.assert_close(fused, weights[layer].amax(0, keepdim=True))
    expected = rollout((each[None] for each in weights), fusion="max", discard=0.5, prefix=1)[0]
    torch.testing.assert_close(kept.rollout, expected)
    assert "(max), of 3 of 5 layers" in kept.left_out
    assert "with 50 % discarded" in kept.left_out
    assert fitted(weights, 1, layer=0).layers == [0, 3, 4]  # the layer asked for is there


def test_one_layer_is_kept_however_many_tokens_there_are(monkeypatch):
    monkeypatch.setattr(page_size, "ENTRIES", 1)
    assert fitted(attention(), 0).layers == [4]


def reading() -> Reading:
    return Reading(
        model=None,
        inputs=torch.zeros(1, 3, 6, 6),
        weights=attention(),
        logits=torch.zeros(0),
        states=torch.zeros(9, 4),
        prefix=1,
        word_ids=None,
        seeds=lambda query: torch.nn.functional.one_hot(torch.tensor([0]), TOKENS).float(),
        shown={"grid": (3, 3), "prefix": 1, "prefix_names": ["class"]},
    )


def test_a_page_of_many_tokens_starts_with_the_layer_asked_for(monkeypatch):
    monkeypatch.setattr(page_size, "ENTRIES", 4 * TOKENS**2)
    view = view_of(reading(), name="a", layer=1, head=2)
    assert (view.layers, view.start.layer, view.start.head) == ([1, 3, 4], 0, None)
    assert view.left_out in page(view)
    assert view_of(reading(), name="a", layer=-1).start.layer == 2


def test_a_page_of_few_tokens_starts_with_the_head_asked_for():
    view = view_of(reading(), name="a", layer=-4, head=2)
    assert (view.start.layer, view.start.head, view.rollout, view.left_out) == (1, 2, None, "")


def test_the_weights_of_a_page_take_at_most_14_mb():
    assert page_size.ENTRIES * 4 / 3 <= 14e6  # base64, where nothing can be compressed
