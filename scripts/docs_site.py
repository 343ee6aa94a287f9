"""What mkdocs adds to the pages of `docs/` (a hook of mkdocs.yml).

The notebooks, CHANGELOG.md and CONTRIBUTING.md become pages, and `reference/cli.md` gets the help of every
verb. Links out of `docs/`, which are right in a checkout, are turned to these pages.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

from vit.cli import VERBS

ROOT = Path(__file__).parents[1]
HELP_GOES_HERE = "<!-- the help of every verb -->"
FILE_NAME = re.compile(r"\[(?:docs/)?([\w/]+\.md)\]\(")  # as the text of a link: right in a checkout
LONGEST_USAGE = 12  # lines
TEXTS = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files outside `docs/`."""
    for page, source in TEXTS.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for page, content in notebook_pages(notebook).items():
            files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links out of `docs/`, name pages by their titles, and fill in the help."""
    markdown = re.sub(r"\]\(((?:\.\./)*)\.\./notebooks/(\w+)\.ipynb", r"](\1notebooks/\2.md", markdown)
    markdown = FILE_NAME.sub(lambda match: f"[{title_of(match[1], files)}](", markdown)
    if HELP_GOES_HERE in markdown:
        markdown = markdown.replace(HELP_GOES_HERE, help_of_verbs())
    return markdown


def title_of(name: str, files: Files) -> str:
    """The title of a page in the navigation; the name itself where it is no page."""
    file = files.get_file_from_path(name)
    return str(file.page.title) if file is not None and file.page is not None else name


def notebook_pages(notebook: Path) -> dict[str, str | bytes]:
    """A notebook as a page and the pictures of its outputs, by their paths in the site."""
    text, resources = MarkdownExporter().from_filename(str(notebook))
    folder = f"notebooks/{notebook.stem}_files"
    pictures = {f"{folder}/{name}": content for name, content in resources["outputs"].items()}
    for name in resources["outputs"]:
        text = text.replace(f"]({name})", f"]({notebook.stem}_files/{name})")
    return {f"notebooks/{notebook.stem}.md": text, **pictures}


def help_of_verbs() -> str:
    """The help of every verb, one after the other."""
    return "\n\n".join(f"## vit {verb}\n\n```text\n{help_of(verb)}\n```" for verb in VERBS)


def help_of(verb: str) -> str:
    """What `vit VERB --help` prints; of a usage of many lines, which the options repeat, the first one."""
    command = [sys.executable, "-m", "vit.cli", verb, "--help"]
    environment = os.environ | {"COLUMNS": "92", "NO_COLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
    usage, empty_line, rest = done.stdout.replace("\b", "").strip().partition("\n\n")
    lines = usage.splitlines()
    return (f"{lines[0]} ..." if len(lines) > LONGEST_USAGE else usage) + empty_line + rest
