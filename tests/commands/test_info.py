"""`vit info`, and the figures of `vit evaluate`, for a reader."""

import re
from pathlib import Path

import pytest

from vit.cli import main
from vit.commands.figures import print_language

from ..inference.language_models import causal_model


def test_what_a_model_does_not_have_is_called_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    causal_model().save(tmp_path / "lm")
    assert main(["info", str(tmp_path / "lm")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    rows = [re.fullmatch(r"(\S+) +(.*?) *", line) for line in lines]
    values = {row[1]: row[2] for row in rows if row}
    assert values["labels"] == "none"
    assert (len(values), all(values.values())) == (len(lines), True)


def test_perplexities_with_few_digits(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {
        "data": "lines", "split": "test", "n": 1200, "tokens": 9876, "words": 5432, "perplexity": 34.504,
        "interval": [33.25, 35.754], "perplexity_word": 123456.789, "bits_per_byte": 1.23456,
    }  # fmt: skip
    print_language(figures)
    assert capsys.readouterr().out == (
        "lines, test, n = 1,200 texts, 9,876 tokens, 5,432 words: perplexity of a token 34.50, "
        "95 % interval 33.25 to 35.75; of a word 123,457; 1.235 bits per byte\n"
    )
