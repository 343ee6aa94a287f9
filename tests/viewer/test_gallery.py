"""The gallery of a folder of overlays: its content, and its manners in a real browser."""

import json
import re
import shutil
from typing import Any

import pytest
from PIL import Image

from vit.viewer.gallery import MOST, gallery, true_label

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu"]
HOSTILE = '</script><img src=x onerror="window.hacked=1">#?%20 图.png'


def rows(count: int) -> list[dict[str, Any]]:
    """Rows of `attend.csv`: every third a cat, one of them in a folder of dogs, and one that is broken."""
    made = []
    for index in range(count):
        label = ("cat", "dog", "ship")[index % 3]
        folder = "dog" if index == 3 else label
        made.append({
            "path": f"{folder}/picture {index}.png", "status": "ok", "error": "", "label": label,
            "score": 0.5 + index / (2 * count), "explained": None, "overlay": "one.png", "page": None,
        })  # fmt: skip
    bad = {"status": "truncated", "error": "image file is truncated"}
    made[4] |= bad | dict.fromkeys(("label", "score", "overlay"))
    return made


def facts(document: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', document, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_rows_and_truth() -> None:
    found = facts(gallery(rows(7), caption="model · rollout", labels=["cat", "dog", "ship"], count=11))
    assert found["count"] == 11
    assert found["caption"] == "model · rollout"
    assert "page" not in found["fields"]  # no row has one
    first = dict(zip(found["fields"], found["rows"][3], strict=True))
    assert (first["path"], first["label"], first["truth"]) == ("dog/picture 3.png", "cat", "dog")


@pytest.mark.parametrize(
    ("path", "truth"),
    [
        ("cat/a.png", "cat"),
        ("cat/dog/a.png", "dog"),
        ("a\\cat\\b.png", "cat"),
        ("cat", None),
        ("x/cat.png", None),
    ],
)
def test_true_label(path: str, truth: str | None) -> None:
    assert true_label(path, {"cat", "dog"}) == truth


def test_no_more_than_a_browser_bears() -> None:
    found = facts(gallery(({"path": str(index)} for index in range(MOST + 5)), count=MOST + 5))
    assert (len(found["rows"]), found["count"]) == (MOST, MOST + 5)


def test_an_empty_folder() -> None:
    assert facts(gallery([]))["rows"] == []


@pytest.fixture(scope="module")
def browser() -> Any:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless=new", "--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def shown(browser: Any, tmp_path: Any) -> Any:
    """A gallery of 10,000 rows, in a browser that must not complain."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "other").mkdir()
    listed = rows(10_000)
    listed[0] |= {"path": HOSTILE, "overlay": "other/a#b %20?.png", "page": "other/a#b.html"}
    for name in ("one.png", "other/a#b %20?.png"):
        Image.new("RGB", (40, 20), "red").save(folder / name)
    (folder / "other" / "a#b.html").write_text("<title>the page</title>")
    (folder / "index.html").write_text(gallery(listed, labels=["cat", "dog", "ship"]), encoding="utf-8")
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((folder / "index.html").as_uri())
    page.wait_for_selector(".cell")
    yield page
    assert not complaints
    assert page.evaluate("window.hacked") is None
    context.close()


def test_only_cells_in_sight_are_in_the_document(shown: Any) -> None:
    assert shown.locator(".cell").count() < 100
    assert shown.locator(".cell img").first.evaluate("image => image.complete && image.naturalWidth") == 40
    shown.evaluate("scrollTo(0, document.body.scrollHeight)")
    shown.get_by_text("picture 9999.png").wait_for()
    assert shown.locator(".cell").count() < 100


def test_filters_and_order(shown: Any) -> None:
    shown.get_by_label("Mistakes only").check()
    assert shown.locator("#count").inner_text() == "1 of 10,000"
    assert "not dog" in shown.locator(".cell").inner_text()
    shown.get_by_label("Mistakes only").uncheck()
    shown.get_by_label("Unreadable only").check()
    assert "image file is truncated" in shown.locator(".cell").inner_text()
    shown.get_by_label("Unreadable only").uncheck()
    shown.locator("#order").select_option("Most certain first")
    assert "picture 9999.png" in shown.locator(".cell").first.inner_text()
    shown.locator("#label").select_option("dog")
    assert shown.locator("#count").inner_text() == "3,332 of 10,000"
    shown.reload()  # the address holds what was chosen
    assert shown.locator("#count").inner_text() == "3,332 of 10,000"


def test_keyboard(shown: Any) -> None:
    shown.locator(".cell").first.focus()
    shown.keyboard.press("ArrowRight")
    shown.keyboard.press("Enter")
    assert shown.locator("dialog h2").inner_text() == "dog/picture 1.png"
    shown.keyboard.press("ArrowRight")
    assert shown.locator("dialog h2").inner_text() == "ship/picture 2.png"
    shown.keyboard.press("Escape")
    shown.locator(".cell[data-index='2']:focus").wait_for()  # the dialog's event comes after the key
    assert shown.evaluate("document.activeElement.dataset.index") == "2"
    shown.keyboard.press("End")
    assert shown.evaluate("document.activeElement.dataset.index") == "9999"
    shown.keyboard.press("/")
    assert shown.evaluate("document.activeElement.id") == "find"
    shown.keyboard.type("picture 77.png")
    assert shown.locator("#count").inner_text() == "1 of 10,000"


def test_a_picture_opens_its_page(shown: Any) -> None:
    shown.locator(".cell").first.click()
    shown.wait_for_url("**/other/a%23b.html")
    assert shown.title() == "the page"
    shown.go_back()
    shown.wait_for_selector(".cell")
