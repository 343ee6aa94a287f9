"""`vit data` on data as people have them."""

import csv
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vit.cli import main
from vit.data.datasets import load
from vit.recipes.inspection.origins import suggest_group

SIDE = 41


def scene(seed: int, height: int = SIDE, width: int = SIDE) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def save(folder: Path, name: str, picture: Image.Image) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)
    return file


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """36 wide `a`, 7 of `猫`; a copy with another label, and near and exact copies of train in test."""
    root = tmp_path / "messy"
    for index in range(29):
        save(root, f"train/a/{index}.png", scene(index, SIDE, 2 * SIDE))
    for index in range(7):
        save(root, f"test/a/{index}.png", scene(100 + index, SIDE, 2 * SIDE))
    for index in range(5):
        save(root, f"train/猫/{index}.png", scene(200 + index))
    for index in range(2):
        save(root, f"test/猫/{index}.png", scene(300 + index))
    shutil.copy(root / "train/a/3.png", root / "test/a/copy.png")
    shutil.copy(root / "train/a/4.png", root / "train/猫/copy.png")
    scene(5, SIDE, 2 * SIDE).resize((77, 39)).save(root / "test/a/smaller.jpg", quality=60)
    (root / "train/a/cut.jpg").write_bytes((root / "test/a/smaller.jpg").read_bytes()[:300])
    return root


def described(*words: object, code: int = 0, capture: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capture.readouterr()
    assert main(["data", *map(str, words), "--json"]) == code
    facts: dict[str, Any] = json.loads(capture.readouterr().out)
    return facts


def sentences(facts: dict[str, Any]) -> dict[str, str]:
    return {finding["about"]: finding["sentence"] for finding in facts["findings"]}


def test_facts_of_a_messy_folder(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = described(messy, code=3, capture=capsys)
    assert {"data", "labels", "image_size", "channels", "counts", "skipped"} <= facts.keys()
    assert (facts["data"], facts["labels"], facts["n"]) == (str(messy), ["a", "猫"], 46)
    assert facts["parts"] == {"train": 35, "test": 11}
    assert facts["counts"]["test"] == [8, 2]
    assert sum(map(sum, facts["counts"].values())) == 45  # without the copy
    assert facts["balance"] == {
        "largest": {"label": "a", "n": 38}, "smallest": {"label": "猫", "n": 8},
        "ratio": 38 / 8, "majority_accuracy": 38 / 46,
    }  # fmt: skip
    assert facts["sizes"]["median"] == [SIDE, 2 * SIDE]
    assert (facts["sizes"]["smallest"], facts["sizes"]["largest"]) == ([41, 41], [41, 82])
    assert facts["sizes"]["not_square"] == pytest.approx(39 / 46)
    assert facts["crop"]["mean"] == pytest.approx((38 * 0.5 + (1 - 39 / 77)) / 46)
    exact, near = facts["duplicates"]["exact"], facts["duplicates"]["near"]
    assert exact["copies"] == 2
    assert exact["across_parts"] == [
        {"part": "test", "other": "train", "n": 1, "examples": [["test/a/copy.png", "train/a/3.png"]]}
    ]
    assert exact["two_labels"] == {"n": 1, "examples": [
        [{"path": "train/a/4.png", "label": "a"}, {"path": "train/猫/copy.png", "label": "猫"}]
    ]}  # fmt: skip
    assert near["n"] == 2
    [row] = near["across_parts"]
    assert (row["part"], row["n"], row["examples"][0][0]) == ("test", 1, "test/a/smaller.jpg")
    assert facts["skipped"][0]["path"] == "train/a/cut.jpg"


def test_findings_come_with_their_option_most_serious_first(
    messy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = sentences(described(messy, code=3, capture=capsys))
    order = ["exact_across", "exact_labels", "near_across", "broken", "few", "balance", "crop", "copies"]
    assert list(said) == order
    assert said["exact_across"] == (
        "1 picture of test is also in train, such as test/a/copy.png (train/a/3.png): vit train leaves them "
        "out of test"
    )
    assert "--data.balance weights" in said["balance"]
    assert "--data.resize pad or squash" in said["crop"]
    assert len(load("folder", messy).test or ()) == 10  # what the first sentence says


def test_files_and_contact_sheet(messy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert main(["data", str(messy), "--output", str(output)]) == 3
    assert sorted(file.name for file in output.iterdir()) == ["contact_sheet.png", "files.csv"]
    with (output / "files.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["path"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 47
    copy, smaller = rows["test/a/copy.png"], rows["test/a/smaller.jpg"]
    assert (copy["part"], copy["status"], copy["duplicate_of"]) == ("", "left out", "train/a/3.png")
    assert (smaller["width"], smaller["height"]) == ("77", "39")
    assert smaller["near_duplicate_of"] in ("train/a/5.png", "")
    assert rows["train/a/cut.jpg"]["status"].startswith("truncated")
    with Image.open(output / "contact_sheet.png") as sheet:
        assert sheet.width > 8 * 96
        assert sheet.height > 2 * 96
    capsys.readouterr()
    assert main(["data", str(messy), "--output", str(output)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["data", str(messy), "--output", str(output), "--overwrite"]) == 3
    assert main(["data", str(messy), "--overwrite"]) == 2


def test_data_that_cannot_be_trained_on_are_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, "one/a/1.png", scene(0))
    facts = described(tmp_path / "one", capture=capsys)
    assert facts["counts"] == {"all": [1]}
    assert next(iter(sentences(facts))) == "refusal"
    for index in range(11):
        save(tmp_path, f"one/a/{index}.png", scene(index))
    assert "has one class, 'a'" in sentences(described(tmp_path / "one", capture=capsys))["refusal"]
    assert main(["data", str(tmp_path / "one")]) == 0
    assert "vit train refuses" in capsys.readouterr().out


def test_a_test_part_alone_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(11):
        save(tmp_path, f"data/test/{'ab'[index % 2]}/{index}.png", scene(index))
    save(tmp_path, "data/val/a/1.png", scene(99))
    facts = described(tmp_path / "data", capture=capsys)
    assert facts["parts"] == {"val": 1, "test": 11}
    assert "refusal" in sentences(facts)


def test_group_is_suggested_and_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five slightly different pictures of each of 23 origins."""
    for origin in range(23):
        for number in range(5):
            picture = scene(origin).point(lambda level, number=number: level * (0.9 + number / 50))
            save(tmp_path, f"films/{'ab'[origin % 2]}/film{origin}_{number}.png", picture)
    facts = described(tmp_path / "films", capture=capsys)
    assert facts["duplicates"]["near"]["n"] == 115
    assert facts["duplicates"]["near"]["across_parts"]
    group = facts["duplicates"]["near"]["group"]
    assert f"--data.group '{group}'" in sentences(facts)["near_across"]
    facts = described(tmp_path / "films", "--group", group, capture=capsys)
    assert facts["duplicates"]["near"]["across_parts"] == []
    assert "near_across" not in sentences(facts)


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        ([f"x/anna{i}_{k}.jpg" for i in range(7) for k in range(3)], "x", "anna4"),
        ([f"x/IMG_{i}.jpg" for i in range(21)], "x", None),
        ([f"{i}/c{i}_{k}.jpg" for i in range(7) for k in range(3)], "0123456", None),
        ([f"x/p{i}_jpg.rf.{k}ab.jpg" for i in range(7) for k in range(3)], "x", "p4"),
    ],
    ids=["origin and number", "a camera's numbers", "classes", "Roboflow"],
)  # fmt: skip
def test_names_that_tell_the_origin(names: Sequence[str], labels: str, expected: str | None) -> None:
    group = suggest_group(names, [labels[i // 3 % len(labels)] for i in range(len(names))])
    if expected is None:
        assert group is None
        return
    assert group is not None
    matched = {match[1] for name in names if (match := re.search(group, name))}
    assert len(matched) == 7
    assert any(expected in match for match in matched)


def test_texts_by_the_same_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{'ab'[i % 2]}\tsentence number {i} of many" for i in range(37)]
    train = ["label\ttext", *rows, "a\tSentence, number 1 of many!", "a\tsentence number 2 of many"]
    (tmp_path / "train.tsv").write_text("\n".join(train) + "\n")
    (tmp_path / "test.tsv").write_text("label\ttext\na\tsentence number 4 of many\nb\ta new one\n")
    facts = described(tmp_path, capture=capsys)
    assert (facts["kind"], facts["characters"], facts["n"]) == ("text", 26, 41)
    assert facts["lengths"] == {"median": 26, "smallest": 9, "largest": 27}
    assert facts["duplicates"]["exact"]["copies"] == 2
    assert facts["duplicates"]["exact"]["across_parts"][0]["examples"] == [["test.tsv:2", "train.tsv:6"]]
    assert facts["duplicates"]["near"]["n"] == 2
    assert facts["duplicates"]["near"]["two_labels"]["n"] == 1
    assert "1 text of test is also in train" in sentences(facts)["exact_across"]
    assert main(["data", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["files.csv"]


def test_several_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ["x|y", "x", "y", "z|x"]
    rows = [f"p{i}.png,{labels[i % 4]}" for i in range(43)]
    for index in range(43):
        save(tmp_path, f"data/p{index}.png", scene(index))
    (tmp_path / "data/labels.csv").write_text("path,tags\n" + "\n".join(rows) + "\n")
    options = ("--column", "path", "--label-column", "tags", "--label-separator", "|")
    facts = described(tmp_path / "data", *options, capture=capsys)
    assert facts["labels"] == ["x", "y", "z"]
    assert [sum(column) for column in zip(*facts["counts"].values(), strict=True)] == [32, 22, 10]
    assert facts["balance"]["majority_accuracy"] is None
    assert main(["data", str(tmp_path / "data"), *options]) == 0
