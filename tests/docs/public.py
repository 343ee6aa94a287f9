"""The public names of vit: those of its reference, docs/reference/python.md."""

import ast
import re
from pathlib import Path

import vit

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
PUBLIC = set(re.findall(r"^::: (vit\.[\w.]+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def private_names(source: str) -> list[str]:
    """The names of vit in a program that are not public ones."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vit":
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("vit.")]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "vit":
            found.append(f"vit.{node.attr}")
    return [name for name in found if not is_public(name)]


def is_public(name: str) -> bool:
    """Whether the reference has a name; a package may give it from a module below."""
    package, _, last = name.rpartition(".")
    if package == "vit":
        return last in vit.__all__
    return any(entry.startswith(f"{package}.") and entry.endswith(f".{last}") for entry in PUBLIC)
