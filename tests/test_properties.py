"""What must hold for any input: configs, tables, masks, pages."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vit.config import Config
from vit.config_file import resolve_config, stored_config, to_yaml
from vit.core.attention import attend, attention_weights
from vit.errors import UsageError
from vit.evaluation.report import write_report
from vit.jobs.table import WRITERS

IN_A_FOLDER = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KEYS = st.sampled_from([*vars(Config()), *vars(Config().data), "class_path", "init_args", "${a}"]) | st.text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@IN_A_FOLDER
@given(content=st.dictionaries(KEYS, VALUES, max_size=4).map(yaml.safe_dump) | st.text() | st.binary())
def test_any_config_is_read_or_refused(content: str | bytes, tmp_path: Path) -> None:
    file = tmp_path / "any.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    try:
        resolve_config(["--config", str(file)])
        found = stored_config(file)
    except UsageError:
        return
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(found), encoding="utf-8")
    assert to_yaml(stored_config(again)) == to_yaml(found)


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))) | st.binary().map(
    lambda name: name.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


@IN_A_FOLDER
@given(names=st.lists(NAMES, max_size=5), scores=st.floats(allow_nan=False))
def test_any_name_comes_back_from_a_table(names: list[str], scores: float, tmp_path: Path) -> None:
    columns: dict[str, type] = {"path": str, "score": float}
    rows = [{"path": name, "score": scores} for name in names]
    WRITERS[".csv"](tmp_path / "t.csv", columns, iter(rows))
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        found = list(csv.DictReader(stream))
    assert [row["path"] for row in found] == names
    assert [float(row["score"]) for row in found] == [scores] * len(names)
    WRITERS[".jsonl"](tmp_path / "t.jsonl", columns, iter(rows))
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["path"] for line in lines if line] == names


@settings(deadline=None, max_examples=60)
@given(mask=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=3, max_size=3))
def test_any_mask_gives_shares_or_nothing(mask: list[list[bool]]) -> None:
    allowed = torch.tensor(mask)  # (N, M)
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(2, 2, n, 7, generator=generator) for n in (3, 5, 5))
    query.requires_grad_()
    weights = attention_weights(query, key, allowed[None, None], 0.4)
    torch.testing.assert_close(weights.sum(-1), allowed.any(-1).float().expand(2, 2, 3))
    assert not weights[..., ~allowed].any()
    mixed = attend(query, key, value, allowed[None, None], 0.4)
    torch.testing.assert_close(mixed, weights @ value)
    mixed.sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()


class Texts(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@IN_A_FOLDER
@given(
    word=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
    | st.sampled_from(["</pre><script>", "<b onclick=x>"])
)
def test_any_word_stays_a_word_in_the_report(word: str, tmp_path: Path) -> None:
    def page(word: str) -> Texts:
        file = write_report(
            tmp_path,
            title=word,
            facts={word: word},
            rows=[],
            figures={},
            config_yaml=word,
            environment={word: word},
        )
        found = Texts()
        found.feed(file.read_text(encoding="utf-8"))
        return found

    plain, found = page("word"), page(word)
    assert (found.tags, found.attributes) == (plain.tags, plain.attributes)
    assert found.text.count(word) >= 6


@pytest.mark.parametrize("size", [10, 100_000])
def test_aliases_do_not_grow(size: int, tmp_path: Path) -> None:
    file = tmp_path / "laughs.yaml"
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    file.write_text("\n".join(lines) + "\n" + "# " * size)
    with pytest.raises(UsageError, match="unknown key a0"):
        resolve_config(["--config", str(file)])
