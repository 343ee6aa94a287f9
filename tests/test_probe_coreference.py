import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import vit
from vit.errors import VitError
from vit.text import TextTransformer, Tokenizer, train_tokenizer
from vit.weights.models import make_tower

pytest.importorskip("tokenizers")

TWINS = (
    "The {} chased the {} because it was hungry.\tit\tThe {}\tthe {}\tThe {}",
    "The {} chased the {} because it was edible.\tit\tThe {}\tthe {}\tthe {}",
)
ANIMALS = ("cat", "dog", "owl", "fox", "hen", "eel", "ape", "bat")


@pytest.fixture(scope="module")
def probe(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("probe_coreference")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [TWINS[0].partition("\t")[0].format(*pair) for pair in pairwise(ANIMALS)]
    return train_tokenizer(texts, vocabulary=60, length=128)


@pytest.fixture
def small(tokenizer: Tokenizer) -> TextTransformer:
    sizes = {"length": 128, "width": 35, "depth": 3, "heads": 5, "segments": 2}
    model: Any = make_tower({"tower": "text", "classes": 0, "vocabulary": tokenizer.vocabulary, **sizes})
    model.preprocess = tokenizer
    return model.eval()


def row(sentence: str, first: str, second: str, answer: str, pronoun: str = "it") -> dict[str, str]:
    candidates = {"candidate_a": first, "candidate_b": second, "answer": answer}
    return {"sentence": sentence, "pronoun": pronoun} | candidates


def write(root: Path, rows: list[str], split: str) -> None:
    (root / "text" / "dpr").mkdir(parents=True, exist_ok=True)
    head = "sentence\tpronoun\tcandidate_a\tcandidate_b\tanswer"
    (root / "text" / "dpr" / f"{split}.tsv").write_text("\n".join([head, *rows]) + "\n")


def made_up(root: Path) -> Path:
    """Twins of every ordered pair of animals, and in test of the pairs of the first five alone."""
    for split, names in (("train", ANIMALS), ("test", ANIMALS[:5])):
        pairs = [(a, b) for a in names for b in names if a != b]
        rows = [text.format(a, b, a, b, (a, b)[twin]) for a, b in pairs for twin, text in enumerate(TWINS)]
        write(root, rows, split)
    return root


def real() -> Path:
    root = Path(os.environ.get("VIT_DATA", ""))
    if not (root / "text" / "dpr" / "test.tsv").is_file():
        pytest.skip("DPR does not exist: set VIT_DATA to a folder with text/dpr/{train,test}.tsv in it")
    return root


def test_mentions_are_whole_words_of_any_case(probe: ModuleType) -> None:
    text = "Its caterpillar bit the cat, and The Cat hid it on a mat: it was red, it was."
    item = probe.locate(row(text, "the cat", "A mat", "A mat"))
    shown = [text[start:stop] for start, stop in (item.pronoun, *item.candidates)]
    assert shown == ["it", "the cat", "a mat"]
    assert item.candidates[0][0] == text.index("the cat")  # the first of two
    assert item.pronoun[0] == text.index("it was red")  # the first after both
    assert item.answer == -1
    assert probe.locate(row(text, "A mat", "the cat", "A mat")).answer == 1


@pytest.mark.parametrize(
    "missing",
    [
        row("It hid because the cat saw the mat.", "the cat", "the mat", "the cat"),  # no pronoun after them
        row("The cat saw the matter, it was bad.", "the cat", "the mat", "the cat"),
        row("The cat saw the mat, it was bad.", "the cat", "the mat", "it"),
    ],
)
def test_what_cannot_be_located_is_none(probe: ModuleType, missing: dict[str, str]) -> None:
    assert probe.locate(missing) is None


def test_twins_are_left_out_together_and_counted(
    probe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIT_DATA", str(tmp_path))
    cats, dogs = (
        [text.format(*pair, *pair, answer) for text, answer in zip(TWINS, pair, strict=True)]
        for pair in (("cat", "hen"), ("dog", "owl"))
    )
    write(tmp_path, [cats[0], cats[1].replace("it was", "so"), *dogs], "train")
    items, left_out = probe.read("train")
    assert ["dog" in item.sentence for item in items] == [True, True]
    assert left_out == 2
    write(tmp_path, [cats[0], dogs[0], cats[1], dogs[1]], "train")
    with pytest.raises(
        VitError, match=r"The cat chased the hen because it was hungry\.' has no twin below it"
    ):
        probe.read("train")


def test_says_what_data_is_missing(
    probe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIT_DATA", str(tmp_path))
    with pytest.raises(VitError, match=r"dpr/test\.tsv does not exist: set VIT_DATA"):
        probe.read("test")


def test_tokens_are_those_of_the_mention(probe: ModuleType, tokenizer: Tokenizer) -> None:
    text = "The dogcat  chased the cat because it was hungry."
    item = probe.locate(row(text, "the dogcat", "the cat", "the cat"))
    pieces = tokenizer.pieces(text).tokens
    found = probe.mention_tokens(item, tokenizer)
    assert ["".join(pieces[index] for index in tokens) for tokens in found] == ["it", "Thedogcat", "thecat"]
    assert len(found[1]) > 2  # of several pieces
    assert found[1][0] == 1  # after the special token
    assert found[2][0] > found[1][-1]  # and no piece of the same letters


def test_attention_is_averaged_over_queries_and_summed_over_keys(probe: ModuleType) -> None:
    weights = np.random.default_rng(0).random((3, 5, 11, 11))
    found = probe.attention_between(weights, [8, 9], [1, 2, 3], [5])
    assert found.shape == (2, 2, 3, 5)
    there = (weights[2, 4, 8, 1:4].sum() + weights[2, 4, 9, 1:4].sum()) / 2
    back = weights[2, 4, 5, 8] + weights[2, 4, 5, 9]
    assert found[0, 0, 2, 4] == pytest.approx(there)
    assert found[1, 1, 2, 4] == pytest.approx(back)


@pytest.mark.parametrize("direction", [0, 1])
def test_the_head_that_points_right_is_chosen(probe: ModuleType, direction: int) -> None:
    answers = np.array([1, -1] * 23)
    pronoun, candidates = [7], ([1, 2], [4, 5])
    found = []
    for answer in answers:
        weights = torch.rand(3, 5, 11, 11)
        right = candidates[0] if answer == 1 else candidates[1]
        source, target = (pronoun, right) if direction == 0 else (right, pronoun)
        weights[1, 2, source, target] += 3
        found.append(probe.attention_between(weights.softmax(-1).numpy(), pronoun, *candidates))
    lean = np.stack(found)[:, :, 0] - np.stack(found)[:, :, 1]
    right = probe.correct(lean, answers)
    assert probe.best_head(right) == (direction, 1, 2)
    assert right.mean(0)[direction, 1, 2] == 1
    assert probe.correct(-lean, answers).mean(0)[direction, 1, 2] == 0
    assert probe.correct(0 * lean, answers).mean() == 0.5  # ties
    search = probe.fit(lean.reshape(len(lean), -1), answers)
    assert (search.predict(lean.reshape(len(lean), -1)) == answers).all()
    assert np.abs(search.best_estimator_[-1].coef_).argmax() == np.ravel_multi_index(
        (direction, 1, 2), (2, 3, 5)
    )


def test_folds_keep_twins_together(probe: ModuleType) -> None:
    seen = []
    for train, held in probe.folds(46):
        assert not {index // 2 for index in train} & {index // 2 for index in held}
        assert len(train) + len(held) == 46
        seen += held.tolist()
    assert sorted(seen) == list(range(46))


def test_interval_resamples_twins(probe: ModuleType) -> None:
    assert probe.interval(np.array([1.0, 0.0] * 37)) == [0.5, 0.5]  # each pair is half right
    pairs = np.arange(400) % 4 != 0  # both twins right, or none
    low, high = probe.interval(pairs.repeat(2).astype(float))
    spread = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert (low, high) == pytest.approx((0.75 - spread, 0.75 + spread), abs=0.005)


def test_random_weights_have_the_same_sizes(probe: ModuleType, small: TextTransformer) -> None:
    first, again, other = (probe.random_weights(small, seed) for seed in (0, 0, 1))
    sizes = {name: tensor.shape for name, tensor in small.state_dict().items()}
    assert {name: tensor.shape for name, tensor in first.state_dict().items()} == sizes
    assert torch.equal(first.token_embedding.weight, again.token_embedding.weight)
    assert not torch.equal(first.token_embedding.weight, other.token_embedding.weight)
    assert first.encoder.blocks[0].attention.heads == 5
    assert first.preprocess is small.preprocess


@pytest.mark.parametrize(("data", "n"), [(made_up, (112, 40)), (None, (1316, 564))], ids=["made up", "real"])
def test_probes_from_end_to_end(
    probe: ModuleType,
    small: TextTransformer,
    data: Callable[[Path], Path] | None,
    n: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VIT_DATA", str(data(tmp_path) if data else real()))
    monkeypatch.setattr(vit, "load_model", lambda word: small)
    monkeypatch.setattr(probe, "STRENGTHS", [0.01, 1.0])
    monkeypatch.setattr(probe, "SEEDS", (0,) if data else ())
    file = tmp_path / "coreference.json"
    assert probe.main(["--output", str(file)]) == 0
    results = json.loads(file.read_text())
    assert tuple(results["n"].values()) == n
    assert results["left out"] == {"train": 0, "test": 0}
    rows = {row["reader"]: row for row in results["rows"]}
    assert len(rows) == (2 + 3 + 2 if data else 2 + 3)
    for name in ("nearest mention", "first mention"):  # the same for both twins
        assert (rows[name]["test"], rows[name]["interval"], rows[name]["both twins"]) == (0.5, [0.5, 0.5], 0)
    head = next(row for name, row in rows.items() if name.startswith("best head"))
    index = 0 if results["direction"] == "pronoun -> mention" else 1, results["layer"], results["head"]
    heads = np.array(results["test accuracy of all heads"])
    assert heads.shape == (2, 3, 5)
    assert head["test"] == pytest.approx(heads[index])
    assert rows[next(name for name in rows if "at random" in name)]["test"] == pytest.approx(heads.mean())
    assert head["interval"][0] <= head["test"] <= head["interval"][1]
    shown = capsys.readouterr().out
    assert f"test: n = {n[1]}, {n[1] // 2} pairs of twins; left out: 0" in shown
    assert sum(line.startswith(("best head ", "mean of all heads ")) for line in shown.splitlines()) == 4
