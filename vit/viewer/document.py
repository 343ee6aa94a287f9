"""HTML documents that hold their own style, script and data, and run no other script."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Replace each `{{name}}` of a template by its part.

    In one pass, so that placeholders inside inserted text are not replaced.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda placeholder: parts[placeholder[1]], template)


def source_hash(text: str) -> str:
    """The source expression of a Content-Security-Policy that allows exactly `text`."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def policy(script: str, style: str, images: str) -> str:
    """A Content-Security-Policy under which one script and one style may run, and nothing is sent anywhere.

    Anything that a file name or a label injected would have another hash.

    Args:
        script: Its text.
        style: Its text.
        images: Source expressions of the images.
    """
    return (
        f"default-src 'none'; script-src '{source_hash(script)}'; style-src '{source_hash(style)}'; "
        f"img-src {images}; base-uri 'none'; form-action 'none'"
    )


def json_for_html(value: object) -> str:
    """JSON in plain ASCII that can neither close nor open an HTML element.

    Raises:
        ValueError: NaN or infinity.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # escapes all that is not ASCII
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def asset(file: Path) -> str:
    """The text of a file of a page, with the line ends that an HTML parser leaves."""
    return file.read_text(encoding="utf-8")


def with_palette(style: Path) -> str:
    """A style sheet after the colors that all pages share."""
    return asset(Path(__file__).parent / "palette.css") + asset(style)
