"""Small runs from start to finish: the files they write, and what their result depends on."""

import csv
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file

import vit
from vit.cli import main
from vit.evaluation.metrics import evaluate
from vit.training.module import Classifier
from vit.vision import VisionTransformer
from vit.weights.models import fingerprint

SMALL = ["--config", "digits", "--model.width", "24", "--model.depth", "1", "--trainer.precision", "32-true"]


def train(name: str, *args: str) -> Path:
    assert main(["train", *SMALL, "--name", name, *args]) == 0
    return Path("runs") / name


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_leaves_what_the_contract_says(digits_run: Path) -> None:
    expected = """config.yaml env.json metrics.csv train.log checkpoints/last.ckpt checkpoints/best.ckpt
    model/model.safetensors model/config.json plots/curves.png plots/confusion.png plots/wrongest.png
    plots/reliability.png plots/classes.png mistakes.csv classes.csv confusion.csv report.html"""
    for name in expected.split():
        assert (digits_run / name).stat().st_size > 0, name
    with (digits_run / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(row[name] for row in rows for name in row)
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    assert (
        json.loads((digits_run / "env.json").read_text())["packages"]["torch"]
        == torch.__version__.split("+")[0]
    )
    assert "val accuracy" in (digits_run / "train.log").read_text()


def test_the_same_seed_gives_the_same_weights_and_its_config_runs_again() -> None:
    first = train("first", "--trainer.max_epochs", "2")
    assert main(["train", "--config", "runs/first/config.yaml", "--name", "again"]) == 0
    other = train("other", "--trainer.max_epochs", "2", "--seed", "1")
    weights = [load_file(run / "model" / "model.safetensors") for run in (first, Path("runs/again"), other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_the_bundle_holds_the_best_epoch_not_the_last() -> None:
    run = train("best", "--trainer.max_epochs", "4", "--optim.lr", "0.05", "--optim.schedule", "constant")
    with (run / "metrics.csv").open() as stream:
        accuracies = [float(row["val_accuracy"]) for row in csv.DictReader(stream)]
    stored = json.loads((run / "model" / "config.json").read_text())["scores"]["val"]["accuracy"]
    assert stored == pytest.approx(max(accuracies), abs=1e-6)


def test_a_wall_clock_budget_ends_the_run_with_the_rate_at_zero() -> None:
    args = [
        "--trainer.max_epochs",
        "null",
        "--trainer.max_time",
        "00:00:00:04",
        "--optim.schedule",
        "linear",
    ]
    run = train("budget", *args)
    with (run / "metrics.csv").open() as stream:
        last = list(csv.DictReader(stream))[-1]
    assert 3.5 < float(last["seconds"]) < 9
    assert float(last["lr"]) < 0.05 * 0.002


def test_no_time_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SMALL, "--name", "none", "--trainer.max_time", "00:00:00:00"]) == 1
    error = capsys.readouterr().err
    assert "the run ended before its first validation: give it more time" in error
    assert error.count("\n") == 1


def test_the_learning_rate_in_the_logs_is_that_of_adamw() -> None:
    args = "--trainer.max_epochs 1 --optim.name muon --optim.lr 0.003 --optim.schedule constant"
    run = train("muon", *args.split())
    for name in ("metrics.csv", "steps.csv"):
        with (run / name).open() as stream:
            assert float(list(csv.DictReader(stream))[-1]["lr"]) == pytest.approx(0.003)


def test_resume_continues_after_the_last_epoch_even_where_another_was_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Classifier.training_step

    def unlearn_later(self: Classifier, *args: Any) -> torch.Tensor:
        return plain(self, *args) * (1 if self.current_epoch == 0 else -1)

    monkeypatch.setattr(Classifier, "training_step", unlearn_later)
    run = train("long", "--trainer.max_epochs", "3", "--optim.ema", "0")
    kept = {
        name: torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]
        for name in ("best", "last")
    }
    assert kept == {"best": 0, "last": 2}
    assert main(["train", "--name=long", "--resume", "--trainer.max_epochs", "5"]) == 0
    with (run / "metrics.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/tmp/x"])
def test_a_run_stays_below_runs(name: str) -> None:
    assert main(["train", *SMALL, "--name", name, "--overwrite"]) == 2


def test_a_folder_that_is_not_a_run_is_not_replaced() -> None:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/letter.txt").write_text("dear")
    assert main(["train", *SMALL, "--name", "mine", "--overwrite"]) == 1
    assert Path("runs/mine/letter.txt").read_text() == "dear"


def test_a_run_that_cannot_start_leaves_what_it_would_have_replaced() -> None:
    run = train("kept", "--trainer.max_epochs", "1")
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    assert main(["train", *SMALL, "--name", "kept", "--overwrite", "--trainer.strategy", "abacus"]) == 1
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before
    assert main(["train", *SMALL, "--name", "fresh", "--trainer.strategy", "abacus"]) == 1
    assert not Path("runs/fresh").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["--optim.name", "muon", "--optim.ema", "0.9"],
        [
            "--model.tokenizer",
            "conv",
            "--model.pool",
            "mean",
            "--model.drop_path",
            "0.2",
            "--optim.ema",
            "0.9",
        ],
        ["--augment.mixup", "0.4", "--augment.cutmix", "1.0", "--augment.erase", "0.3"],
        ["--augment.policy", "trivial", "--augment.crop", "resized", "--model.pool", "attention"],
        ["--trainer.precision", "bf16-mixed", "--trainer.accumulate", "2", "--model.registers", "2"],
        ["--data.image_size", "[12, 16]", "--model.positions", "sincos", "--model.layer_scale", "0.1"],
    ],
    ids=["muon", "conv", "mix", "trivial", "bf16", "size"],
)
def test_options_run(args: list[str]) -> None:
    run = train("switched", "--trainer.max_epochs", "1", *args)
    model = vit.load_model(run)
    image = model.preprocess(__import__("PIL.Image").Image.new("L", (9, 9), 40))
    assert model(image[None]).isfinite().all()
    assert fingerprint(model) == fingerprint(vit.load_model(run))


def test_progressive_resizing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, int]] = []

    def watched(tower: VisionTransformer, images: torch.Tensor) -> torch.Tensor:
        seen.append((tower.training, images.shape[-1]))
        return embed(tower, images)

    embed = VisionTransformer.embed
    monkeypatch.setattr(VisionTransformer, "embed", watched)
    args = "--augment.grow_from 0.5 --augment.grow_until 0.5 --model.patch_size 2 --trainer.max_epochs 2"
    train("grown", *args.split(), "--trainer.overlays", "0")
    trained = [side for training, side in seen if training]
    assert trained == sorted(trained)
    assert set(trained) == {4, 6, 8}
    assert trained.count(8) == pytest.approx(len(trained) / 2, abs=1)
    assert {side for training, side in seen if not training} == {8}


@mock.patch.dict(os.environ)  # Lightning writes the group's address there
def test_no_group_of_processes_outlives_a_run() -> None:
    train("group", "--trainer.max_epochs", "1", "--trainer.strategy", "ddp", "--trainer.devices", "1")
    assert not torch.distributed.is_initialized()


def test_the_averaged_weights_are_those_that_are_kept() -> None:
    run = train(
        "averaged", "--trainer.max_epochs", "1", "--optim.ema", "0.99", "--optim.schedule", "constant"
    )
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    kept = load_file(run / "model" / "model.safetensors")["head.weight"]
    assert torch.equal(kept, checkpoint["state_dict"]["model.head.weight"])
    assert not torch.equal(kept, checkpoint["current_model_state"]["model.head.weight"])


def test_a_folder_of_images(tmp_path: Path) -> None:
    from PIL import Image

    noise = torch.Generator().manual_seed(5)
    for label, level in (("dark", 40), ("light", 200)):
        folder = tmp_path / "pictures" / label
        folder.mkdir(parents=True)
        for index in range(12):
            pixels = torch.randint(0, 50, (11, 17, 3), generator=noise) + level
            Image.fromarray(pixels.byte().numpy()).save(folder / f"{index}.png")
    (tmp_path / "pictures" / "dark" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    args = "--config folder --data.root pictures --data.image_size 16 --model.width 24 --model.depth 1"
    assert main(["train", *args.split(), "--trainer.max_epochs", "2", "--data.batch_size", "8"]) == 3
    assert "dark/broken.jpg" in Path("runs/folder/train.log").read_text()
    assert vit.load_model("runs/folder").labels == ["dark", "light"]


def test_evaluate_against_counting() -> None:
    torch.manual_seed(1)
    logits = torch.randn(23, 7)
    targets = torch.randint(0, 7, (23,))

    class Fixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.anchor = torch.nn.Parameter(torch.zeros(1))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return logits[rows]

    batches = [(torch.arange(23)[part], targets[part], None) for part in (slice(0, 10), slice(10, 23))]
    result = evaluate(Fixed(), batches, lambda rows: rows, 7)
    ranks = logits.argsort(descending=True)
    assert result.n == 23
    assert result.accuracy == pytest.approx(
        sum(r[0] == t for r, t in zip(ranks.tolist(), targets.tolist(), strict=True)) / 23
    )
    assert result.accuracy_top5 == pytest.approx(
        sum(t in r[:5] for r, t in zip(ranks.tolist(), targets.tolist(), strict=True)) / 23
    )
    assert result.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, targets)), abs=1e-6)
    assert int(result.confusion.sum()) == 23
    assert torch.equal(result.confusion.diag().sum(), (result.predicted == targets).sum())


def test_classes_of_unequal_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of the loss, and what the sampler draws, where one class has nine times the images."""
    from PIL import Image

    noise = torch.Generator().manual_seed(5)
    for label, level, count in (("common", 40, 90), ("rare", 60, 10)):
        folder = tmp_path / "pictures" / label
        folder.mkdir(parents=True)
        for index in range(count):
            pixels = torch.randint(0, 150, (9, 9, 3), generator=noise) + level
            Image.fromarray(pixels.byte().numpy()).save(folder / f"{index}.png")
    seen: dict[str, list[Any]] = {"weights": [], "sampler": []}

    def watched(self: Classifier, batch: Any, number: int) -> torch.Tensor:
        seen[kind].append((self.objective.class_weights, batch[1]))
        return plain(self, batch, number)

    plain = Classifier.training_step
    args = "--config folder --data.root pictures --data.image_size 16 --model.width 24 --model.depth 1 "
    args += "--trainer.max_epochs 2 --data.batch_size 7 --trainer.overlays 0 --trainer.precision 32-true "
    args += "--augment.mixup 0 --augment.cutmix 0"
    monkeypatch.setattr(Classifier, "training_step", watched)
    for kind in seen:
        assert main(["train", *args.split(), "--data.balance", kind, "--name", kind]) == 0
    weights = seen["weights"][0][0]
    counts = 72 / (2 * weights)  # of the images that are left for training
    assert float(counts.sum()) == pytest.approx(72)
    assert float(counts[1]) == pytest.approx(7, abs=1.5)
    assert all(found is None for found, _ in seen["sampler"])
    rare = torch.cat([targets for _, targets in seen["sampler"]]).float()
    assert 0.35 < float(rare.mean()) < 0.65


def test_texts_are_counted_as_texts(texts_run: Path, digits_run: Path) -> None:
    assert " texts/s" in (texts_run / "train.log").read_text()
    assert " images/s" in (digits_run / "train.log").read_text()
    for run in (texts_run, digits_run):
        assert "images_per_second" in (run / "metrics.csv").read_text().splitlines()[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ("--trainer.accelerator cuda", 1, "trainer.accelerator is cuda, and this machine has cpu"),
        ("--trainer.accelerator abacus", 2, "trainer.accelerator is 'abacus'; known: auto, gpu, cpu"),
        ("--trainer.accelerator cpu --trainer.devices 0", 1, "trainer.devices is 0"),
    ],
)
def test_a_device_that_is_not_there(
    args: str, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "devices" not in args:
        monkeypatch.setattr("vit.recipes.train.prepare", None)  # no data are read
    assert main(["train", *SMALL, "--name", "none", *args.split()]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
