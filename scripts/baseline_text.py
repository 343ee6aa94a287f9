"""A linear baseline for the text tower: logistic regression on TF-IDF of words and pairs of words.

    VIT_DATA=... python scripts/baseline_text.py sst2 trec

C is chosen on validation; test is used once. The splits are those of vit.
"""

import argparse
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from vit.data.datasets import load
from vit.data.roster import DATASETS
from vit.data.texts import RawTexts

STRENGTHS = (0.3, 1, 3, 10, 30, 100)  # C: inverse strength of regularisation


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    texts = [name for name, dataset in DATASETS.items() if dataset.kind == "text" and dataset.labelled]
    parser.add_argument("data", nargs="+", choices=texts)
    for name in parser.parse_args(argv).data:
        splits = load(name)
        assert splits.test is not None
        result = baseline(splits.train, splits.val, splits.test)
        print(
            f"{name}: C = {result['C']}, val {100 * result['val']:.2f} % (n = {len(splits.val.texts)}), "
            f"test {100 * result['test']:.2f} % (n = {len(splits.test.texts)})"
        )
    return 0


def baseline(train: RawTexts, val: RawTexts, test: RawTexts) -> dict[str, float]:
    """C, validation and test accuracy of the model with the best validation accuracy."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    x_train = vectorizer.fit_transform(train.texts)
    x_val, x_test = (vectorizer.transform(split.texts) for split in (val, test))
    models = [LogisticRegression(C=c, max_iter=1000).fit(x_train, train.targets.numpy()) for c in STRENGTHS]
    scores = [model.score(x_val, val.targets.numpy()) for model in models]
    best = scores.index(max(scores))
    return {
        "C": STRENGTHS[best],
        "val": scores[best],
        "test": float(models[best].score(x_test, test.targets.numpy())),
    }


if __name__ == "__main__":
    sys.exit(main())
