"""Does a head of all-MiniLM-L6-v2 attend from a pronoun to the mention that it refers to?

VIT_DATA=... python scripts/probe_coreference.py --output coreference.json

Data: definite pronoun resolution (Rahman & Ng 2012), `$VIT_DATA/text/dpr/{train,test}.tsv`. Sentences come in
pairs, called twins, with the same candidates and opposite answers: a reader of only what twins share is right
half the time.
Mentions: a candidate is its first occurrence as whole words, case ignored; the pronoun is its first
occurrence after both. Twins are left out, and counted, if a mention of one of them cannot be located.
Scores: attention from A to B is summed over the tokens of B and averaged over the tokens of A. A head, in one
of two directions, predicts the candidate with the higher score; a tie counts as half right. The readout is
logistic regression on the differences of all scores, without an intercept, so that swapped candidates swap
the answer.
Head, direction and C are chosen on train; test is used once. Layers and heads are counted from 0.
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
EXAMPLE = {"pronoun": "it", "candidate_a": "the cat", "candidate_b": "the mat", "answer": "the cat"}
SEEDS = (0, 1, 2)  # of models with random weights
RESAMPLES = 2000  # of the bootstrap
STRENGTHS = [10.0**power for power in range(-5, 3)]  # C: inverse strength of regularisation
BATCH = 64


class Item(NamedTuple):
    """A sentence with its mentions as (start, end) offsets of characters."""

    sentence: str
    pronoun: tuple[int, int]
    candidates: tuple[tuple[int, int], tuple[int, int]]
    answer: int  # +1: the first candidate, -1: the second


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", metavar="FILE.json", help="write all results, with seeds and versions")
    arguments = parser.parse_args(argv)
    model = vit.load_model("minilm")
    (train, left_out_train), (test, left_out_test) = read("train"), read("test")
    results = compare(model, train, test)
    results["n"] = {"train": len(train), "test": len(test)}
    results["left out"] = {"train": left_out_train, "test": left_out_test}
    results |= {"seeds": {"random weights": SEEDS, "resamples": 0}, "resamples": RESAMPLES}
    results["packages"] = {name: version(name) for name in ("numpy", "scikit-learn", "tokenizers")}
    results["environment"] = environment()
    report(results)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def random_weights(model: TextTransformer, seed: int) -> TextTransformer:
    """A model of the same architecture and tokenizer with newly initialised weights."""
    torch.manual_seed(seed)
    untrained: Any = make_tower(model.architecture)
    untrained.preprocess = model.preprocess
    return untrained.eval()


def read(split: str) -> tuple[list[Item], int]:
    """The items of a split, twins next to each other, and the number of those left out."""
    file = Path(os.environ.get("VIT_DATA", ""), "text", "dpr", f"{split}.tsv").expanduser()
    if not file.is_file():
        raise VitError(f"{file} does not exist: set VIT_DATA to a folder with text/dpr/{split}.tsv in it")
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
    """The item of a row of the file; None if a mention is not found or the answer is no candidate."""
    text, candidates = row["sentence"], (row["candidate_a"], row["candidate_b"])
    patterns = [
        re.compile(rf"(?<!\w){re.escape(mention)}(?!\w)", re.IGNORECASE)
        for mention in (*candidates, row["pronoun"])
    ]
    first, second = patterns[0].search(text), patterns[1].search(text)
    pronoun = first and second and patterns[2].search(text, max(first.end(), second.end()))
    if not pronoun or row["answer"] not in candidates:
        return None
    answer = 1 if row["answer"] == candidates[0] else -1
    return Item(text, pronoun.span(), (first.span(), second.span()), answer)


def mention_tokens(item: Item, tokenizer: Tokenizer) -> list[list[int]]:
    """Indices of the tokens that overlap the pronoun, the first and the second candidate."""
    pieces = tokenizer.pieces(item.sentence)
    mentions: list[list[int]] = [[], [], []]
    for index, (start, end) in enumerate(pieces.spans):
        if pieces.words[index] is None:
            continue
        for tokens, span in zip(mentions, (item.pronoun, *item.candidates), strict=True):
            if start < span[1] and span[0] < end:
                tokens.append(index)
    if not all(mentions):
        raise VitError(f"{item.sentence!r} was cut before all mentions: raise the tokenizer's length")
    return mentions


def attention_between(
    weights: np.ndarray, pronoun: list[int], first: list[int], second: list[int]
) -> np.ndarray:
    """Weights (L, H, N, N) and indices of the mentions' tokens -> scores (direction, candidate, L, H)."""
    pairs = [(pronoun, first), (pronoun, second), (first, pronoun), (second, pronoun)]
    attended = [weights[:, :, queries][..., keys].mean(2).sum(-1) for queries, keys in pairs]
    return np.stack(attended).reshape(2, 2, *weights.shape[:2])


@torch.no_grad()
def scores(model: TextTransformer, items: list[Item]) -> np.ndarray:
    """Scores of all heads of a model, (items, direction, candidate, L, H)."""
    rows = []
    for batch in (items[start : start + BATCH] for start in range(0, len(items), BATCH)):
        with vit.record_attention(model) as tape:
            model.encode(model.preprocess.batch([item.sentence for item in batch]))
        weights = torch.stack(tape.weights(), 1).numpy()  # (B, L, H, N, N)
        for item, layers in zip(batch, weights, strict=True):
            rows.append(attention_between(layers, *mention_tokens(item, model.preprocess)))
    return np.stack(rows)


def correct(margins: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Scores of the first candidate minus those of the second -> 1: right, 0: wrong, 0.5: a tie.

    Args:
        margins: (items, ...).
        answers: (items,), 1 or -1.

    Returns:
        As `margins`.
    """
    return (1 + np.sign(margins) * answers.reshape(-1, *[1] * (margins.ndim - 1))) / 2


def best_head(right: np.ndarray) -> tuple[int, int, int]:
    """Direction, layer and head with the highest accuracy, from (items, direction, L, H); ties: the first."""
    return tuple(map(int, np.unravel_index(right.mean(0).argmax(), right.shape[1:])))


def folds(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Five folds of `count` items that keep twins together."""
    return list(GroupKFold(5).split(np.zeros(count), groups=np.arange(count) // 2))


def fit(margins: np.ndarray, answers: np.ndarray) -> GridSearchCV:
    """The readout, fitted to margins (items, features), with C chosen by cross-validation."""
    regression = LogisticRegression(fit_intercept=False, max_iter=10_000)
    readout = make_pipeline(StandardScaler(with_mean=False), regression)
    search = GridSearchCV(readout, {"logisticregression__C": STRENGTHS}, cv=folds(len(answers)))
    return search.fit(margins, answers)


def interval(right: np.ndarray) -> list[float]:
    """The 95 % bootstrap interval of the mean of (items,), resampling pairs of twins."""
    pairs = right.reshape(-1, 2).mean(1)
    resampled = np.random.default_rng(0).integers(0, len(pairs), (RESAMPLES, len(pairs)))
    return np.quantile(pairs[resampled].mean(1), [0.025, 0.975]).tolist()


def compare(model: TextTransformer, train: list[Item], test: list[Item]) -> dict[str, Any]:
    """The rows of the table, what was chosen on train, and the scores of the example sentence."""
    splits = train, test
    train_answers, test_answers = (np.array([item.answer for item in items]) for items in splits)
    # Both candidates come before the pronoun, so the nearest is the one that starts later.
    offsets = (np.array([i.candidates[0][0] - i.candidates[1][0] for i in items]) for items in splits)
    nearest = [correct(*pair) for pair in zip(offsets, (train_answers, test_answers), strict=True)]
    rows, results = [], {}
    for seed in (None, *SEEDS):
        name, probed = "", model
        if seed is not None:
            name, probed = f"random weights {seed}, ", random_weights(model, seed)
        train_margins, test_margins = (
            both[:, :, 0] - both[:, :, 1] for both in (scores(probed, items) for items in splits)
        )
        train_right, test_right = correct(train_margins, train_answers), correct(test_margins, test_answers)
        chosen = direction, layer, head = best_head(train_right)
        title = f"{name}best head: layer {layer}, head {head}, {DIRECTIONS[direction]}"
        rows.append(row(title, train_right[:, *chosen].mean(), test_right[:, *chosen]))
        readout = fit(train_margins.reshape(len(train), -1), train_answers)
        decisions = readout.decision_function(test_margins.reshape(len(test), -1))
        c = readout.best_params_["logisticregression__C"]
        rows.append(
            row(f"{name}linear readout, C = {c:g}", readout.best_score_, correct(decisions, test_answers))
        )
        if seed is None:
            heads = test_right.mean(0)  # direction, L, H
            ends = f"{heads.size}: {100 * heads.min():.1f} to {100 * heads.max():.1f}"
            rows.append(row(f"head and direction drawn at random ({ends})", train_right.mean(), test_right))
            rows.append(row("nearest mention", nearest[0].mean(), nearest[1]))
            rows.append(row("first mention", 1 - nearest[0].mean(), 1 - nearest[1]))
            example = locate(EXAMPLE | {"sentence": SENTENCE})
            (shares,) = scores(model, [example])  # each (direction, candidate, L, H)
            results["founding"] = {
                "best head": shares[:, :, layer, head].tolist(),
                "mean of all heads": shares.mean((2, 3)).tolist(),
            }
            results |= {"direction": DIRECTIONS[direction], "layer": layer, "head": head, "C": c}
            results["test accuracy of all heads"] = heads.tolist()
    return results | {"rows": rows}


def row(reader: str, train: float, right: np.ndarray) -> dict[str, Any]:
    """A row of the table.

    Args:
        reader: Its name.
        train: Accuracy on train.
        right: 1, 0 or 0.5 for each item of test, (items,), or of several readers, (items, ...).
    """
    pairs = right.reshape(len(right) // 2, 2, -1)
    return {
        "reader": reader,
        "train": float(train),
        "test": float(right.mean()),
        "both twins": float((pairs == 1).all(1).mean()),
        "interval": interval(pairs.mean(2)),
    }


def report(results: dict[str, Any]) -> None:
    """Print the tables, in percent."""
    for split, n in results["n"].items():
        print(f"{split}: n = {n}, {n // 2} pairs of twins; left out: {results['left out'][split]}")
    lines = [("reader", "train", "test", "95 % interval", "both twins")]
    for entry in results["rows"]:
        values = entry["train"], entry["test"], *entry["interval"], entry["both twins"]
        train, test, low, high, both = (f"{100 * value:.1f}" for value in values)
        lines.append((entry["reader"], train, test, f"{low} to {high}", both))
    shares = [(SENTENCE, "direction", "the cat", "the mat")]
    for name, directions in results["founding"].items():
        for direction, pair in zip(DIRECTIONS, directions, strict=True):
            shares.append((name, direction, *(f"{100 * share:.2f}" for share in pair)))
    for table in (lines, shares):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in ((), *table):
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip())
    print("\nChance level: 50, of both twins 25. train is what was chosen by; cross-validated for a readout.")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VitError as error:
        sys.exit(f"probe_coreference: {error}")
