"""The page in a real browser: every way in, keyboard, hostile names, light and dark, a phone's width."""

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .serving import Server, picture, starting

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install playwright"
)

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>.png'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a server's page, and watch that it neither complains nor asks anything of others."""
    contexts, complaints, urls, hosts = [], [], [], set()

    def show(url: str, scheme: str = "light", width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, **options
        )
        contexts.append(context)
        hosts.add(url.rstrip("/").partition("://")[2].partition("/")[0])
        shown = context.new_page()
        shown.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("request", lambda request: urls.append(request.url))
        shown.goto(url)
        return shown

    yield show
    for context in contexts:
        context.close()
    # That a request was refused is in the console of every browser; what the page makes of it is tested.
    assert [line for line in complaints if "status of 4" not in line] == []
    asked = {url.partition("://")[2].partition("/")[0] for url in urls if url.startswith("http")}
    assert asked <= hosts


def file(name: str, content: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": content}


def wait_for_viewer(page: Any) -> Any:
    page.locator("#attention:not([hidden])").wait_for(timeout=20_000)
    frame = page.frame_locator("#viewer")
    frame.locator("main").wait_for(timeout=20_000)
    return frame


def test_upload_prediction_and_hover(server: Server, show: Callable[..., Any]) -> None:
    page = show(server.url)
    assert page.locator("#model").inner_text() == "cifar10"
    page.set_input_files("#file", file("图片.png", picture(1)))
    frame = wait_for_viewer(page)
    assert page.locator("#name").inner_text() == "图片.png"
    assert page.locator("#labels li").count() == 5
    scores = [
        float(text.split()[0]) for text in page.locator("#labels li span:nth-child(2)").all_inner_texts()
    ]
    assert scores == sorted(scores, reverse=True)
    assert page.locator("#preview").evaluate("image => image.naturalWidth") == 53
    stage = frame.locator("#stage")
    stage.hover(position={"x": 5, "y": 5})
    assert frame.locator("#cell").inner_text() != "—"
    # The frame is as high as what is in it, so that one page scrolls and not two.
    heights = page.locator("#viewer").evaluate(
        "frame => [frame.clientHeight, frame.contentDocument.documentElement.scrollHeight]"
    )
    assert abs(heights[0] - heights[1]) <= 2


PASTE = """([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  const transfer = new DataTransfer();
  if (bytes.length) transfer.items.add(new File([bytes], name, { type: "image/png" }));
  else transfer.setData("text/plain", "only words");
  const kind = KIND;
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
    : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_paste_and_drop(server: Server, show: Callable[..., Any], way: str) -> None:
    page = show(server.url)
    page.locator("#picture-form:not([hidden])").wait_for()
    page.evaluate(PASTE.replace("KIND", f'"{way}"'), ["", ""])
    assert "picture" in page.locator("#trouble").inner_text()
    page.evaluate(PASTE.replace("KIND", f'"{way}"'), [base64.b64encode(picture(1)).decode(), "way.png"])
    wait_for_viewer(page)
    assert page.locator("#trouble").is_hidden()
    assert page.locator("#labels li").count() == 5


def test_keyboard_alone(server: Server, show: Callable[..., Any], tmp_path: Path) -> None:
    """Tab reaches the button, Space opens the dialog, and Tab goes on into the viewer."""
    (tmp_path / "a.png").write_bytes(picture(1))
    page = show(server.url)
    page.locator("#picture-form:not([hidden])").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    outline = page.locator(".button").first.evaluate("button => getComputedStyle(button).outlineStyle")
    assert outline == "solid"
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    for _ in range(10):  # a busy machine loses one now and then
        page.keyboard.press("Space")
        page.wait_for_timeout(300)
        if choosers:
            break
    choosers[0].set_files(tmp_path / "a.png")
    wait_for_viewer(page)
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "viewer":
            break
    assert page.evaluate("document.activeElement.id") == "viewer"
    inside = page.frames[1].evaluate("document.activeElement.id")
    assert inside == "reset"


def test_a_picture_of_20_megabytes_and_one_that_is_too_large(
    server: Server, show: Callable[..., Any], tmp_path: Path
) -> None:
    page = show(server.url)
    for name, size in (("large.bmp", (2700, 2600)), ("huge.bmp", (3600, 3500))):
        (tmp_path / name).write_bytes(picture(1, "BMP", size=size))
    assert (tmp_path / "large.bmp").stat().st_size > 20 * 2**20
    page.set_input_files("#file", tmp_path / "large.bmp")
    wait_for_viewer(page)
    page.set_input_files("#file", tmp_path / "huge.bmp")
    page.locator("#trouble:not([hidden])").wait_for()
    assert "this server takes 32.0 MiB" in page.locator("#trouble").inner_text()


def test_broken_pictures_are_said_in_words(server: Server, show: Callable[..., Any]) -> None:
    page = show(server.url)
    page.set_input_files("#file", file("broken.png", picture(1)[:-700]))
    page.locator("#trouble:not([hidden])").wait_for()
    assert "truncated" in page.locator("#trouble").inner_text()
    assert page.locator("#answer").is_hidden()
    page.set_input_files("#file", file("good.png", picture(1)))
    wait_for_viewer(page)
    assert page.locator("#trouble").is_hidden()


def test_a_hostile_name_is_text(server: Server, show: Callable[..., Any]) -> None:
    page = show(server.url)
    page.set_input_files("#file", file(HOSTILE, picture(1)))
    frame = wait_for_viewer(page)
    assert "<script>" in page.locator("#name").inner_text()
    assert page.locator("main img").count() == 1  # the preview
    assert page.evaluate("window.hacked") is None
    assert frame.locator("body").evaluate("() => window.hacked") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_in_light_and_dark_and_on_a_phone(
    server: Server, show: Callable[..., Any], scheme: str, width: int
) -> None:
    page = show(server.url, scheme, width)
    page.set_input_files("#file", file("a" * 180 + ".png", picture(1)))
    frame = wait_for_viewer(page)
    wide = "() => document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(wide)
    assert frame.locator("body").evaluate(wide)
    paper = "getComputedStyle(document.body).backgroundColor"
    outer, inner = page.evaluate(paper), frame.locator("body").evaluate(f"() => {paper}")
    assert outer == inner  # one paper
    assert (outer == "rgb(19, 21, 25)") == (scheme == "dark")


def test_a_photo_can_be_taken_on_a_phone(server: Server, show: Callable[..., Any]) -> None:
    page = show(server.url, width=390, has_touch=True, is_mobile=True)
    camera = page.locator("#camera")
    camera.wait_for()
    assert camera.get_attribute("capture") == "environment"
    page.set_input_files("#camera", file("photo.png", picture(1)))
    wait_for_viewer(page)


def test_a_newer_picture_replaces_an_older_one(server: Server, show: Callable[..., Any]) -> None:
    page = show(server.url)
    for seed in range(4):
        page.set_input_files("#file", file(f"{seed}.png", picture(seed)))
    wait_for_viewer(page)
    page.locator("#state:empty").wait_for(state="attached")
    assert page.locator("#name").inner_text() == "3.png"
    assert page.frame_locator("#viewer").locator("#name").inner_text() == "3.png"


@pytest.mark.slow
def test_texts(texts_run: Path, show: Callable[..., Any]) -> None:
    with starting() as start:
        page = show(start(str(texts_run)).url)
        page.locator("#text").fill("a fine film <b>, take 3")
        page.keyboard.press("Control+Enter")
        frame = wait_for_viewer(page)
        assert page.locator("#labels li").count() == 2
        assert "film" in frame.locator("#stage").inner_text()
        page.locator("#text").fill("  ")
        page.locator("#text-form button").click()
        assert "no text" in page.locator("#trouble").inner_text()


@pytest.mark.slow
def test_a_token_is_asked_for(show: Callable[..., Any]) -> None:
    with starting() as start:
        page = show(start("cifar10", "--token", "a token").url)
        page.locator("#token").fill("wrong")
        page.keyboard.press("Enter")
        page.locator("#trouble:not([hidden])").wait_for()
        page.locator("#token").fill("a token")
        page.keyboard.press("Enter")
        page.locator("#picture-form:not([hidden])").wait_for()
        assert page.locator("#trouble").is_hidden()
        page.set_input_files("#file", file("a.png", picture(1)))
        wait_for_viewer(page)
