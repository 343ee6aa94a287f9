"""Does a head of all-MiniLM-L6-v2 look from a pronoun to what it stands for?

VIT_DATA=... python scripts/probe_coreference.py --output coreference.json

Data: definite pronoun resolution (Rahman & Ng 2012), `$VIT_DATA/text/dpr/{train,test}.tsv`. Sentences come as
twins with the same candidates and opposite answers: who reads only what they share is right half the time.
Mentions: a candidate is its first occurrence as whole words, whatever the case; the pronoun is its first
occurrence behind both. Twins of which one cannot be located are left out of every line, and counted.
Scores: attention from A to B is what the pieces of A, meaned, give to the pieces of B, summed. A head is read
in both directions and takes the candidate with the higher score; a tie is half right. The readout is logistic
regression on the differences of all scores, with no intercept: swapped candidates swap the answer.
Head, direction and C are chosen on train; test is looked at once. Layers and heads are counted from 0.
"""

import argparse
import csv
import json
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import vit
from vit.errors import VitError
from vit.text import TextTransformer, Tokenizer
from vit.training.environment import environment
from vit.weights.models import make_tower

DIRECTIONS = ("pronoun -> mention", "mention -> pronoun")
SENTENCE = "The cat sat on the mat because it was tired."
FOUNDING = {"pronoun": "it", "candidate_a": "the cat", "candidate_b": "the mat", "answer": "the cat"}
SEEDS = (0, 1, 2)  # of random weights
RESAMPLES = 2000
STRENGTHS = [10.0**power for power in range(-5, 3)]  # C, the strongest regularisation first
BATCH = 64


class Item(NamedTuple):
    sentence: str
    pronoun: tuple[int, int]  # from one character up to another
    candidates: tuple[tuple[int, int], tuple[int, int]]
    answer: int  # +1: the first candidate, -1: the second


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", metavar="FILE.json", help="all figures, with seeds and versions")
    arguments = parser.parse_args(words)
    model, (train, lost), (test, lost_test) = vit.load_model("minilm"), read("train"), read("test")
    found = compare(model, train, test)
    found |= {"n": {"train": len(train), "test": len(test)}, "left out": {"train": lost, "test": lost_test}}
    found |= {"seeds": {"random weights": SEEDS, "resamples": 0}, "resamples": RESAMPLES}
    found["packages"] = {name: version(name) for name in ("numpy", "scikit-learn", "tokenizers")}
    found["environment"] = environment()
    report(found)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def fresh(model: TextTransformer, seed: int) -> TextTransformer:
    """A model of the same architecture that has learned nothing."""
    torch.manual_seed(seed)
    made: Any = make_tower(model.architecture)
    made.preprocess = model.preprocess
    return made.eval()


def read(split: str) -> tuple[list[Item], int]:
    """The items of a split, twins side by side, and how many are left out."""
    file = Path(os.environ.get("VIT_DATA", ""), "text", "dpr", f"{split}.tsv").expanduser()
    if not file.is_file():
        raise VitError(f"{file} is not there: set VIT_DATA to a folder with text/dpr/{split}.tsv in it")
    text = file.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    items: list[Item] = []
    for twins in zip(rows[::2], rows[1::2], strict=True):
        first, second = ({twin["candidate_a"].lower(), twin["candidate_b"].lower()} for twin in twins)
        if first != second:
            raise VitError(f"{file}: {twins[0]['sentence']!r} has no twin below it, with the same candidates")
        located = [item for item in map(locate, twins) if item]
        items += located if len(located) == 2 else []
    return items, len(rows) - len(items)


def locate(row: dict[str, str]) -> Item | None:
    """Where pronoun and candidates stand; None where one of them does not."""
    text, words = row["sentence"], (row["candidate_a"], row["candidate_b"], row["pronoun"])
    whole = [re.compile(rf"(?<!\w){re.escape(each)}(?!\w)", re.IGNORECASE) for each in words]
    first, second = whole[0].search(text), whole[1].search(text)
    pronoun = first and second and whole[2].search(text, max(first.end(), second.end()))
    if not pronoun or row["answer"] not in words[:2]:
        return None
    return Item(text, pronoun.span(), (first.span(), second.span()), 1 if row["answer"] == words[0] else -1)


def tokens_of(item: Item, tokenizer: Tokenizer) -> list[list[int]]:
    """The tokens, by index, that share a character with the pronoun and with each candidate."""
    pieces = tokenizer.pieces(item.sentence)
    found: list[list[int]] = [[], [], []]
    for index, (start, end) in enumerate(pieces.spans):
        if pieces.words[index] is None:
            continue
        for tokens, span in zip(found, (item.pronoun, *item.candidates), strict=True):
            if start < span[1] and span[0] < end:
                tokens.append(index)
    if not all(found):
        raise VitError(f"{item.sentence!r} was cut before all mentions: raise the tokenizer's length")
    return found


def given(weights: np.ndarray, pronoun: list[int], first: list[int], second: list[int]) -> np.ndarray:
    """Weights (L, H, N, N) and the tokens of pronoun and candidates -> (direction, candidate, L, H)."""
    ways = [(pronoun, first), (pronoun, second), (first, pronoun), (second, pronoun)]
    looks = [weights[:, :, source][..., to].mean(2).sum(-1) for source, to in ways]
    return np.stack(looks).reshape(2, 2, *weights.shape[:2])


@torch.no_grad()
def scores(model: TextTransformer, items: list[Item]) -> np.ndarray:
    """What the heads of a model give, (items, direction, candidate, L, H)."""
    found = []
    for some in (items[start : start + BATCH] for start in range(0, len(items), BATCH)):
        with vit.record_attention(model) as tape:
            model.encode(model.preprocess.batch([item.sentence for item in some]))
        maps = torch.stack(tape.weights(), 1).numpy()  # (B, L, H, N, N)
        found += [given(m, *tokens_of(item, model.preprocess)) for m, item in zip(maps, some, strict=True)]
    return np.stack(found)


def correct(lean: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """By how much the first candidate leads, (items, ...) -> 1 where right, 0 where wrong, 0.5 at a tie."""
    return (1 + np.sign(lean) * answers.reshape(-1, *[1] * (lean.ndim - 1))) / 2


def best(right: np.ndarray) -> tuple[int, int, int]:
    """The direction, layer and head most often right, of (items, direction, L, H); the first of equals."""
    return tuple(map(int, np.unravel_index(right.mean(0).argmax(), right.shape[1:])))


def folds(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Five folds of this many items that keep twins together."""
    return list(GroupKFold(5).split(np.zeros(count), groups=np.arange(count) // 2))


def fit(lean: np.ndarray, answers: np.ndarray) -> GridSearchCV:
    """The readout of (items, features), its C by cross-validation."""
    regression = LogisticRegression(fit_intercept=False, max_iter=10_000)
    line = make_pipeline(StandardScaler(with_mean=False), regression)
    return GridSearchCV(line, {"logisticregression__C": STRENGTHS}, cv=folds(len(answers))).fit(lean, answers)


def interval(right: np.ndarray) -> list[float]:
    """What holds 95 % of the means of resampled twins, of (items,)."""
    pairs = right.reshape(-1, 2).mean(1)
    drawn = np.random.default_rng(0).integers(0, len(pairs), (RESAMPLES, len(pairs)))
    return np.quantile(pairs[drawn].mean(1), [0.025, 0.975]).tolist()


def compare(model: TextTransformer, train: list[Item], test: list[Item]) -> dict[str, Any]:
    """What was chosen on train, the rows of the table, and the founding sentence."""
    both = train, test
    known, asked = (np.array([item.answer for item in items]) for items in both)
    later = (np.array([item.candidates[0][0] - item.candidates[1][0] for item in items]) for items in both)
    nearest = [correct(*each) for each in zip(later, (known, asked), strict=True)]  # all before the pronoun
    rows, found = [], {}
    for seed in (None, *SEEDS):
        name, reader = ("", model) if seed is None else (f"random weights {seed}, ", fresh(model, seed))
        lean, unseen = (each[:, :, 0] - each[:, :, 1] for each in (scores(reader, items) for items in both))
        learnt, right = correct(lean, known), correct(unseen, asked)
        place = direction, layer, head = best(learnt)
        title = f"{name}best head: layer {layer}, head {head}, {DIRECTIONS[direction]}"
        rows.append(row(title, learnt[:, *place].mean(), right[:, *place]))
        line = fit(lean.reshape(len(train), -1), known)
        solved = correct(line.decision_function(unseen.reshape(len(test), -1)), asked)
        strength = line.best_params_["logisticregression__C"]
        rows.append(row(f"{name}linear readout, C = {strength:g}", line.best_score_, solved))
        if seed is None:
            heads = right.mean(0)  # direction, L, H
            ends = f"{heads.size}: {100 * heads.min():.1f} to {100 * heads.max():.1f}"
            rows.append(row(f"head and direction drawn at random ({ends})", learnt.mean(), right))
            rows.append(row("nearest mention", nearest[0].mean(), nearest[1]))
            rows.append(row("first mention", 1 - nearest[0].mean(), 1 - nearest[1]))
            ours = scores(model, [locate(FOUNDING | {"sentence": SENTENCE})])[0]  # direction, candidate, L, H
            chosen, mean = ours[:, :, layer, head].tolist(), ours.mean((2, 3)).tolist()
            found["founding"] = {"best head": chosen, "mean of all heads": mean}
            found |= {"direction": DIRECTIONS[direction], "layer": layer, "head": head, "C": strength}
            found["test accuracy of all heads"] = heads.tolist()
    return found | {"rows": rows}


def row(reader: str, train: float, right: np.ndarray) -> dict[str, Any]:
    """A line of the table; right are one reader's answers to test (items,) or many readers' (items, ...)."""
    pairs = right.reshape(len(right) // 2, 2, -1)
    found = {"reader": reader, "train": float(train), "test": float(right.mean())}
    return found | {"both twins": float((pairs == 1).all(1).mean()), "interval": interval(pairs.mean(2))}


def report(found: dict[str, Any]) -> None:
    """The tables, in percent."""
    for split, n in found["n"].items():
        print(f"{split}: n = {n}, {n // 2} pairs of twins; left out: {found['left out'][split]}")
    lines = [("reader", "train", "test", "95 % interval", "both twins")]
    for each in found["rows"]:
        figures = each["train"], each["test"], *each["interval"], each["both twins"]
        train, test, low, high, both = (f"{100 * figure:.1f}" for figure in figures)
        lines.append((each["reader"], train, test, f"{low} to {high}", both))
    shares = [(SENTENCE, "direction", "the cat", "the mat")]
    for name, directions in found["founding"].items():
        for direction, pair in zip(DIRECTIONS, directions, strict=True):
            shares.append((name, direction, *(f"{100 * share:.2f}" for share in pair)))
    for table in (lines, shares):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in ((), *table):
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip())
    print("\nChance is 50, of both twins 25. train: what was chosen by, cross-validated for a readout.")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VitError as error:
        sys.exit(f"probe_coreference: {error}")
