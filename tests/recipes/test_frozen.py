"""A head trained alone, on features that are computed once."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vit.bundle import read_bundle, write_bundle
from vit.cli import main
from vit.data.features import FeatureExamples
from vit.evaluation.results import read_metrics
from vit.recipes import frozen
from vit.recipes.frozen import HeadAlone
from vit.weights.models import load_model
from vit.weights.unfinished import checkpoint_weights

from ..towers import vision_tower
from ..training.test_resume import RESUME, Cut, assert_same, at_step, cut, state

TRAIN = "train --config probe --model.init start --data.name digits --trainer.max_epochs 4"
NOISY = "--optim.ema 0.9 --optim.weight_decay 0.3 --optim.clip 1 --data.balance sampler"


@pytest.fixture(autouse=True)
def start(digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`start`: the model of a run with dropout, stochastic depth and batch norm, and other labels."""
    monkeypatch.chdir(tmp_path)
    stored = read_bundle(digits_run / "model")
    arguments = stored.architecture | {"dropout": 0.3, "drop_path": 0.4, "tokenizer": "conv"}
    tower = vision_tower(**arguments)
    for name, buffer in tower.named_buffers():
        if buffer.is_floating_point() and "whiten" not in name:
            buffer.uniform_(0.5, 2.0)
    stored.architecture, stored.weights = arguments, tower.state_dict()
    stored.labels = [f"digit {index}" for index in range(10)]
    write_bundle(Path("start"), stored)
    return Path("start")


def test_everything_but_the_head_is_bit_equal(start: Path) -> None:
    assert main([*TRAIN.split(), *NOISY.split(), "--name", "run"]) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (start, Path("runs/run/model")))
    assert before.keys() == after.keys()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"head.weight", "head.bias"}
    checkpoint = torch.load("runs/run/checkpoints/last.ckpt", weights_only=True)
    assert not any("encoder" in name for name in checkpoint["state_dict"])
    assert not (Path("runs/run") / "overlays").exists()


def test_the_figures_are_those_of_the_whole_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN.split(), "--name", "run"]) == 0
    capsys.readouterr()
    assert main("evaluate runs/run --split val --json".split()) == 0  # noqa: SIM905
    figures = json.loads(capsys.readouterr().out)
    rows = read_metrics(Path("runs/run/metrics.csv"))
    best = max(rows, key=lambda row: (row["val_accuracy"], -(row["val_loss"] or 0)))
    assert figures["accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-5)
    assert figures["loss"] == pytest.approx(best["val_loss"], rel=1e-4)
    assert figures["accuracy"] > 0.3, "random features tell a part of the digits apart"


def test_features_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, plain = [], frozen.frozen_features

    def counted(model: Any, examples: Any, *args: Any, **options: Any) -> torch.Tensor:
        counts.append(len(examples))
        assert not model.training
        return plain(model, examples, *args, **options)

    monkeypatch.setattr(frozen, "frozen_features", counted)
    assert main([*TRAIN.split(), "--name", "run"]) == 0
    assert counts == [1295, 143]


def test_resumed_without_the_weights_it_began_with(start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = [*TRAIN.split(), *NOISY.split()]
    assert main([*args, "--name", "whole"]) == 0
    with monkeypatch.context() as patch:
        at_step(patch, 8, cut)
        with pytest.raises(Cut):
            main([*args, "--name", "run", "--trainer.save_every", "0"])
    shutil.rmtree(start)
    unfinished = load_model("runs/run")
    whole = load_model("runs/whole")
    for name, tensor in whole.state_dict().items():
        assert name.startswith("head.") or torch.equal(unfinished.state_dict()[name], tensor), name
    assert main(RESUME) == 0
    assert_same(state("run"), state("whole"))
    file = Path("runs/run/checkpoints/frozen.safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert main([*RESUME, "--trainer.max_epochs", "5"]) == 1


def test_a_head_that_is_kept(digits_run: Path) -> None:
    """It begins as it was, whatever the deviation of its features."""
    tower = load_model(digits_run)
    head: Any = HeadAlone(tower)
    images = torch.randn(31, 1, 8, 8)
    with torch.no_grad():
        features = tower.features(images) * torch.linspace(0.1, 9, 24) + 3
        expected = tower.head(features)
        head.standardise(features)
        torch.testing.assert_close(head(features), expected, atol=1e-5, rtol=1e-5)
        standard = (features - features.mean(0)) / features.std(0, correction=0)
        torch.testing.assert_close(head(features), head.head(standard), atol=1e-4, rtol=1e-4)
        weights = checkpoint_weights({"state_dict": {f"model.{k}": v for k, v in head.state_dict().items()}})
        folded = torch.nn.functional.linear(features, weights["head.weight"], weights["head.bias"])
        torch.testing.assert_close(folded, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("args", "key"),
    [
        ("--augment.policy trivial", "augment.policy is trivial"),
        ("--augment.grow_from 0.5", "augment.grow_from is 0.5"),
        ("--model.dropout 0.1", "model.dropout is 0.1"),
        ("--model.drop_path 0.1", "model.drop_path is 0.1"),
    ],
)
def test_what_has_no_effect_is_refused(args: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN.split(), *args.split()]) == 2
    assert f"{key}, and model.freeze is true: the head is trained on features" in capsys.readouterr().err


def test_muon_has_no_matrix_to_take() -> None:
    assert main([*TRAIN.split(), "--optim.name", "muon", "--name", "run"]) == 0


@pytest.mark.parametrize("unit", [False, True])
def test_texts(unit: bool, texts_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also with features of length 1, which the head does not read."""
    stored = read_bundle(texts_run / "model")
    stored.architecture |= {"unit": unit}
    stored.labels = ["bad", "good"]
    write_bundle(Path("sentences"), stored)
    reviews = texts_run.parents[1] / "reviews.tsv"
    args = f"train --config probe --model.init sentences --data.name text --data.root {reviews} --name run"
    assert main([*args.split(), "--trainer.max_epochs", "3"]) == 0
    before, after = (load_file(Path(f, "model.safetensors")) for f in ("sentences", "runs/run/model"))
    assert {k for k in before if not torch.equal(before[k], after[k])} == {"head.weight", "head.bias"}
    capsys.readouterr()
    assert main("evaluate runs/run --split val --json".split()) == 0  # noqa: SIM905
    figures = json.loads(capsys.readouterr().out)
    rows = read_metrics(Path("runs/run/metrics.csv"))
    best = max(rows, key=lambda row: (row["val_accuracy"], -(row["val_loss"] or 0)))
    assert figures["loss"] == pytest.approx(best["val_loss"], rel=1e-4)


def test_examples_of_features() -> None:
    features, targets = torch.randn(7, 3), torch.arange(7) % 2
    examples = FeatureExamples(features, targets, [f"n{i}" for i in range(7)], [f"d{i}" for i in range(7)])
    batch, classes, indices = examples[[5, 2]]
    assert torch.equal(batch, features[[5, 2]])
    assert classes.tolist() == [1, 0]
    assert indices.tolist() == [5, 2]
    part = examples.subset(torch.tensor([6, 0]))
    assert (len(part), part.names, part.digests) == (2, ["n6", "n0"], ["d6", "d0"])
    both = part.joined(examples)
    assert torch.equal(both.features[1], features[0])
    assert (len(both), len(both.targets), both.names[2]) == (9, 9, "n0")


def test_weights_that_give_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    stored = read_bundle(Path("start"))
    stored.weights["positions.table"].fill_(float("nan"))
    write_bundle(Path("start"), stored)
    assert main([*TRAIN.split(), "--name", "run"]) == 1
    assert "lower optim.lr, or check the weights" in capsys.readouterr().err
