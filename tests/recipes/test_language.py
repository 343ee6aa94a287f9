"""Language models from start to finish: the run, its resumption, its figures, and what is refused."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vit
from vit.cli import main
from vit.training.module import Classifier

NOUNS = ("cat", "dog", "bird", "horse", "mouse", "fish", "cow", "hen")
TEXTS = [f"The {one} saw the {two} ." for one in NOUNS for two in NOUNS if one != two] * 2
LONG = " ".join(TEXTS[:9])
SETTINGS = (
    "train --config text_lm --data.root texts.txt --model.width 24 --model.depth 2 --model.heads 2 "
    "--model.dropout 0.1 --text.vocabulary 300 --text.length 16 --data.batch_size 16 "
    "--optim.ema 0.5 --trainer.max_epochs 3 --trainer.max_time null --trainer.precision 32-true"
)
TRAIN = SETTINGS.split()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`runs/lm` of a small language model, in a folder of its own, which is the current one."""
    place, before = tmp_path_factory.mktemp("language"), Path.cwd()
    (place / "texts.txt").write_text("\n".join([*TEXTS, LONG, ""]))
    os.chdir(place)
    try:
        assert main([*TRAIN, "--name", "lm"]) == 0
        yield place / "runs" / "lm"
    finally:
        os.chdir(before)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def figures(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_says_what_it_learnt(run: Path) -> None:
    written = rows(run)
    assert float(written[-1]["val_perplexity"]) < float(written[0]["val_perplexity"]) < 300
    for row in written:
        assert float(row["val_perplexity"]) == pytest.approx(
            torch.tensor(float(row["val_loss"])).exp().item(), rel=1e-4
        )
        assert float(row["val_perplexity_word"]) >= float(row["val_perplexity"])
    log = (run / "train.log").read_text()
    assert "val perplexity" in log
    assert ", of a word" in log
    report = (run / "report.html").read_text()
    for shown in ("perplexity of a word", "bits per byte", "Least expected texts", "val perplexity word"):
        assert shown in report
    for name in ("plots/curves.png", "texts.csv", "splits.csv", "model/tokenizer.json", "env.json"):
        assert (run / name).stat().st_size > 0


def test_no_text_is_in_two_parts(run: Path) -> None:
    with (run / "splits.csv").open() as stream:
        parts: dict[str, set[str]] = {}
        for row in csv.DictReader(stream):
            assert row["label"] == ""
            parts.setdefault(row["sha256"], set()).add(row["part"])
    assert len(parts) == len(set(TEXTS)) + 1
    assert all(len(names) == 1 for names in parts.values())


def test_the_bundle_has_the_epoch_with_the_lowest_loss(run: Path) -> None:
    stored = json.loads((run / "model" / "config.json").read_text())["scores"]["val"]
    assert stored["perplexity"] == pytest.approx(
        min(float(row["val_perplexity"]) for row in rows(run)), rel=1e-3
    )


def test_figures_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = figures(capsys, "runs/lm")
    keys = {
        "perplexity",
        "perplexity_word",
        "bits_per_byte",
        "n",
        "tokens",
        "words",
        "split",
        "data",
        "model",
    }
    assert keys <= test.keys()
    assert (test["split"], test["data"], test["model"]) == ("test", "lines", "runs/lm")
    stored = json.loads((run / "model" / "config.json").read_text())["scores"]["val"]
    val = figures(capsys, "runs/lm", "--split", "val")
    assert val["perplexity"] == pytest.approx(stored["perplexity"], rel=1e-5)
    parts = [figures(capsys, "runs/lm", "--split", part)["n"] for part in ("train", "val", "test")]
    assert sum(parts) == len(TEXTS) + 1 == figures(capsys, "runs/lm", "--split", "all")["n"]


def test_figures_of_other_texts_without_those_that_were_learnt(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "other.tsv"
    table.write_text("label\ttext\nx\tA new text .\ny\tAnother one\n" + f"z\t{TEXTS[0]}\n" * 2)
    with (run / "splits.csv").open() as stream:
        learnt = {row["sha256"] for row in csv.DictReader(stream) if row["part"] != "test"}
    other = figures(capsys, "runs/lm", "--data", str(table))
    assert other["n"] == (2 if vit_digest(TEXTS[0]) in learnt else 4)
    assert other["words"] == sum(len(text.split()) + 1 for text in ("A new text .", "Another one")) + (
        0 if vit_digest(TEXTS[0]) in learnt else 2 * 7
    )


def vit_digest(text: str) -> str:
    from vit.data.texts import text_digest

    return text_digest(text)


def test_a_folder_with_a_report(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert main(["evaluate", "runs/lm", "--output", str(folder)]) == 0
    assert "perplexity of a token" in (folder / "report.html").read_text()
    assert json.loads((folder / "evaluation.json").read_text())["split"] == "test"


def test_the_model_writes_reads_and_is_described(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = vit.load_model("runs/lm")
    assert model.head.weight is model.token_embedding.weight
    text = model.generate("The cat saw", max_tokens=5)
    assert isinstance(text, str)
    assert text
    capsys.readouterr()
    assert main(["info", "runs/lm", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["scores"]["val"]["perplexity"] > 1
    assert (facts["vocabulary"], facts["length"]) == (model.preprocess.vocabulary, 16)


def test_it_embeds_and_does_not_predict_labels(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "few.txt").write_text("The cat .\nThe dog .\n")
    few = str(tmp_path / "few.txt")
    assert main(["embed", "runs/lm", few, "--output", str(tmp_path / "vectors.csv")]) == 0
    assert main(["predict", "runs/lm", few, "--output", str(tmp_path / "labels.csv")]) == 1
    assert "has no names of classes" in capsys.readouterr().err


class Cut(BaseException):
    """Stands for a power cut."""


def test_a_run_that_was_cut_and_resumed_equals_one_that_was_not(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, seen = Classifier.training_step, []

    def step(self: Classifier, *arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == 8:
            raise Cut
        return plain(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", step)
        with pytest.raises(Cut):
            main([*TRAIN, "--name", "cut", "--trainer.save_every", "0"])
    assert main(["train", "--name", "cut", "--resume"]) == 0
    whole, resumed = (load_file(f"runs/{name}/model/model.safetensors") for name in ("lm", "cut"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    clock = ("seconds", "images_per_second", "data_wait")
    logs = [
        [{name: value for name, value in row.items() if name not in clock} for row in rows(run.parent / name)]
        for name in ("lm", "cut")
    ]
    assert logs[0] == logs[1]


def test_the_bigram_is_measured_on_the_same_tokens(
    run: Path, capsys: pytest.CaptureFixture[str], script: Callable[[str], ModuleType]
) -> None:
    test = figures(capsys, "runs/lm")
    assert script("bigram").main(["runs/lm"]) == 0
    said = capsys.readouterr().out
    assert f"test: n = {test['n']} texts, {test['tokens']:,} tokens" in said
    assert f"runs/lm: perplexity of a token {test['perplexity']:.2f}" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--text.pieces words", "text.pieces is words, and data.name is lines"),
        ("--text.vocabulary 200", "text.vocabulary is 200"),
        ("--model.tokenizer conv", "model.tokenizer is conv, and data.name is lines"),
        ("--model.pool mean", "model.pool is mean, and data.name is lines"),
        (
            "--model.init minilm",
            "text.vocabulary is 300, and model.init is minilm, which has its own tokenizer",
        ),
        ("--model.freeze true", "model.freeze is true, and data.name is lines"),
        ("--data.balance weights", "data.balance is weights, and data.name is lines"),
        ("--data.label_column x", "data.label_column is x, and data.name is lines"),
        ("--data.name sst2", "model.tied is true, and data.name is sst2"),
    ],
)
def test_what_a_language_model_has_not_is_refused(
    options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TRAIN, "--name", "no", *options.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


FINETUNE = "train --config finetune_text --data.name lines --data.root texts.txt --trainer.max_epochs 1"


def test_a_language_model_goes_on_from_another(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = f"{FINETUNE} --model.init runs/lm --name on --optim.lr 1e-9 --trainer.precision 32-true"
    assert main(arguments.split()) == 0
    assert "start from runs/lm" in (said := capsys.readouterr().out)
    assert "head kept" in said
    old, new = (json.loads(Path(f"runs/{name}/model/config.json").read_text()) for name in ("lm", "on"))
    assert new["scores"]["val"]["perplexity"] == pytest.approx(old["scores"]["val"]["perplexity"], rel=1e-3)
    assert (new["architecture"]["tied"], new["preprocess"]) == (True, old["preprocess"])
    assert isinstance(vit.load_model("runs/on").generate("The cat", max_tokens=5), str)


def test_weights_of_a_classifier_are_no_language_model(
    run: Path, texts_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FINETUNE.split(), "--model.init", str(texts_run), "--name", "no"]) == 1
    assert "which does not predict the next token: expected a causal language" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--flip", "--attribution", "--corruptions", "--label-column x"])
def test_options_of_classifiers_are_refused(
    run: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "runs/lm", *option.split()]) == 2
    assert "applies to models with classes, not to a language model" in capsys.readouterr().err


def test_without_data_it_says_how_to_give_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIT_DATA", raising=False)
    assert main(["train", "--config", "text_lm"]) == 1
    assert "neither data.root nor VIT_DATA is set; give one of them" in capsys.readouterr().err
