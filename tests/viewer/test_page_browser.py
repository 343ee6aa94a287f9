"""The page in a real browser: its figures against a float64 reference, its manners, its speed."""

import base64
import json
import re
import shutil
import statistics
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from vit.viewer import View, page
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
    return level.astype(np.float64) * scale


def rollout(weights: np.ndarray, fusion: str, discard: float, prefix: int) -> np.ndarray:
    """A_L ... A_1 in float64 from weights (L, H, N, N), as one product of whole matrices."""
    tokens = weights.shape[-1]
    joint = np.eye(tokens)
    for layer in weights:
        fused = getattr(np, fusion)(layer, axis=0)
        inner = fused[prefix:, prefix:]
        order = np.sort(inner, axis=None)
        count = int(discard * inner.size + 1e-9)
        if count:
            assert order[count] - order[count - 1] > 1e-7  # a tie would leave the choice open
            inner[inner <= order[count - 1]] = 0
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
    assert shown.locator("#value-row").inner_text() == np.format_float_positional(
        joint[query, key], precision=4, unique=False, fractional=False, trim="k"
    )
    assert shown.locator("#norm").inner_text().endswith("outlier")
    shown.locator("#prefix .chip").nth(1).hover()
    settle(shown)
    assert value(shown, "#value-row") == exactly(joint[query, 1])


def test_raw_heads_are_within_half_a_step_of_the_exact_weights(show):
    view = vision()
    shown = show(view)
    for layer, head in ((0, 2), (3, 1)):
        shown.locator(f"[data-layer='{layer}'][data-head='{head}']").click()
        settle(shown)
        exact = view.weights[layer][head].double()
        step = exact.amax(1) / 255
        for query in (1, PREFIX + 30):
            row = torch.tensor(shown.evaluate("(query) => vit.row(query)", query), dtype=torch.float64)
            assert ((row - exact[query]).abs() <= step[query] / 2 + 1e-8).all()
            column = torch.tensor(shown.evaluate("(key) => vit.column(key)", query), dtype=torch.float64)
            assert ((column - exact[:, query]).abs() <= step / 2 + 1e-8).all()
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
    shown.locator("#stage .token").nth(1).hover()
    settle(shown)
    assert shown.locator("#alone-line").inner_text().split("\n") == ["The model says next", "sat, 80.0 %"]
    assert shown.locator("[data-map='lens'] b").inner_text() == "comes next"


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
        assert shown.locator("img").count() == (1 if view.grid else 0)


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
        contrasts = show(view, scheme).evaluate(CONTRASTS)
        assert len(contrasts) > 30
        assert [each for each in contrasts if each[0] < 4.5] == []


def test_the_page_is_never_wider_than_its_window(show):
    for view in (vision(12, 16, (7, 5), name="a" * 300), sentence(words=["[CLS]", "b" * 200, "[SEP]"])):
        shown = show(view)
        for width in (360, 740, 800, 1130, 1920):
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
