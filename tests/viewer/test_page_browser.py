"""The page in a real browser: its figures against a float64 reference, its manners, its speed."""

import base64
import dataclasses
import json
import re
import shutil
import statistics
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from vit.viewer import View, page
from vit.viewer.overlay import STRENGTH
from vit.viewer.scale import scale
from vit.viewer.view import page_fusions

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install playwright"
)

ROWS, COLS, HEADS, LAYERS, PREFIX = 5, 7, 3, 4, 3
PATCHES = ROWS * COLS
TOKENS = PREFIX + PATCHES
CANARY = ['<img src=x onerror="window.hacked=1">', "</script><script>window.hacked=1</script>"]
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser, tmp_path):
    """Write a view's page, open it, and watch that it neither complains nor asks for anything."""
    contexts, complaints, requests = [], [], []

    def show(view: View | str, scheme: str = "light", width: int = 1280) -> sync_api.Page:
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(view if isinstance(view, str) else page(view), encoding="utf-8")
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 1000})
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("request", lambda request: requests.append(request.url))
        shown.goto(path.as_uri())
        shown.locator("main").wait_for(timeout=20_000)
        return shown

    yield show
    for context in contexts:
        context.close()
    assert complaints == []
    others = [url for url in requests if not url.startswith("data:")]
    assert others == [(tmp_path / f"page{index}.html").as_uri() for index in range(len(contexts))]


def attention(layers: int, heads: int, tokens: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(heads, tokens, tokens, generator=generator).softmax(-1) for _ in range(layers)]


def one_hot(token: int, tokens: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(token), tokens).float()


def vision(
    layers=LAYERS, heads=HEADS, grid=(ROWS, COLS), names=("class", "register 1", "register 2"), **changes
) -> View:
    patches = grid[0] * grid[1]
    tokens = len(names) + patches
    generator = torch.Generator().manual_seed(7)
    parts = {
        "name": "rocket.png",
        "caption": "a model",
        "weights": attention(layers, heads, tokens),
        "prefix": len(names),
        "prefix_names": names,
        "read": one_hot(0, tokens),
        "grid": grid,
        "picture": Image.new("RGB", (grid[1] * 4, grid[0] * 4), (200, 120, 40)),
        "classes": [("cat", 0.6), ("dog", 0.3)],
        "maps": {
            "raw": torch.rand(1, patches, generator=generator),
            "legrad": torch.randn(2, patches, generator=generator),
        },
        "lens": torch.rand(patches, 2, generator=generator),
        "lens_best": [("fox", 0.125)] * patches,
        "outliers": torch.arange(patches) == 11,
        "norms": torch.arange(patches) + 20.0,
    }
    return View(**(parts | changes))


def sentence(words=("[CLS]", "the", "cat", "sat", "down", "there", "[SEP]"), **changes) -> View:
    tokens = len(words)
    parts = {
        "name": "The cat sat down there",
        "weights": attention(LAYERS, HEADS, tokens),
        "read": one_hot(0, tokens),
        "grid": None,
        "tokens": words,
        "special": [word[0] == "[" for word in words],
        "classes": [("positive", 0.75), ("negative", 0.25)],
        "maps": {"legrad": torch.randn(2, tokens)},
    }
    return View(**(parts | changes))


# ---- the reference ----


def inside(html: str) -> np.ndarray:
    """The weights that a page holds, (L, H, N, N), read without any code of vit."""
    facts = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])
    layers, heads, tokens = facts["layers"], facts["heads"], facts["tokens"]
    block = zlib.decompress(base64.b64decode(re.search(r'id="weights">(.*?)</script>', html, re.S)[1]))
    rows = layers * heads * tokens
    scale = np.frombuffer(block[: 4 * rows], "<f4").reshape(layers, heads, tokens, 1)
    level = np.frombuffer(block[4 * rows :], np.uint8).reshape(layers, heads, tokens, tokens)
    return level.astype(np.float64) ** 2 * scale


def rollout(weights: np.ndarray, fusion: str, discard: float, prefix: int) -> np.ndarray:
    """A_L ... A_1 in float64 from weights (L, H, N, N), as one product of whole matrices."""
    tokens = weights.shape[-1]
    joint = np.eye(tokens)
    for layer in weights:
        fused = getattr(np, fusion)(layer, axis=0)
        inner = fused[prefix:, prefix:]
        order = np.argsort(inner, axis=None, kind="stable")  # of equal weights the first go first
        count = int(discard * inner.size + 1e-9)
        if count:
            kept, gone = inner.flat[order[count]], inner.flat[order[count - 1]]
            assert kept == gone or kept - gone > 1e-7  # single precision would choose as it likes
            inner.flat[order[:count]] = 0
        mixed = (fused + np.eye(tokens)) / 2
        joint = mixed / mixed.sum(1, keepdims=True) @ joint
    return joint


def settle(shown) -> None:
    """Wait until what was asked for is drawn."""
    shown.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def value(shown, selector: str) -> float:
    return float(shown.locator(selector).get_attribute("data-value"))


def point_at(shown, row: int, col: int, grid=(ROWS, COLS)) -> None:
    box = shown.locator("#stage").bounding_box()
    shown.mouse.move(
        box["x"] + (col + 0.4) * box["width"] / grid[1], box["y"] + (row + 0.6) * box["height"] / grid[0]
    )
    settle(shown)


def slide(shown, discard: float) -> None:
    shown.locator("#discard").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", discard
    )
    settle(shown)


def fuse(shown, fusion: str) -> None:
    shown.locator(f"#fusion input[value={fusion}]").check()
    settle(shown)


def exactly(values) -> object:
    return pytest.approx(values, rel=0, abs=1e-6)


# ---- figures ----


def test_rollout_equals_the_reference_for_every_fusion_discard_and_query(show):
    read = torch.rand(TOKENS, generator=torch.Generator().manual_seed(3))
    view = vision(read=read / read.sum())
    html = page(view)
    weights, shown = inside(html), show(html)
    for fusion in ("mean", "max", "min"):
        fuse(shown, fusion)
        for discard in (0, 0.5):
            slide(shown, discard)
            joint = rollout(weights, fusion, discard, PREFIX)
            for query in (0, 2, PREFIX + 2 * COLS + 3):
                assert shown.evaluate("(query) => vit.row(query)", query) == exactly(joint[query].tolist())
                assert shown.evaluate("(key) => vit.column(key)", query) == exactly(joint[:, query].tolist())
            assert shown.evaluate("vit.row('read')") == exactly((view.read.numpy() @ joint).tolist())
            assert shown.evaluate("vit.column('read')") == exactly((joint @ view.read.numpy()).tolist())


def test_figures_on_the_page_are_those_of_the_query(show):
    html = page(vision())
    shown = show(html)
    fuse(shown, "max")
    slide(shown, 0.5)
    joint = rollout(inside(html), "max", 0.5, PREFIX)

    # Nothing is pointed at: the query is what the head reads, the class token.
    assert value(shown, "#low") == exactly(joint[0, PREFIX:].min())
    assert value(shown, "#high") == exactly(joint[0, PREFIX:].max())
    parts = {
        line.get_attribute("data-part"): float(line.get_attribute("data-value"))
        for line in shown.locator("#parts li").all()
    }
    outlier = PREFIX + 11
    assert parts == {
        "class": exactly(joint[0, 0]),
        "register 1": exactly(joint[0, 1]),
        "register 2": exactly(joint[0, 2]),
        "outlier patches": exactly(joint[0, outlier]),
        "other patches": exactly(joint[0, PREFIX:].sum() - joint[0, outlier]),
    }
    percents = [float(text.split()[0]) for text in shown.locator("#parts b").all_inner_texts()]
    assert sum(percents) == pytest.approx(100, abs=1e-9)

    point_at(shown, 3, 5)
    query = PREFIX + 3 * COLS + 5
    assert shown.locator("#query").inner_text() == shown.locator("#cell").inner_text() == "patch 3,5"
    assert value(shown, "#value-row") == exactly(joint[query, query])
    assert value(shown, "#norm") == 20 + 3 * COLS + 5
    assert shown.locator("#alone").inner_text() == "fox, 12.5 %"

    shown.mouse.down()
    shown.mouse.up()
    point_at(shown, 1, 4)
    key = PREFIX + 1 * COLS + 4
    assert shown.locator("#query").inner_text() == "patch 3,5 (pinned)"
    assert value(shown, "#value-row") == exactly(joint[query, key])
    assert value(shown, "#value-column") == exactly(joint[key, query])
    three = np.format_float_positional(
        100 * joint[query, key], precision=3, unique=False, fractional=False, trim="k"
    )
    assert shown.locator("#value-row").inner_text() == f"{three} %"
    assert shown.locator("#norm").inner_text().endswith("outlier")
    shown.locator("#prefix .chip").nth(1).hover()
    settle(shown)
    assert value(shown, "#value-row") == exactly(joint[query, 1])


def test_raw_heads_are_as_near_the_exact_weights_as_a_byte_allows(show):
    view = vision()
    shown = show(view)
    for layer, head in ((0, 2), (3, 1)):
        shown.locator(f"[data-layer='{layer}'][data-head='{head}']").click()
        settle(shown)
        exact = view.weights[layer][head].double()
        largest = exact.amax(1, keepdim=True)
        bound = (exact * largest).sqrt() / 255 + largest / 510**2 + 1e-8  # half a step of the square root
        for query in (1, PREFIX + 30):
            row = torch.tensor(shown.evaluate("(query) => vit.row(query)", query), dtype=torch.float64)
            assert ((row - exact[query]).abs() <= bound[query]).all()
            column = torch.tensor(shown.evaluate("(key) => vit.column(key)", query), dtype=torch.float64)
            assert ((column - exact[:, query]).abs() <= bound[:, query]).all()
    exact = rollout(torch.stack(list(view.weights)).double().numpy(), "mean", 0, PREFIX)
    shown.locator("#heads .whole").click()
    settle(shown)
    assert shown.evaluate("vit.row(20)") == pytest.approx(exact[20].tolist(), rel=0, abs=2e-4)


def test_the_column_of_heads_together_follows_the_fusion(show):
    html = page(vision())
    shown = show(html)
    shown.locator("[data-layer='2'][data-head='fused']").click()
    for fusion in ("mean", "max", "min"):
        fuse(shown, fusion)
        fused = getattr(np, fusion)(inside(html)[2], axis=0)
        assert shown.evaluate("vit.row(9)") == exactly(fused[9].tolist())
        assert shown.evaluate("vit.column(9)") == exactly(fused[:, 9].tolist())


def test_the_choice_of_fusions_is_the_list_that_python_reads(show):
    shown = show(vision())
    radios = shown.locator("#fusion input[type=radio]")
    assert [radio.get_attribute("value") for radio in radios.all()] == list(page_fusions())
    assert shown.locator("#fusion label").all_inner_texts() == list(page_fusions())
    assert [radio.is_checked() for radio in radios.all()] == [True, False, False]


@pytest.mark.parametrize("fusion", ["nonsense", "constructor"])
def test_an_unknown_head_fusion_is_refused_and_nothing_is_drawn(browser, tmp_path, fusion):
    html = page(vision())
    assert html.count('"fusion":"mean"') == 1
    path = tmp_path / "page.html"
    path.write_text(html.replace('"fusion":"mean"', f'"fusion":"{fusion}"'), encoding="utf-8")
    with browser.new_context() as context:
        shown = context.new_page()
        errors = []
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.goto(path.as_uri())
        shown.get_by_text("This page could not be drawn").wait_for(timeout=20_000)
        message = f"the head fusion is {fusion}, expected one of: {', '.join(page_fusions())}"
        assert shown.locator("#trouble").inner_text() == f"This page could not be drawn: {message}"
        assert not shown.locator("main").is_visible()
        assert len(errors) == 1


def test_methods_the_lens_and_the_class_go_into_the_main_view(show):
    view = vision()
    shown = show(view)
    shown.locator("[data-map='method 1']").click()
    point_at(shown, 2, 6)
    patch = 2 * COLS + 6
    assert value(shown, "#value-map") == pytest.approx(view.maps["legrad"][0, patch].item(), rel=1e-5)
    assert value(shown, "#low") == pytest.approx(view.maps["legrad"][0].min().item(), rel=1e-5)
    assert shown.evaluate("vit.state().query") == PREFIX + patch  # the two attention maps follow meanwhile
    shown.locator(".class").nth(1).click()
    point_at(shown, 2, 6)
    assert value(shown, "#value-map") == pytest.approx(view.maps["legrad"][1, patch].item(), rel=1e-5)
    shown.locator("[data-map=lens]").click()
    point_at(shown, 2, 6)
    assert value(shown, "#value-map") == pytest.approx(view.lens[patch, 1].item(), rel=1e-5)
    assert "dog" in shown.locator("#shown").inner_text()
    shown.locator("#reset").click()
    settle(shown)
    assert shown.evaluate("vit.state()") == {
        "source": "rollout",
        "fusion": "mean",
        "discard": 0,
        "pinned": None,
        "at": None,
        "chosen": 0,
        "shown": "row",
        "view": "map",
        "opacity": STRENGTH,
        "bare": False,
        "second": None,
        "query": "read",
    }


def heat_on(shown, host: str) -> np.ndarray:
    """The colors of a map's cells, (rows, cols, 3)."""
    pixels = shown.locator(f"{host} canvas.heat").evaluate(
        "(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
    )
    return np.array(pixels).reshape(ROWS, COLS, 4)[..., :3]


def test_rounding_is_not_drawn_as_heat(show):
    read = torch.full((PATCHES,), 1 / PATCHES)
    shown = show(vision(names=(), read=read))
    assert len(np.unique(heat_on(shown, "[data-map=column]").reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(heat_on(shown, "[data-map=row]").reshape(-1, 3), axis=0)) > 20


def test_the_brightest_cell_is_where_the_heat_is(show):
    heat = torch.zeros(1, PATCHES)
    heat[0, 3 * COLS + 1] = 5.0
    shown = show(vision(maps={"spot": heat}))
    shown.locator("[data-map='method 0']").click()
    settle(shown)
    sums = heat_on(shown, "#stage").sum(-1)
    assert np.unravel_index(sums.argmax(), sums.shape) == (3, 1)
    assert (sums > sums.min()).sum() == 1


# ---- text ----


def test_text_has_a_chip_for_each_token(show):
    html = page(sentence())
    shown = show(html)
    chips = shown.locator("#stage .token")
    assert chips.all_inner_texts() == ["[CLS]", "the", "cat", "sat", "down", "there", "[SEP]"]
    assert shown.locator("#stage .special").all_inner_texts() == ["[CLS]", "[SEP]"]
    slide(shown, 0.5)
    joint = rollout(inside(html), "mean", 0.5, 0)
    chips.nth(2).hover()
    settle(shown)
    assert value(shown, "#value-row") == exactly(joint[2, 2])
    others = [1, 3, 4, 5]  # colors span the words, without the tie of the query to itself
    assert value(shown, "#high") == exactly(joint[2, others].max())
    assert value(shown, "#parts [data-part='special tokens']") == exactly(joint[2, 0] + joint[2, -1])
    chips.nth(2).click()
    shown.keyboard.press("ArrowRight")
    settle(shown)
    assert value(shown, "#value-row") == exactly(joint[2, 3])
    shown.keyboard.press("Escape")
    settle(shown)
    assert shown.evaluate("vit.state().query") == 3


# ---- keyboard ----


def focused(shown) -> str:
    return shown.evaluate("document.activeElement.id || document.activeElement.className")


def test_everything_is_reached_and_done_by_keyboard(show):
    shown = show(vision())
    stops = []
    for _ in range(40):
        shown.keyboard.press("Tab")
        if focused(shown) == "vision":  # the page's end
            break
        stops.append(focused(shown))
        # The segments of a choice are drawn by a label beside their invisible input, and framed there.
        assert shown.evaluate(
            "[document.activeElement, document.activeElement.nextElementSibling].some("
            "(each) => each && getComputedStyle(each).outlineStyle === 'solid')"
        )
    for stop in ("reset", "stage", "chip", "panel", "whole", "discard"):
        assert any(stop in each.split() for each in stops), (stop, stops)

    shown.locator("#stage").focus()
    shown.keyboard.press("Home")
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowRight"):
        shown.keyboard.press(key)
    settle(shown)
    assert shown.locator("#query").inner_text() == "patch 1,1"
    settle(shown)
    assert "patch 1,1" in shown.locator("#said").inner_text()
    shown.keyboard.press("Enter")
    shown.keyboard.press("End")
    settle(shown)
    assert shown.locator("#query").inner_text() == "patch 1,1 (pinned)"
    assert shown.locator("#cell").inner_text() == f"patch 1,{COLS - 1}"
    shown.keyboard.press("Escape")
    settle(shown)
    assert shown.evaluate("vit.state().pinned") is None

    shown.locator("#heads .whole").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        shown.keyboard.press(key)
    settle(shown)
    assert shown.evaluate("vit.state().source") == {"layer": 1, "head": 1}
    shown.keyboard.press("End")
    settle(shown)
    assert shown.evaluate("vit.state().source") == {"layer": 1, "head": "fused"}
    shown.keyboard.press("ArrowUp")
    shown.keyboard.press("ArrowUp")
    settle(shown)
    assert shown.evaluate("vit.state().source") == "rollout"

    shown.locator("#discard").focus()
    shown.keyboard.press("ArrowRight")
    shown.locator("#fusion input[value=mean]").focus()
    shown.keyboard.press("ArrowRight")
    settle(shown)
    assert shown.evaluate("[vit.state().discard, vit.state().fusion]") == [0.05, "max"]


def test_source_and_target_stand_on_lines_of_their_own(show):
    words = ("the", "cat", "sat", "[PAD]", "die", "Katze")
    shown = show(
        sentence(
            words=words,
            read=one_hot(5, 6),
            classes=[],
            maps={},
            written=[False] * 4 + [True] * 2,
            target=3,
            note="First the source.",
            next_word=True,
        )
    )
    assert shown.locator("#stage .side").all_inner_texts() == ["Source", "Target"]
    boxes = [shown.locator("#stage .token").nth(place).bounding_box() for place in range(6)]
    assert boxes[3]["y"] > boxes[2]["y"] + boxes[2]["height"]
    assert boxes[3]["x"] == pytest.approx(boxes[0]["x"], abs=4)
    assert {round(box["y"] + box["height"] / 2) for box in boxes[:3]} == {
        round(boxes[0]["y"] + boxes[0]["height"] / 2)
    }
    assert shown.locator("#stage .written").all_inner_texts() == ["die", "Katze"]
    line = "getComputedStyle(document.querySelectorAll('#stage .token')[{}]).textDecorationLine"
    assert [shown.evaluate(line.format(place)) for place in (1, 4)] == ["none", "underline"]
    assert shown.locator("#note").inner_text() == "First the source."
    assert shown.locator("#shown").inner_text() == "What the last token attends to"
    parts = shown.locator("#parts li").all_inner_texts()
    assert sorted(part.split("\n")[0] for part in parts) == ["source words", "special tokens", "target words"]
    shown.locator("#stage .token").nth(4).click()
    settle(shown)
    assert shown.locator("#query").inner_text() == "“die” (pinned)"


def test_a_language_model_says_what_comes_next(show):
    words = ("the", "cat", "sat")
    lens = torch.tensor([[0.5, 0.1], [0.2, 0.3], [0.6, 0.2]])
    shown = show(
        sentence(
            words=words,
            read=one_hot(2, 3),
            classes=[("down", 0.6), ("up", 0.2)],
            maps={},
            lens=lens,
            lens_best=[("cat", 0.9), ("sat", 0.8), ("down", 0.6)],
            note="A word attends to those before it.",
            next_word=True,
        )
    )
    assert shown.locator("#classes-title").inner_text() == "Next token"
    assert shown.locator("#alone").inner_text() == "down, 60.0 %"  # after the last token
    shown.locator("#stage .token").nth(1).hover()
    settle(shown)
    assert shown.locator("#alone-line").inner_text().split("\n") == ["The model says next", "sat, 80.0 %"]
    assert shown.locator("[data-map='lens'] b").inner_text() == "comes next"


# ---- other views ----


def view_as(shown, name: str) -> None:
    shown.locator(f"#views input[value={name}]").check()
    settle(shown)


def test_maps_that_do_not_depend_on_the_query_do_not_show_its_mark(show):
    shown = show(vision())
    point_at(shown, 2, 3)
    shown.mouse.down()
    shown.mouse.up()
    point_at(shown, 4, 1)
    marks = "(map) => !document.querySelector(`[data-map='${map}'] .mark.query`).hidden"
    assert [shown.evaluate(marks, name) for name in ("row", "column", "lens", "method 0", "method 1")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    shown.locator("[data-map='method 1']").click()
    settle(shown)
    assert not shown.locator("#stage .mark.query").is_visible()
    assert "does not depend on the query" in shown.locator("#legend").inner_text()


def test_what_attends_to_a_mean_has_no_colors_and_the_page_says_why(show):
    shown = show(vision(names=(), read=torch.full((PATCHES,), 1 / PATCHES)))
    column = shown.locator("[data-map=column]")
    assert column.inner_text().split("\n")[1] == "2.86 % each: the query is the mean of all patches"
    assert not column.locator("canvas.heat").is_visible()
    point_at(shown, 2, 3)
    assert column.locator("canvas.heat").is_visible()
    shown.locator("#reset").click()
    column.click()
    settle(shown)
    assert shown.locator("#legend").inner_text().startswith("No colours: 2.86 % each")


def test_a_map_without_attention_has_no_color(show):
    weights = attention(1, HEADS, 4)
    weights[0][:, :, 1:3] = 0  # special tokens take all
    weights[0] /= weights[0].sum(-1, keepdim=True)
    shown = show(sentence(words=("[CLS]", "a", "b", "[SEP]"), weights=weights, maps={}, classes=[]))
    shown.locator("[data-layer='0'][data-head='0']").click()
    settle(shown)
    alpha = "(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, 4, 1).data)"
    assert shown.locator("[data-layer='0'][data-head='0'] canvas").evaluate(alpha)[3::4] == [0] * 4
    assert shown.locator("#legend").inner_text().startswith("No colours: no attention to tokens")


def test_special_tokens_are_apart_from_the_scale_and_show_their_share(show):
    html = page(sentence())
    shown = show(html)
    joint = rollout(inside(html), "mean", 0, 0)
    chips = shown.locator("#stage .special")
    assert float(chips.nth(0).get_attribute("data-share").split()[0]) == pytest.approx(
        100 * joint[0, 0], rel=5e-3
    )
    assert chips.nth(1).evaluate("(chip) => chip.style.backgroundColor") == ""
    assert "Special tokens are set apart" in shown.locator("#clipped").inner_text()


def test_special_tokens_are_colored_where_they_are_not_set_apart(show):
    html = page(sentence(apart=False))
    shown = show(html)
    joint = rollout(inside(html), "mean", 0, 0)
    chips = shown.locator("#stage .special")
    assert all(chip.evaluate("(chip) => chip.style.backgroundColor") for chip in chips.all())
    assert chips.nth(0).get_attribute("data-share") is None
    assert value(shown, "#low") == exactly(joint[0].min())


def test_colors_end_at_a_percentile_where_one_patch_is_far_above(show):
    heat = torch.linspace(0, 1, PATCHES)[None].clone()
    heat[0, 9] = 50.0
    shown = show(vision(maps={"spot": heat}))
    shown.locator("[data-map='method 0']").click()
    settle(shown)
    scaled = scale(heat.view(ROWS, COLS))
    assert value(shown, "#high") == pytest.approx(scaled.high, rel=1e-5)
    assert value(shown, "#low") == pytest.approx(scaled.low, abs=1e-9)
    assert "1 patch above the scale, up to 50.00" in shown.locator("#clipped").inner_text()


def test_the_matrix_has_the_weights_of_all_pairs(show):
    html = page(vision())
    shown = show(html)
    view_as(shown, "matrix")
    joint = rollout(inside(html), "mean", 0, PREFIX)
    box = shown.locator("#matrix canvas").bounding_box()
    shown.mouse.move(box["x"] + 7.5 / TOKENS * box["width"], box["y"] + 4.5 / TOKENS * box["height"])
    settle(shown)
    said = shown.locator("#figure > [role=status].note").inner_text()
    assert said.startswith("patch 0,1 attends to patch 0,4 with ")
    assert float(said.split()[-2]) == pytest.approx(100 * joint[4, 7], rel=5e-3)
    others = joint[:, PREFIX:][~np.eye(TOKENS, dtype=bool)[:, PREFIX:]]
    assert value(shown, "#low") == pytest.approx(others.min(), rel=1e-5)
    shown.locator("#matrix canvas").click()
    settle(shown)
    assert shown.evaluate("vit.state().pinned") in (TOKENS // 2 - 1, TOKENS // 2)  # the middle of the canvas


def test_lines_lead_from_a_word_to_what_it_attends_to(show):
    html = page(sentence())
    shown = show(html)
    view_as(shown, "lines")
    shown.locator("#lines button").nth(3).click()
    settle(shown)
    joint = rollout(inside(html), "mean", 0, 0)
    shares = shown.locator("#lines span.word").evaluate_all("(words) => words.map((w) => w.dataset.share)")
    assert [float(each.split()[0]) for each in shares] == pytest.approx((100 * joint[3]).tolist(), rel=5e-3)
    pixels = "(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
    assert shown.locator("#lines canvas").evaluate(f"(canvas) => ({pixels})(canvas).some(Boolean)")
    assert not shown.locator("#stage").is_visible()


def test_a_map_is_kept_beside_the_main_one_and_follows_the_query(show):
    html = page(vision())
    shown = show(html)
    shown.locator("[data-layer='1'][data-head='2']").click()
    shown.locator("#keep").click()
    shown.locator("#heads .whole").click()
    point_at(shown, 1, 1)
    assert "layer 1, head 2" in shown.locator("#second").inner_text()
    query = PREFIX + COLS + 1
    row = inside(html)[1, 2, query, PREFIX:].copy()
    row[query - PREFIX] = -1  # the tie to itself is out of the scale
    colors = heat_on(shown, "#second").astype(int).sum(-1).flatten()
    colors[query - PREFIX] = 0
    assert colors.argmax() == row.argmax()
    shown.locator("#keep").click()
    settle(shown)
    assert not shown.locator("#second").is_visible()


def test_a_link_opens_the_same_state(show, browser, tmp_path):
    shown = show(vision())
    shown.locator("[data-layer='2'][data-head='1']").click()
    shown.locator("#keep").click()
    fuse(shown, "max")
    slide(shown, 0.5)
    point_at(shown, 1, 1)
    shown.mouse.down()
    shown.mouse.up()
    shown.locator("[data-map=column]").click()
    settle(shown)
    shown.wait_for_timeout(400)
    assert shown.url.split("#")[1] == shown.evaluate("vit.link()") != ""
    state = shown.evaluate("vit.state()")
    with browser.new_context() as context:
        again = context.new_page()
        again.goto(shown.url)
        again.locator("main").wait_for(timeout=20_000)
        opened = again.evaluate("vit.state()")
        assert {**opened, "at": None, "query": None} == {**state, "at": None, "query": None}
        again.goto(
            shown.url.split("#")[0] + "#source=99.7&fusion=constructor&pinned=1e9&view=x&opacity=7&a=b"
        )
        settle(again)
        settle(again)
        assert again.evaluate("vit.link()") == ""


@pytest.mark.parametrize("make", [vision, sentence])
def test_every_view_is_saved_as_svg_and_png(show, make, tmp_path):
    hostile = 'a <b> & "c"'
    shown = show(make(name=hostile, maps={"m": torch.rand(1, PATCHES if make is vision else 7)}))
    names = [radio.get_attribute("value") for radio in shown.locator("#views input").all()]
    for name in names:
        view_as(shown, name)
        for suffix in ("svg", "png"):
            with shown.expect_download() as download:
                shown.locator(f"#{suffix}").click()
            path = tmp_path / f"{name}.{suffix}"
            download.value.save_as(path)
            assert download.value.suggested_filename == f"a_b_c_.{suffix}"
        root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        assert any(hostile in (each.text or "") for each in root.iter())
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width == 2 * int(root.get("width"))
            assert len(np.unique(np.array(image.convert("RGB").resize((64, 64))).reshape(-1, 3), axis=0)) > 20


def test_a_vector_has_the_color_of_every_patch(show):
    shown = show(vision())
    root = ElementTree.fromstring(shown.evaluate("vit.svg()"))
    group = next(each for each in root.iter() if each.get("shape-rendering") == "crispEdges")
    fills = [re.findall(r"\d+", each.get("fill")) for each in group]
    assert np.array(fills, dtype=int).tolist() == heat_on(shown, "#stage").reshape(-1, 3).tolist()


def test_the_strength_of_the_colors_changes_all_maps(show):
    shown = show(vision())
    shown.locator("#opacity").fill("0.25")
    settle(shown)
    for host in ("#stage", "[data-map=row]", "[data-map='method 0']"):
        assert shown.locator(f"{host} canvas.heat").evaluate("(canvas) => canvas.style.opacity") == "0.25"


def test_the_picture_is_shown_large_without_a_map(show):
    shown = show(vision())
    assert not shown.locator("#stage img").is_visible()
    shown.locator("#plain").click()
    settle(shown)
    large, stage = (shown.locator(each).bounding_box() for each in ("#stage img", "#stage"))
    assert large == stage
    assert shown.locator("#plain").get_attribute("aria-pressed") == "true"
    point_at(shown, 1, 2)
    assert shown.locator("#query").inner_text() == "patch 1,2"
    shown.locator("[data-map=row]").click()
    settle(shown)
    assert not shown.locator("#stage img").is_visible()


def reduced(grid=(ROWS, COLS), layers=2) -> View:
    patches = grid[0] * grid[1]
    view = vision(grid=grid, names=("class",), maps={}, lens=None, lens_best=(), classes=[], outliers=None)
    return dataclasses.replace(
        view,
        weights=attention(layers, 1, 1 + patches),
        layers=[10, 11, 12, 13][-layers:],
        rollout=attention(1, 1, 1 + patches, seed=5)[0][0],
        left_out="Two layers of 14.",
    )


def test_a_page_of_few_layers_shows_the_rollout_it_was_given(show):
    view = reduced()
    shown = show(view)
    exact = view.rollout.double()
    assert shown.evaluate("vit.row(9)") == pytest.approx(exact[9].tolist(), abs=1e-3)
    assert shown.evaluate("vit.column(9)") == pytest.approx(exact[:, 9].tolist(), abs=1e-3)
    assert not shown.locator("#controls").is_visible()
    assert "Two layers of 14." in shown.locator("#source-note").inner_text()
    assert "Two layers of 14." in shown.locator("#help").inner_text()
    shown.locator("[aria-label^='Layer 13']").click()
    settle(shown)
    assert shown.evaluate("vit.row(9)") == pytest.approx(view.weights[1][0, 9].tolist(), abs=1e-3)
    assert "layer 13" in shown.locator("#legend").inner_text()


# ---- manners ----


def test_hostile_names_stay_text(show):
    hostile = " and ".join(CANARY)
    labels = {
        "classes": [(hostile, 0.6), ("b", 0.2)],
        "caption": hostile,
        "name": hostile,
    }
    for view in (
        vision(
            prefix_names=[hostile] * 3,
            lens_best=[(hostile, 0.5)] * PATCHES,
            maps={hostile: torch.rand(2, PATCHES)},
            **labels,
        ),
        sentence(words=["[CLS]", hostile, "cat"], maps={hostile: torch.rand(2, 3)}, **labels),
    ):
        shown = show(view)
        shown.locator("[data-map='method 0']").click()
        shown.locator("#stage .token, #prefix .chip").nth(1).click()
        settle(shown)
        assert shown.locator("h1").inner_text() == hostile
        assert shown.title() == hostile
        assert hostile in shown.locator("#shown").inner_text()
        assert hostile in shown.locator("#query").inner_text()
        assert shown.evaluate("typeof window.hacked") == "undefined"
        assert shown.locator("body script").count() == 3
        assert shown.locator("img").count() == (2 if view.grid else 0)  # small, and in the main view


CONTRASTS = """() => {
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const channel = (byte) => linear(byte / 255);
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = numbers(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
  };
  const isText = (node) => node.nodeType === 3 && node.data.trim();
  const ownText = (element) => [...element.childNodes].some(isText);
  return [...document.body.querySelectorAll("*")]
    .filter((element) => ownText(element) && element.checkVisibility() && element.tagName !== "SCRIPT")
    .map((element) => {
      const [a, b] = [numbers(getComputedStyle(element).color), ground(element)].map(luminance);
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 90)];
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(show, scheme):
    for view in (vision(), sentence(target=3, note="First the source.", written=[False] * 5 + [True] * 2)):
        shown = show(view, scheme)
        for radio in shown.locator("#views input").all():
            radio.check()
            settle(shown)
            contrasts = shown.evaluate(CONTRASTS)
            assert len(contrasts) > 30
            assert [each for each in contrasts if each[0] < 4.5] == []


def test_the_page_is_never_wider_than_its_window(show):
    for view in (vision(12, 16, (7, 5), name="a" * 300), sentence(words=["[CLS]", "b" * 200, "[SEP]"])):
        shown = show(view)
        for name in [radio.get_attribute("value") for radio in shown.locator("#views input").all()]:
            view_as(shown, name)
            for width in (360, 740, 800, 1130, 1920):
                shown.set_viewport_size({"width": width, "height": 800})
                assert shown.evaluate("document.documentElement.scrollWidth") <= width, name
        shown.locator("#keep").click()
        settle(shown)
        for width in (360, 800, 1130):
            shown.set_viewport_size({"width": width, "height": 800})
            assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_without_a_head_a_picture_or_maps_is_drawn(show):
    shown = show(
        vision(
            names=(),
            read=torch.full((PATCHES,), 1 / PATCHES),
            picture=None,
            classes=[],
            maps={},
            lens=None,
            lens_best=[],
            outliers=None,
            norms=None,
        )
    )
    point_at(shown, 0, 6)
    assert shown.evaluate("vit.state().query") == 6
    for part in ("#classes", "#methods", "#plain", "#prefix", "#alone", "#norm"):
        assert not shown.locator(part).is_visible()


# ---- speed ----


def timings(shown, grid: tuple[int, int]) -> tuple[float, float]:
    """Median milliseconds of a redraw when the pointer moves, and when a slider does."""
    hover, slider = [], []
    for step in range(15):
        point_at(shown, (3 * step + 1) % grid[0], (5 * step + 2) % grid[1], grid)
        hover.append(shown.evaluate("vit.lastDraw"))
    for step in range(12):  # each stop once, so that none is remembered
        slide(shown, 0.05 * (step + 1))
        slider.append(shown.evaluate("vit.lastDraw"))
    return statistics.median(hover), statistics.median(slider)


@pytest.mark.parametrize(
    ("layers", "heads", "grid", "hover_limit", "slider_limit"),
    [(9, 3, (8, 8), 16, 50), (12, 12, (14, 14), 30, 250)],
)
def test_the_page_answers_at_once(show, record_property, layers, heads, grid, hover_limit, slider_limit):
    names = () if grid == (8, 8) else ("class",)
    patches = grid[0] * grid[1]
    read = torch.full((patches,), 1 / patches) if not names else one_hot(0, 1 + patches)
    shown = show(vision(layers, heads, grid, names, read=read))
    hover, slider = timings(shown, grid)
    record_property("hover_ms", hover)
    record_property("slider_ms", slider)
    print(f"{layers} x {heads}, {grid}: hover {hover:.1f} ms, slider {slider:.1f} ms")
    assert hover <= hover_limit
    assert slider <= slider_limit


def test_a_page_of_1369_patches_answers_at_once(show, record_property):
    grid = (37, 37)
    shown = show(reduced(grid, layers=4))
    hover, fade = [], []
    for step in range(15):
        point_at(shown, (3 * step + 1) % 37, (5 * step + 2) % 37, grid)
        hover.append(shown.evaluate("vit.lastDraw"))
    for step in range(12):
        shown.locator("#opacity").fill(f"{0.05 * (step + 1):.2f}")
        settle(shown)
        fade.append(shown.evaluate("vit.lastDraw"))
    record_property("hover_ms", statistics.median(hover))
    record_property("slider_ms", statistics.median(fade))
    print(f"1,369 patches: hover {statistics.median(hover):.1f} ms, slider {statistics.median(fade):.1f} ms")
    assert statistics.median(hover) <= 16
    assert statistics.median(fade) <= 50


def test_the_maps_are_in_sight_beside_what_they_change(show):
    """At 1,280 x 800 nothing that a click changes is below the window."""
    shown = show(vision(9, 3, (8, 8), names=(), read=torch.full((64,), 1 / 64)))
    shown.set_viewport_size({"width": 1280, "height": 800})
    for host in ("#stage", "#around", "#strip", "#heads"):
        box = shown.locator(host).bounding_box()
        assert box["y"] + box["height"] <= 800, host
    for width in (1280, 1920):
        shown.set_viewport_size({"width": width, "height": 800})
        right = shown.locator("#source").bounding_box()
        assert width - right["x"] - right["width"] < 60
        assert shown.locator("#figure").bounding_box()["x"] < 60
