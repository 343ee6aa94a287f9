import base64
import dataclasses
import hashlib
import io
import json
import re
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from vit.attribution.heads import FUSIONS
from vit.errors import VitError
from vit.viewer import Start, View, page
from vit.viewer.quantise import pack, quantise
from vit.viewer.view import page_fusions

ROWS, COLS, HEADS, LAYERS, PREFIX, CLASSES = 5, 7, 2, 4, 3, 6
PATCHES = ROWS * COLS
TOKENS = PREFIX + PATCHES
HOSTILE = [
    '<img src=x onerror="window.hacked=1">',
    "</script><script>window.hacked=1</script>",
    "<!--<script>",
    "]]>&lt;\u2028\u2029",
    "lone \udce9 surrogate, \u202eoverride and\nline\tbreaks",
]


def attention(layers: int, heads: int, tokens: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(heads, tokens, tokens, generator=generator).softmax(-1) for _ in range(layers)]


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def picture_view(**changes) -> View:
    view = View(
        name="rocket.png",
        weights=attention(LAYERS, HEADS, TOKENS),
        prefix=PREFIX,
        prefix_names=["class", "register 1", "register 2"],
        read=torch.nn.functional.one_hot(torch.tensor(0), TOKENS).float(),
        grid=(ROWS, COLS),
        picture=noise(COLS * 8, ROWS * 8),
        classes=[(f"label {index}", 0.5**index) for index in range(1, CLASSES + 1)],
        maps={"raw": torch.rand(1, PATCHES), "legrad": torch.randn(CLASSES, PATCHES)},
        lens=torch.rand(PATCHES, CLASSES),
        lens_best=[(f"best {patch}", 0.3) for patch in range(PATCHES)],
        outliers=torch.arange(PATCHES) == 11,
        norms=torch.rand(PATCHES) + 20,
    )
    return dataclasses.replace(view, **changes)


def text_view(**changes) -> View:
    words = ["[CLS]", "the", "cat", "sat", "[SEP]"]
    view = View(
        name="The cat sat",
        weights=attention(LAYERS, HEADS, len(words)),
        read=torch.nn.functional.one_hot(torch.tensor(0), len(words)).float(),
        grid=None,
        tokens=words,
        special=[word[0] == "[" for word in words],
        classes=[("positive", 0.75), ("negative", 0.25)],
        maps={"rollout": torch.rand(1, len(words))},
    )
    return dataclasses.replace(view, **changes)


def facts(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


@pytest.mark.parametrize(("prefix", "grid"), [(0, (8, 8)), (1, (8, 8))])
def test_a_page_of_a_small_picture_is_small(prefix, grid):
    tokens = prefix + 64
    view = View(
        name="airplane_0007.png",
        weights=attention(9, 3, tokens),
        prefix=prefix,
        prefix_names=["class"][:prefix],
        read=torch.full((tokens,), 1 / tokens),
        grid=grid,
        picture=noise(32, 32),
        classes=[(f"label {index}", 0.1) for index in range(5)],
        maps={f"method {index}": torch.randn(5, 64) for index in range(6)},
        lens=torch.rand(64, 5),
        lens_best=[("airplane", 0.1234)] * 64,
        norms=torch.rand(64),
    )
    assert len(page(view).encode()) <= 0.3e6


def test_a_page_of_a_large_picture_is_at_most_8_mb():
    view = View(
        name="n01440764.JPEG",
        weights=attention(12, 12, 197),
        prefix=1,
        prefix_names=["class"],
        read=torch.nn.functional.one_hot(torch.tensor(0), 197).float(),
        grid=(14, 14),
        picture=noise(224, 224),
        classes=[(f"label {index}", 0.1) for index in range(5)],
        maps={f"method {index}": torch.randn(5, 196) for index in range(6)},
        lens=torch.rand(196, 5),
        lens_best=[("tench", 0.1234)] * 196,
    )
    html = page(view)
    assert len(html.encode()) <= 8e6
    assert facts(html)["picture"].startswith("data:image/jpeg;base64,")  # noise is heavy as PNG


def test_the_square_root_of_a_weight_is_wrong_by_at_most_half_a_step():
    weights = attention(1, HEADS, TOKENS)[0]
    levels, scale = quantise(weights)
    assert levels.dtype == torch.uint8
    assert levels.amax(-1).eq(255).all()
    back = levels.double() ** 2 * scale.double()[..., None]
    roots = (back.sqrt() - weights.double().sqrt()).abs()
    assert (roots <= weights.amax(-1, keepdim=True).double().sqrt() / 510 + 1e-6).all()


def test_small_weights_beside_one_that_takes_nearly_all_keep_their_differences():
    weights = torch.tensor([[0.996, 0.002, 0.001, 0.0005, 0.0005]])
    levels, scale = quantise(weights)
    back = levels.double() ** 2 * scale.double()[..., None]
    torch.testing.assert_close(back, weights.double(), rtol=0.2, atol=0)


def test_a_row_of_zeros_stays_zeros_and_one_token_stays_one():
    weights = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]])
    levels, scale = quantise(weights)
    assert scale[0, 0] == 0
    torch.testing.assert_close(levels.float() ** 2 * scale[..., None], weights, atol=2e-3, rtol=0)
    assert levels[0, 1].tolist() == [0, 255, 0]


def test_weights_are_packed_layer_head_query_key_after_their_scales():
    layers = attention(LAYERS, HEADS, TOKENS)
    block = zlib.decompress(base64.b64decode(pack(layers)))
    rows = LAYERS * HEADS * TOKENS
    scale = np.frombuffer(block[: 4 * rows], "<f4").reshape(LAYERS, HEADS, TOKENS, 1)
    level = np.frombuffer(block[4 * rows :], np.uint8).reshape(LAYERS, HEADS, TOKENS, TOKENS)
    np.testing.assert_allclose(level.astype(float) ** 2 * scale, torch.stack(layers).numpy(), atol=3e-3)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_string_gets_out_of_the_data(hostile):
    classes = [(hostile, 0.5), ("b", 0.25)]
    changes = {
        "name": hostile,
        "caption": hostile,
        "classes": classes,
        "prefix_names": [hostile] * PREFIX,
        "maps": {hostile: torch.rand(2, PATCHES)},
        "lens": torch.rand(PATCHES, 2),
        "lens_best": [(hostile, 0.5)] * PATCHES,
    }
    html = page(picture_view(**changes))
    html.encode("utf-8")  # no lone surrogate is left
    assert "\u2028" not in html
    assert "\u202e" not in html
    assert (
        len(re.findall(r"<script|<!--", html)) == 3
    )  # the data, the weights, and the script that reads them
    data = html.split('id="data">')[1].split("</script>")[0]
    assert not re.search("[<>&]", data)
    assert "window.hacked" not in html.replace(data, "")
    expected = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(hostile.split()))
    shown = facts(html)
    assert shown["name"] == shown["caption"] == shown["classes"][0][0] == shown["maps"][0][0] == expected

    words = ["[CLS]", hostile, "cat", "sat", "[SEP]"]
    assert facts(page(text_view(tokens=words)))["words"][1] == expected


def test_a_token_of_white_space_is_not_empty():
    assert facts(page(text_view(tokens=["[CLS]", "\n", " the", "cat", "[SEP]"])))["words"][1:3] == [
        "␣",
        "the",
    ]


def test_the_policy_allows_exactly_the_script_and_the_style_of_the_page():
    html = page(picture_view())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")
    for kind, opening in (("script", '<script type="module">'), ("style", "<style>")):
        inside = html.split(opening)[1].split(f"</{kind}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"<[^>]*\s(style|on\w+)=", html.split("<style>")[0] + html.split("</style>")[1])


def test_a_page_makes_no_network_requests():
    html = page(picture_view()).replace("http://www.w3.org/2000/svg", "")  # a name, which nothing asks for
    assert not re.search(r"https?:|\burl\(|@import|fetch\(|XMLHttpRequest|WebSocket", html)
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == ["data:,"]


def test_pictures_keep_their_pixels():
    grey = Image.fromarray(np.arange(ROWS * COLS, dtype=np.uint8).reshape(ROWS, COLS))
    for picture in (grey, noise(COLS, ROWS), noise(COLS, ROWS).convert("RGBA")):
        address = facts(page(picture_view(picture=picture)))["picture"]
        shown = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
        assert (np.array(shown.convert("RGB")) == np.array(picture.convert("RGB"))).all()


def test_optional_parts_may_be_missing():
    bare = page(
        picture_view(
            picture=None, classes=[], maps={}, lens=None, lens_best=[], outliers=None, norms=None, caption=""
        )
    )
    shown = facts(bare)
    assert shown["picture"] is None
    assert shown["lens"] is shown["outliers"] is shown["norms"] is None
    assert facts(page(text_view(classes=[], maps={})))["grid"] is None


def broken(shape: tuple[int, ...], value: float = float("nan")) -> torch.Tensor:
    values = torch.full(shape, 0.1)
    values.view(-1)[-1] = value
    return values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": []}, "0 layers, expected at least 1"),
        ({"weights": [torch.rand(2, 3)]}, r"\(2, 3\), expected \(H, N, N\)"),
        ({"weights": attention(1, 2, 38) + attention(1, 3, 38)}, r"layer 1.*\(3, 38, 38\).*\(2, 38, 38\)"),
        ({"weights": [broken((2, 38, 38))]}, "NaN or infinity in 1 of 2888"),
        ({"weights": [broken((2, 38, 38), -0.5)]}, "down to -0.5, expected 0 or more"),
        ({"grid": (7, 7)}, "38 tokens, expected 52: 3 before the patches and 7 x 7"),
        ({"grid": (-5, -7)}, "-5 x -7"),
        ({"prefix_names": ["class"]}, "1 names, expected prefix=3"),
        ({"read": torch.ones(35) / 35}, r"\(35,\), expected \(38,\)"),
        ({"read": torch.ones(38)}, "sums to 38, expected 1"),
        ({"maps": {"legrad": torch.rand(5, PATCHES)}}, r"'legrad'.*\(5, 35\), expected \(6, 35\)"),
        ({"maps": {"legrad": torch.rand(1, TOKENS)}}, r"'legrad'.*\(1, 38\), expected \(1, 35\)"),
        ({"maps": {"legrad": broken((1, PATCHES))}}, "NaN or infinity in 1 of 35"),
        ({"classes": [("a", float("nan"))] * CLASSES}, "classes.*NaN"),
        ({"lens": torch.rand(CLASSES, PATCHES)}, r"lens has shape \(6, 35\), expected \(35, 6\)"),
        ({"lens": None}, "lens_best has 35 entries, expected 0"),
        ({"lens_best": []}, "lens_best has 0 entries, expected 35"),
        ({"outliers": torch.zeros(PATCHES)}, "torch.float32, expected torch.bool"),
        ({"outliers": torch.zeros(TOKENS, dtype=torch.bool)}, r"\(38,\), expected \(35,\)"),
        ({"norms": torch.rand(TOKENS)}, r"norms has shape \(38,\), expected \(35,\)"),
        ({"tokens": ["a"]}, "tokens has 1 entries, expected 0"),
    ],
)
def test_a_picture_whose_parts_do_not_fit_is_refused(changes, message):
    with pytest.raises(VitError, match=message):
        page(picture_view(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": ["a"] * 4}, "tokens has 4 entries, expected 5"),
        ({"special": [True]}, "special has 1 entries, expected 5"),
        ({"prefix": 1, "prefix_names": ["class"]}, "prefix is 1, expected 0"),
        ({"picture": noise(8, 9)}, r"\(8, 9\) pixels, expected None"),
    ],
)
def test_a_text_whose_parts_do_not_fit_is_refused(changes, message):
    with pytest.raises(VitError, match=message):
        page(text_view(**changes))


def test_what_a_model_wrote_is_on_the_page():
    flags = [False, False, False, True, True]
    shown = facts(page(text_view(written=flags, target=3, note="Read <this>\nfirst", next_word=True)))
    assert (shown["written"], shown["target"], shown["nextWord"]) == (flags, 3, True)
    assert shown["note"] == "Read <this> first"
    plain = facts(page(text_view()))
    assert (plain["written"], plain["target"], plain["note"], plain["nextWord"]) == ([], None, "", False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"written": [True]}, "written has 1 flags, expected 5"),
        ({"target": 5}, "target begins at token 5, expected 1 to 4"),
        ({"target": 0}, "target begins at token 0, expected 1 to 4"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(VitError, match=message):
        page(text_view(**changes))


def test_the_page_computes_the_head_fusions_of_python():
    assert page_fusions() == tuple(FUSIONS)


@pytest.mark.parametrize("view", [picture_view, text_view])
def test_a_head_fusion_that_the_page_does_not_know_is_refused(view):
    for fusion in page_fusions():
        assert facts(page(view(start=Start(fusion=fusion))))["start"]["fusion"] == fusion
    expected = "head fusion 'nonsense', expected one that the page knows: mean, .*page_math.js"
    with pytest.raises(VitError, match=expected):
        page(view(start=Start(fusion="nonsense")))
