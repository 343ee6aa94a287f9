"""A bigram baseline for a language model: interpolated Kneser-Ney on the texts and tokens of a run.

    python scripts/bigram.py runs/text_lm

Counts are taken from the run's train part, the discount is chosen on validation, and both are measured on the
same tokens of the same test texts (`splits.csv` and the tokenizer of the run). Without `data.root` in reach,
--data names where the texts are now.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vit.data.windows import NextTokens
from vit.evaluation.language import LanguageEvaluation, evaluate_language
from vit.recipes.evaluation.data import evaluation_data
from vit.text.matching import predicts_next
from vit.weights.models import load_model

DISCOUNTS = [step / 20 for step in range(1, 20)]


class KneserNey:
    """Interpolated Kneser-Ney of order 2 (Kneser & Ney 1995; Chen & Goodman 1999, section 3.2).

    P(w | v) = max(c(v w) - d, 0) / c(v) + d n(v) / c(v) P(w), where n(v) is the number of different tokens
    after v. P(w) is the share of w among all different pairs, as their second token, with the same discount
    and interpolated with the uniform distribution, so that every token has a probability.

    Args:
        texts: Ids of each text, int64, its begin and its end among them.
        vocabulary: Number of ids.
        discount: d, in (0, 1).
    """

    def __init__(self, texts: Sequence[Tensor], vocabulary: int, discount: float):
        pairs = torch.cat([text[:-1] * vocabulary + text[1:] for text in texts])
        self.pairs, counts = pairs.unique(return_counts=True)
        self.vocabulary, self.discount = vocabulary, discount
        before, after = self.pairs // vocabulary, self.pairs % vocabulary
        self.counts = counts.double()
        self.total = torch.zeros(vocabulary, dtype=torch.float64).index_add_(0, before, self.counts)
        self.followers = before.bincount(minlength=vocabulary).double()
        preceders = after.bincount(minlength=vocabulary).double()
        seen = float((preceders > 0).sum())
        self.unigram = (preceders - discount).clamp(min=0) + discount * seen / vocabulary
        self.unigram /= preceders.sum()

    def losses(self, text: Tensor) -> Tensor:
        """-ln P of each token but the first, float64."""
        before, after = text[:-1], text[1:]
        total, unigram = self.total[before], self.unigram[after]
        key = before * self.vocabulary + after
        place = torch.searchsorted(self.pairs, key).clamp(max=len(self.pairs) - 1)
        count = self.counts[place].where(self.pairs[place] == key, 0.0)
        share = self.discount * self.followers[before]
        given = ((count - self.discount).clamp(min=0) + share * unigram) / total
        return -given.where(total > 0, unigram).log()


def bigram(train: NextTokens, val: NextTokens, test: NextTokens, vocabulary: int) -> dict[str, Any]:
    """The figures of the bigram model with the discount that suits validation best."""
    texts = whole_texts(train)
    models = [KneserNey(texts, vocabulary, discount) for discount in DISCOUNTS]
    best = min(models, key=lambda model: float(measured(model, val).losses.sum()))
    parts = {"val": measured(best, val).figures(), "test": measured(best, test).figures()}
    return {"discount": best.discount} | parts


def measured(model: KneserNey, part: NextTokens) -> LanguageEvaluation:
    """The losses of a part's texts, counted as those of a language model."""
    losses = torch.stack([model.losses(text).sum() for text in whole_texts(part)])
    return LanguageEvaluation(losses, part.tokens, part.words, part.bytes)


def whole_texts(part: NextTokens) -> list[Tensor]:
    """Texts, put together from their windows; consecutive windows share one id."""
    texts: list[list[Tensor]] = [[] for _ in part.texts]
    for number, window in zip(part.text_of.tolist(), part.windows, strict=True):
        texts[number].append(window[1:] if texts[number] else window)
    return [torch.cat(pieces) for pieces in texts]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", help="the folder of a run")
    parser.add_argument("--data", help="where the texts are, if not where the run says")
    arguments = parser.parse_args(argv)
    model = load_model(arguments.run)
    if not predicts_next(model):
        parser.error(f"{arguments.run} is no language model")
    data = evaluation_data(model, arguments.run, arguments.data, labelled=False)
    if lacking := [part for part in ("train", "val", "test") if part not in data.parts]:
        parser.error(f"the data have no {lacking[0]}")
    train, val, test = (data.parts[part] for part in ("train", "val", "test"))
    result = bigram(train, val, test, model.architecture["vocabulary"])
    rows = {f"bigram, discount {result['discount']:.2f}": result}
    rows[arguments.run] = {
        name: evaluate_language(model, [part]).figures() for name, part in (("val", val), ("test", test))
    }
    for name, part in (("val", val), ("test", test)):
        print(f"{name}: n = {len(part.texts):,} texts, {int(part.tokens.sum()):,} tokens")
        for row, figures in rows.items():
            of = figures[name]
            print(
                f"  {row}: perplexity of a token {of['perplexity']:.2f}, of a word "
                f"{of['perplexity_word']:.2f}, {of['bits_per_byte']:.3f} bits per byte"
            )
    share = rows[arguments.run]["test"]["perplexity"] / result["test"]["perplexity"]
    print(f"test: the model's perplexity of a token is {100 * share:.1f} % of the bigram's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
