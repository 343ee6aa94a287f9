"""Each family gives what its peer gives, and `docs/families.md` says so of every one that can be imported."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

import vit
from vit.weights.huggingface.families import FAMILIES
from vit.weights.timm.families import roster

from .family_measures import measured
from .family_table import BOUNDS, COLUMNS, ROWS, Row, found

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.system)


@cache
def on_the_page() -> dict[str, list[str]]:
    """System -> the cells of its row."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    begin = rows.index(list(COLUMNS))
    systems = {cells[0]: cells for cells in rows[begin + 2 :] if len(cells) == len(COLUMNS)}
    assert len(systems) == len(rows) - begin - 2, "a system has two rows, or a row too few cells"
    return systems


@every_row
def test_the_difference_is_rounding_and_the_page_has_the_row(row: Row) -> None:
    cells, differences = found(row)
    for dtype, bound in BOUNDS.items():
        assert differences[dtype] <= bound
    of_page = on_the_page()[row.system]
    assert tuple(of_page[: len(cells)]) == cells, "python -m tests.weights.family_table prints the table"
    for figure, bound in zip(of_page[len(cells) :], BOUNDS.values(), strict=True):
        assert re.fullmatch(r"0|\d\.\de-\d+", figure)
        assert float(figure) <= bound


def test_the_page_has_these_rows_alone() -> None:
    assert [*on_the_page()] == [row.system for row in ROWS]


def test_every_family_has_a_row() -> None:
    peers = "\n".join(cells[COLUMNS.index("peer")] for cells in on_the_page().values())
    assert {name for name in FAMILIES if f"transformers `{name}`: " not in peers} == set()
    classes = {kind.__name__ for kind in roster.FAMILIES}
    assert {name for name in classes if f"timm `{name}`: " not in peers} == set()


def spoiled(load: Callable[..., Any]) -> Callable[..., Any]:
    """An importer that gets one weight of the last block wrong, by one part in a thousand."""

    def wrong(*arguments: Any, **options: Any) -> Any:
        ours = load(*arguments, **options)
        *_, last = ours.encoder.blocks
        last.attention.output.weight.mul_(1.001)
        return ours

    return wrong


@pytest.fixture
def importers_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("from_timm", "from_huggingface"):
        monkeypatch.setattr(vit, name, spoiled(getattr(vit, name)))


@pytest.mark.parametrize("row", [row for row in ROWS if row.peer is None], ids=lambda row: row.system)
@pytest.mark.usefixtures("importers_are_wrong")
def test_a_weight_that_is_slightly_wrong_is_seen(row: Row) -> None:
    _, difference = measured(row.measure, torch.float64)
    assert difference > 1e5 * BOUNDS[torch.float64]
