"""The linear baseline beside the text tower: words and pairs of words, logistic regression.

    VIT_DATA=... python scripts/baseline_text.py sst2 trec

TF-IDF of single words and pairs, C chosen on validation, test looked at once. The splits are those of vit.
"""

import argparse
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from vit.config import TEXTS
from vit.data.datasets import load_texts
from vit.data.texts import Sentences

STRENGTHS = (0.3, 1, 3, 10, 30, 100)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="+", choices=TEXTS)
    for name in parser.parse_args(words).data:
        splits = load_texts(name)
        assert splits.test is not None
        found = baseline(splits.train, splits.val, splits.test)
        print(
            f"{name}: C = {found['C']}, val {100 * found['val']:.2f} % (n = {len(splits.val.texts)}), "
            f"test {100 * found['test']:.2f} % (n = {len(splits.test.texts)})"
        )
    return 0


def baseline(train: Sentences, val: Sentences, test: Sentences) -> dict[str, float]:
    """Accuracy on validation and test of the model that validates best."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    learned = vectorizer.fit_transform(train.texts)
    models = [LogisticRegression(C=c, max_iter=1000).fit(learned, train.targets.numpy()) for c in STRENGTHS]
    held, final = (vectorizer.transform(part.texts) for part in (val, test))
    scores = [model.score(held, val.targets.numpy()) for model in models]
    best = scores.index(max(scores))
    return {
        "C": STRENGTHS[best],
        "val": scores[best],
        "test": float(models[best].score(final, test.targets.numpy())),
    }


if __name__ == "__main__":
    sys.exit(main())
