"""The messages of docs/troubleshooting.md are messages of the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
ROW = re.compile(r"^\| `(.+?)` \|", re.MULTILINE)
MESSAGES = [message for message in ROW.findall(PAGE.read_text(encoding="utf-8")) if " " in message]
LEAST = 12  # characters of a template that are not filled in: fewer would fit anything


def literals(node: ast.AST) -> list[str | None] | None:
    """The parts of a string in the source, None for what is filled in; None for no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
    return None


def patterns() -> Iterator[re.Pattern[str]]:
    for file in sorted((ROOT / "vit").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            parts = literals(node)
            if parts is not None and sum(len(part) for part in parts if part) >= LEAST:
                yield re.compile("".join("(.*)" if part is None else re.escape(part) for part in parts))


@pytest.fixture(scope="module")
def templates() -> list[re.Pattern[str]]:
    """Every string of vit, as a pattern that its messages match."""
    return list(patterns())


@pytest.mark.parametrize("message", MESSAGES)
def test_the_message_exists(message: str, templates: list[re.Pattern[str]]) -> None:
    assert any(template.fullmatch(message) for template in templates)


def test_a_message_that_does_not_exist_is_found(templates: list[re.Pattern[str]]) -> None:
    assert len(MESSAGES) > 40
    assert not any(template.fullmatch("the computer is on fire: put it out") for template in templates)
