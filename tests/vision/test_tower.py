"""The vision transformer on sizes that no two axes share."""

import pytest
import torch
from torch import nn

from vit.vision import ConvTokenizer, PatchTokenizer

from ..towers import vision_tower

B, C, CLASSES = 2, 3, 13


def test_patches_are_a_strided_convolution() -> None:
    tokenizer = PatchTokenizer(C, 11, (2, 3))
    images = torch.randn(B, C, 10, 21)
    conv = nn.Conv2d(C, 11, (2, 3), stride=(2, 3))
    conv.load_state_dict(
        {"weight": tokenizer.project.weight.unflatten(1, (C, 2, 3)), "bias": tokenizer.project.bias}
    )
    tokens = tokenizer(images)
    assert tokens.shape == (B, 5, 7, 11)
    torch.testing.assert_close(tokens, conv(images).permute(0, 2, 3, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_the_conv_tokenizer_has_the_grid_of_patches(stride: int) -> None:
    tokenizer = ConvTokenizer(C, 33, (stride, stride)).eval()
    tokens = tokenizer(torch.randn(B, C, 3 * stride, 5 * stride))
    assert tokens.shape == (B, 3, 5, 33)


def test_the_stem_is_as_wide_as_asked() -> None:
    images = torch.randn(B, C, 16, 24)
    widths = [
        [halving.second.out_channels for halving in tokenizer.halvings]
        for tokenizer in (ConvTokenizer(C, 33, (8, 8)), ConvTokenizer(C, 33, (8, 8), [5, 7]))
        if tokenizer(images).shape == (B, 2, 3, 33)
    ]
    assert widths == [[8, 16, 33], [5, 7, 33]]
    with pytest.raises(ValueError, match=r"stem is \[5\], expected 2 numbers for patches of 8 pixels"):
        ConvTokenizer(C, 33, (8, 8), [5])
    with pytest.raises(ValueError, match="only 'conv' has a stem"):
        vision_tower(CLASSES, (8, 8), width=36, stem=[5])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_filters_whiten(channels: int) -> None:
    tokenizer = ConvTokenizer(channels, 33, (4, 4))
    smooth = nn.functional.avg_pool2d(torch.randn(40, channels, 21, 25), 3, 1)  # neighbours are alike
    tokenizer.adapt(smooth.split(7))
    found = nn.functional.conv2d(smooth, tokenizer.whiten).transpose(0, 1).flatten(1)  # (filters, positions)
    assert len(found) == (9 if channels == 1 else 12)
    products = found @ found.T / found.shape[1]
    torch.testing.assert_close(products, products.diagonal().diag(), atol=1e-3, rtol=0)
    assert products.diagonal().max() < 1.001
    assert products.diagonal().min() > 0.5  # the floor keeps the weakest a little shorter


@pytest.mark.parametrize("size", [(3, 3), (4, 2), (1, 1)])
def test_the_conv_tokenizer_refuses_other_strides(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected a power of two"):
        ConvTokenizer(C, 33, size)


@pytest.mark.parametrize("pool", ["cls", "mean", "attention"])
@pytest.mark.parametrize("positions", ["learned", "sincos"])
@pytest.mark.parametrize("registers", [0, 2])
@pytest.mark.parametrize("class_token", [True, False])
def test_every_shape(class_token: bool, registers: int, positions: str, pool: str) -> None:
    if pool == "cls" and not class_token:
        with pytest.raises(ValueError, match="set pool to 'mean'"):
            vision_tower(CLASSES, (10, 21), pool=pool, class_token=class_token)
        return
    model = vision_tower(
        CLASSES, (10, 21), patch_size=(2, 3), width=36, depth=2, heads=3,
        class_token=class_token, registers=registers, positions=positions, pool=pool, layer_scale=0.1,
    ).eval()  # fmt: skip
    nn.init.normal_(model.head.weight)
    images = torch.randn(B, C, 10, 21)
    logits = model(images)
    assert logits.shape == (B, CLASSES)
    assert model.encode(images).shape == (B, int(class_token) + registers + 5 * 7, 36)
    torch.testing.assert_close(torch.cat([model(image[None]) for image in images]), logits, atol=1e-5, rtol=0)
    assert model(torch.randn(B, C, 4, 33)).shape == (B, CLASSES)  # another size, another shape of grid


def test_autocast_is_forward_alone_and_gives_back_the_dtype_of_the_images() -> None:
    model = vision_tower(CLASSES, (8, 8), width=36, depth=2, heads=3).eval()
    nn.init.normal_(model.head.weight)
    images = torch.randn(B, C, 8, 8)
    exact = model(images)
    model.autocast = torch.bfloat16
    rough = model(images)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0.05)
    assert torch.equal(model.read(model.encode(images)), exact)


def test_every_parameter_gets_a_gradient() -> None:
    model = vision_tower(
        CLASSES, (8, 16), tokenizer="conv", width=24, depth=2, heads=3, registers=2, pool="attention",
        layer_scale=0.1, qk_norm=True, embedding_norm=True, pool_norm=True,
    )  # fmt: skip
    nn.init.normal_(model.head.weight)
    model(torch.randn(B, C, 8, 16)).square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # The keys' bias shifts all scores of a query alike, which softmax does not see.
    assert [name for name in without if not name.endswith("key.bias")] == []


def test_all_classes_start_even() -> None:
    logits = vision_tower(CLASSES, (8, 8), width=24, heads=3, depth=1)(torch.randn(B, C, 8, 8))
    assert torch.equal(logits, torch.zeros(B, CLASSES))


def test_without_classes_features_come_out() -> None:
    model = vision_tower(0, (8, 8), width=24, heads=3, depth=1)
    assert model(torch.randn(B, C, 8, 8)).shape == (B, 24)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((B, C, 9, 8), "9 x 8 pixels, expected multiples of the patch, 4 x 4"),
        ((B, 1, 8, 8), r"\(2, 1, 8, 8\), expected \(B, 3, height, width\)"),
        ((C, 8, 8), r"\(3, 8, 8\), expected"),
        ((B, C, 0, 8), "0 x 8 pixels"),
    ],
)
def test_images_that_do_not_fit(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        vision_tower(CLASSES, (8, 8), width=24, heads=3, depth=1)(torch.randn(shape))


@pytest.mark.parametrize("argument", ["tokenizer", "positions", "pool"])
def test_unknown_words_are_named(argument: str) -> None:
    with pytest.raises(ValueError, match="'nonsense', expected"):
        vision_tower(CLASSES, (8, 8), width=24, heads=3, depth=1, **{argument: "nonsense"})


def test_a_pooler_and_positions_without_antialiasing_are_part_of_the_architecture() -> None:
    from vit.weights.models import make_tower

    arguments = {"width": 24, "heads": 3, "depth": 1, "pooler": "tanh", "positions_antialias": False}
    model = vision_tower(CLASSES, (8, 12), **arguments).eval()
    nn.init.normal_(model.head.weight)
    again = make_tower(model.architecture).eval()
    again.load_state_dict(model.state_dict())
    images = torch.randn(B, C, 16, 8)
    assert torch.equal(again(images), model(images))
    states = model.encode(images)
    pooled = torch.tanh(model.pooler[0](states[:, 0]))
    torch.testing.assert_close(model.features(images), pooled)
    torch.testing.assert_close(model(images), model.head(pooled))
    torch.testing.assert_close(model.read_token(states[:, 3]), model.head(model.pooler(states[:, 3])))


def test_an_architecture_older_than_pooler_and_antialiasing_is_read() -> None:
    from vit.weights.models import make_tower

    new = vision_tower(CLASSES, (8, 8), width=24, heads=3, depth=1)
    old = {
        name: value
        for name, value in new.architecture.items()
        if name not in ("pooler", "positions_antialias")
    }
    assert len(old) == len(new.architecture) - 2
    assert make_tower(old).positions.antialias
    assert "pooler" not in repr(make_tower(old))
