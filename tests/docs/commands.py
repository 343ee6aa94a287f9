"""The commands that the documentation shows: what a reader would type, found in code blocks and in prose."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

CHECKED = ("vit", "python", "make", "pip", "pytest", ".venv/bin/pytest", "torchrun", "sbatch")
OTHERS = ("cut", "tail", "sed", "git", "cd", "source", "pylint", "time", "docker", "curl")
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}.*\n|^\n)+", re.MULTILINE)
IN_PROSE = re.compile(r"`((?:[A-Z_]+=\S+ )*(?:vit|make|pip|python)\s[^`]+)`")
VARIABLES = re.compile(r"^(?:[A-Z_]+=\S+ )+")  # of the environment, before a command


@dataclass(frozen=True)
class Command:
    """One command: the words of a program and its arguments, without variables before them."""

    page: str
    words: tuple[str, ...]

    @property
    def vit(self) -> list[str] | None:
        """The arguments of `vit`, also where torchrun or sbatch starts it; None for other programs."""
        starts = ("vit", "torchrun", "sbatch", "time")
        if self.words[0] not in starts or "vit" not in self.words:
            return None
        return list(self.words[self.words.index("vit") + 1 :])

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def typed(page: Path) -> list[str]:
    """The lines of a page's code blocks that a reader types."""
    text = page.read_text(encoding="utf-8")
    fenced = [match[3] for match in FENCE.finditer(text) if match[2] in ("", "sh", "bash", "console")]
    indented = [match[0] for match in INDENTED.finditer(FENCE.sub("", text))]
    return [line for block in fenced + indented for line in _typed_in(block)]


def _typed_in(block: str) -> list[str]:
    """All lines that begin with a program; where some have a prompt, those that do."""
    lines = [line.strip() for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    known = (*CHECKED, *OTHERS)
    return prompted or [line for line in lines if VARIABLES.sub("", line).split(" ")[0] in known]


def commands(page: Path) -> list[Command]:
    """The commands in the code blocks of a page, but for forms."""
    lines = [line for line in typed(page) if not is_form(line)]
    return [Command(str(page.relative_to(ROOT)), words) for line in lines for words in split(line)]


def split(line: str) -> list[tuple[str, ...]]:
    """The commands of a line, which `&&`, `|` and `;` divide, without redirections and comments."""
    line = re.sub(r"\s+#\s.*", "", line)
    parts = re.split(r"\s(?:&&|\||;)\s", re.sub(r"\s[<>]\s\S+", "", line))
    return [tuple(shlex.split(VARIABLES.sub("", part))) for part in parts]


def forms(page: Path) -> list[str]:
    """Commands without all of their words, in code and prose: `vit attend MODEL [--method NAME]`."""
    text = page.read_text(encoding="utf-8")
    prose = IN_PROSE.findall(FENCE.sub("", INDENTED.sub("\n", text)))
    return [VARIABLES.sub("", line) for line in [*filter(is_form, typed(page)), *map(_one_line, prose)]]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def is_form(line: str) -> bool:
    """Whether a line shows how a command is formed, and is not itself typed."""
    line = VARIABLES.sub("", line)
    return "..." in line or bool(re.search(r"\s\[[-A-Z]|<\w", line))
