"""From the columns of a table to labels and targets."""

import math

import pytest
import torch

from vit.data.found import ReadOptions
from vit.data.tables.labels import (
    all_labels,
    find_labels,
    label_targets,
    labels_wanted,
    names_of_classes,
    read_label,
)
from vit.errors import VitError


def read(values: dict, class_names: list[str] | None = None, **options: object) -> object:
    given = ReadOptions(**options)  # type: ignore[arg-type]
    columns = find_labels(list(values), given, {"label": class_names or []})
    assert columns is not None
    return read_label(values, columns)[0]


@pytest.mark.parametrize(
    ("value", "label"),
    [("x", "x"), (" x ", "x"), (3, "3"), (3.0, "3"), (1.5, "1.5"), (True, "True"), (-1, "-1"), (["x"], "x")]
    + [(nothing, None) for nothing in (None, "", "  ", math.nan, [])],
)
def test_one_label(value: object, label: str | None) -> None:
    assert read({"label": value}) == label


@pytest.mark.parametrize(("value", "label"), [(0, "neg"), (1, "pos"), (-1, None), (None, None), ("x", "x")])
def test_numbers_of_named_classes(value: object, label: str | None) -> None:
    assert read({"label": value}, ["neg", "pos"]) == label


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2, "has the label 2, expected 0 to 1"),
        (["x", "y"], "has 2 labels, expected one: data.label_separator"),
        ({"a": 1}, "of type dict, expected a string or a number"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_labels_that_cannot_be_read(value: object, said: str) -> None:
    with pytest.raises(VitError, match=said):
        read({"label": value}, ["neg", "pos"])


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("x|y", {"x", "y"}),
        (" x | y |", {"x", "y"}),
        ("x", {"x"}),
        ("", set()),
        (None, set()),
        (["x", "y"], {"x", "y"}),
        ([0, 1], {"neg", "pos"}),
        ([], set()),
    ],
)
def test_several_labels_in_one_field(value: object, labels: set[str]) -> None:
    found = read({"label": value}, ["neg", "pos"], label_separator="|")
    assert found == dict.fromkeys(labels, 1.0)


def test_a_column_for_each_label() -> None:
    def flags(*values: object) -> list[float]:
        names = ("a", "b", "c")
        found = read(dict(zip(("A", "b", "c "), values, strict=True)), label_columns=names)
        assert isinstance(found, dict)
        assert tuple(found) == names
        return list(found.values())

    assert flags("1", "0", "1.0") == [1, 0, 1]
    assert flags(True, False, 0.0) == [1, 0, 0]
    known, *unknown = flags(1, "", -1)
    assert known == 1
    assert all(map(math.isnan, unknown))
    assert read({"a": "", "b": None}, label_columns=("a", "b")) is None
    with pytest.raises(VitError, match="its a is '2', expected 0, 1, or nothing"):
        flags(2, 0, 0)


def test_columns_of_labels() -> None:
    def column(names: list[str], path: str | None = None, **options: object) -> str | None:
        found = find_labels(names, ReadOptions(**options), path=path)  # type: ignore[arg-type]
        return None if found is None else found.column

    assert column(["text", "Class", " LABEL "]) == " LABEL "
    assert column(["text", "mood"]) is None
    assert column(["text", "mood"], label_column="Mood") == "mood"
    assert column(["text", "label"], label_column="mood") is None
    assert column(["id", "breed"], "id") == "breed"
    assert column(["id", "breed", "split"], "id") == "breed"
    assert column(["file_name", "text"], "file_name") is None, "captions"
    assert column(["id", "breed", "age"], "id") is None
    with pytest.raises(VitError, match=r"no column 'b', which --data.label_columns names"):
        column(["text", "a"], label_columns=("a", "b"))
    assert "--data.label_column names another" in labels_wanted(ReadOptions())


def test_names_beside_numbers() -> None:
    assert names_of_classes([("0", "neg"), ("1", "pos"), ("0", None), (None, "x"), ("-1", "none")]) == {
        "0": "neg",
        "1": "pos",
    }
    for pairs in (
        [("0", "neg"), ("0", "pos")],
        [("0", "neg"), ("1", "neg")],
        [("0", "neg"), ("1", None)],
        [("a", "neg"), ("b", "pos")],
    ):
        assert names_of_classes(pairs) == {}


def test_targets() -> None:
    assert all_labels(["b", "a", "b"], ReadOptions()) == ["a", "b"]
    targets = label_targets(["b", "a", "b"], ["a", "b"], several=False)
    assert targets.dtype == torch.int64
    assert targets.tolist() == [1, 0, 1]
    several = [{"b": 1.0}, {}, {"a": math.nan, "b": 0.0, "c": 1.0}]
    assert all_labels(several, ReadOptions(label_separator=",")) == ["a", "b", "c"]
    assert all_labels(several, ReadOptions(label_columns=("c", "a"))) == ["c", "a"]
    targets = label_targets(several, ["a", "b", "c"], several=True)
    assert targets.dtype == torch.float32
    wanted = torch.tensor([[0, 1, 0], [0, 0, 0], [math.nan, 0, 1]])
    torch.testing.assert_close(targets, wanted, equal_nan=True)
    assert label_targets([], ["a", "b", "c"], several=True).shape == (0, 3)
