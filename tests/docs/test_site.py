"""The documentation builds as a site without a warning and without a network, and has every public name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vit
from vit.cli import VERBS

from .commands import PAGES, ROOT

LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
# What a browser fetches by itself.
FETCHED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*?\ssrc=\"?(?:https?:)?//|url\((?:https?:)?//")
LINKED = re.compile(r"<link\b[^>]*?\shref=\"?(?:https?:)?//[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for library in ("material", "mkdocstrings_handlers", "nbconvert"):
        pytest.importorskip(library, reason="the site needs the extra docs: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(files) > 20
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not FETCHED.search(text), file
        assert not LINKED.search(text), file


def test_every_page_is_there(site: Path) -> None:
    pages = [page for page in PAGES if "docs" in page.parts]
    pages += sorted((ROOT / "notebooks").glob("*.ipynb"))
    for page in pages:
        place = page.relative_to(ROOT / "docs" if "docs" in page.parts else ROOT)
        assert (site / place).with_suffix(".html").is_file()


def test_every_verb_and_every_public_name_is_there(site: Path) -> None:
    commands = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"usage: vit {verb} " not in commands] == []
    names = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert [name for name in vit.__all__ if f'id="vit.{name}"' not in names] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Those of `docs/` are checked by the build."""
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_figures_of_the_readme_are_those_of_the_docs() -> None:
    rows = re.findall(
        r"^\| .* \| .*\d.* \| .*\d.* \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M
    )
    assert len(rows) >= 8
    figures = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert [row for row in rows if row.replace("docs/", "") not in figures] == []
