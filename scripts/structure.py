"""Measure how the package is divided: lines per package, the longest module and function, most arguments.

example:
  python scripts/structure.py
  python scripts/structure.py ANOTHER_CHECKOUT
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
ISINSTANCE_OF_TOWER = re.compile(r"isinstance\([^)]*(?:VisionTransformer|TextTransformer)")


def main() -> None:
    root = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[1])
    files = sorted((root / "vit").rglob("*.py"))
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    packages: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for file in files:
        inside = file.relative_to(root / "vit").parts
        package = inside[0] if len(inside) > 1 else "(top level)"
        packages[package] += lines[file]
        modules[package] += 1
    for package, total in sorted(packages.items()):
        print(f"{package:14} {modules[package]:3} files {total:6,} lines")
    print(f"{'in all':14} {len(files):3} files {sum(lines.values()):6,} lines")
    folder, count = Counter(file.parent.relative_to(root) for file in files).most_common(1)[0]
    print(f"most modules in one folder: {count} in {folder}")
    longest = max(files, key=lines.__getitem__)
    print(f"longest module: {lines[longest]} lines, {longest.relative_to(root)}")
    found = [(function, file) for file in files for function in functions(file)]
    function, file = max(found, key=lambda pair: length(pair[0]))
    print(f"longest function: {length(function)} lines, {function.name} in {file.relative_to(root)}")
    function, file = max(found, key=lambda pair: arguments(pair[0]))
    print(f"most arguments: {arguments(function)}, {function.name} in {file.relative_to(root)}")
    asked = sum(len(ISINSTANCE_OF_TOWER.findall(file.read_text(encoding="utf-8"))) for file in files)
    print(f"isinstance on towers: {asked}")


def functions(file: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Lines from `def` to the end, docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def arguments(function: Function) -> int:
    """Without `self` and `cls`."""
    names = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in names)


if __name__ == "__main__":
    main()
