"""Pictures and texts with several labels: train, resume, evaluate, predict, attend."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import vit
from vit.bundle import read_bundle
from vit.cli import main
from vit.evaluation.results import read_metrics
from vit.inference.predict import labeller
from vit.training.module import Classifier
from vit.weights.models import fingerprint, load_model

COLORS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
SMALL = (
    "--data.image_size 16 --data.batch_size 16 --augment.policy none --augment.crop none --augment.mixup 0.2 "
    "--model.tokenizer patch --model.width 24 --model.depth 1 --trainer.max_epochs 2 --trainer.overlays 3 "
    "--trainer.precision 32-true --optim.ema 0"
)
WORDS = {"food": "the soup was fine", "price": "it was too dear", "staff": "a rude waiter"}
SETS = [set(), {0}, {1}, {2}, {0, 1}, {1, 2}, {0, 1, 2}]  # of labels, by their numbers


def write_pictures(folder: Path) -> None:
    """Pictures of a noisy ground with a square of each color that they are labelled with."""
    folder.mkdir()
    noise = torch.Generator().manual_seed(11)
    rows = []
    for number in range(98):
        pixels = torch.randint(0, 60, (16, 16, 3), generator=noise, dtype=torch.uint8)
        names = [name for index, name in enumerate(COLORS) if index in SETS[number % 7]]
        for place, name in enumerate(names):
            pixels[5 * place : 5 * place + 5, 3:9] = torch.tensor(COLORS[name], dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{number:02}.png")
        rows.append((f"{number:02}.png", "|".join(names), "test" if number >= 70 else "train"))
    with (folder / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "part"), *rows])


def write_texts(file: Path) -> None:
    """Texts with a column of 0, 1 and nothing for each label."""
    rows = []
    for number in range(140):
        has = [int(index in SETS[number % 7]) for index in range(3)]
        said = " and ".join(words for words, one in zip(WORDS.values(), has, strict=True) if one)
        cells = ["" if (number + index) % 5 == 0 else one for index, one in enumerate(has)]
        rows.append([f"visit {number} {said}", *cells, "test" if number >= 112 else "train"])
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["text", *WORDS, "part"], *rows])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder, with `pictures`, `texts.csv`, and the runs `many` and `said`."""
    folder = tmp_path_factory.mktemp("several")
    before = Path.cwd()
    os.chdir(folder)
    try:
        write_pictures(folder / "pictures")
        write_texts(folder / "texts.csv")
        pictures = f"train --config folder --data.root pictures --data.label_separator | --name many {SMALL}"
        assert main(pictures.split()) == 0
        texts = (
            "train --config text_sst2 --data.name text --data.root texts.csv --name said "
            "--data.label_columns [food,price,staff] --data.balance weights --text.pieces bpe "
            "--text.vocabulary 120 --model.width 24 --model.heads 2 --trainer.max_epochs 2 "
            "--trainer.precision 32-true"
        )
        assert main(texts.split()) == 0
        yield folder
    finally:
        os.chdir(before)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("run", ["many", "said"])
def test_a_run(place: Path, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place / "runs" / run
    rows = read_metrics(folder / "metrics.csv")
    assert {"train_map", "val_map"} <= rows[0].keys()
    assert not any("accuracy" in name for name in rows[0])
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["epoch"]
    assert rows[best]["val_map"] == max(row["val_map"] or 0 for row in rows)
    bundle = read_bundle(folder / "model")
    assert len(bundle.thresholds) == len(bundle.labels) == 3
    assert bundle.scores["val"]["map"] == pytest.approx(rows[best]["val_map"], abs=1e-4)
    assert (folder / "report.html").read_text().count("mean average precision") == 1
    assert (folder / "plots" / "precision_recall.png").is_file()
    assert main(["evaluate", f"runs/{run}", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() >= {"map", "f1_micro", "f1_macro", "accuracy", "n", "split", "data", "model"}
    assert figures["n"] == 28
    if run == "said":
        known = {label: row["known"] for label, row in figures["classes"].items()}
        assert all(20 < n < 28 for n in known.values()), "an empty cell is unknown"
    assert main(["evaluate", f"runs/{run}", "--output", f"of_{run}"]) == 0
    out = capsys.readouterr().out
    assert f"test, n = 28: mean average precision {100 * figures['map']:.2f} %" in out
    assert main(["evaluate", f"runs/{run}/model", "--data", "pictures" if run == "many" else "texts.csv",
                 "--json"]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["map"] == figures["map"]


def test_the_labels_of_predicted_pictures(place: Path) -> None:
    assert main(["predict", "runs/many", "pictures/*.png", "--output", "p.csv", "--topk", "2"]) == 0
    model = vit.load_model("runs/many")
    found = rows_of(place / "p.csv")
    assert list(found[0])[-1] == "labels"
    for row in found:
        with torch.no_grad():
            scores = model(model.preprocess(Image.open(place / row["path"]))[None])[0].sigmoid()
        best = json.loads(row["topk"])
        assert (row["label"], int(row["index"])) == (model.labels[scores.argmax()], int(scores.argmax()))
        assert [entry["score"] for entry in best] == pytest.approx(scores.topk(2).values.tolist(), abs=2e-6)
        above = [score >= limit for score, limit in zip(scores.tolist(), model.thresholds, strict=True)]
        assert json.loads(row["labels"]) == [
            name for name, is_above in zip(model.labels, above, strict=True) if is_above
        ]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_no_label_is_an_answer(place: Path, suffix: str) -> None:
    shutil.copytree("runs/many/model", f"strict_{suffix}")
    config = Path(f"strict_{suffix}/config.json")
    description = json.loads(config.read_text()) | {"thresholds": [0.999] * 3}
    config.write_text(json.dumps(description))
    assert main(["predict", f"strict_{suffix}", "pictures/*.png", "--output", f"none.{suffix}"]) == 0
    if suffix == "jsonl":
        rows = [json.loads(line) for line in Path("none.jsonl").read_text().splitlines()]
        assert {str(row["labels"]) for row in rows} == {"[]"}
    else:
        from pyarrow.parquet import read_table

        rows = read_table("none.parquet").to_pylist()
        assert {row["labels"] for row in rows} == {"[]"}
    assert all(row["label"] in COLORS and 0 < row["score"] < 0.999 for row in rows)
    assert fingerprint(load_model(f"strict_{suffix}")) != fingerprint(load_model("runs/many"))


def test_scores_near_a_threshold_are_computed_again(place: Path) -> None:
    model = load_model("runs/many")
    model.thresholds = [0.5, 0.3, 0.9]
    uncertain = labeller(model).uncertain
    assert uncertain is not None
    near = torch.tensor([0.5, 0.3, 0.9]).logit()
    logits = near + torch.tensor([[0.09, 2, -5], [-2, -2, -5], [-2, -0.09, -5], [3, 3, 0.09], [0.2, 2, -5]])
    assert uncertain(logits).tolist() == [True, False, True, True, False]


def test_a_threshold_for_unknown_inputs_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "runs/many", "pictures", "--output", "u.csv", "--unknown", "0.5"]) == 2
    assert "the model has a threshold for each label" in capsys.readouterr().err


def test_a_map_for_a_label(place: Path) -> None:
    words = "attend runs/many pictures/06.png --output maps --method relevance --target green"
    assert main(words.split()) == 0
    (row,) = rows_of(place / "maps" / "attend.csv")
    assert row["explained"] == "green"
    with torch.no_grad():
        model = vit.load_model("runs/many")
        scores = model(model.preprocess(Image.open(place / "pictures" / "06.png"))[None]).sigmoid()
    assert float(row["score"]) == pytest.approx(float(scores.max()), abs=2e-6)
    assert main(["attend", "runs/said", "--text", "the soup was too dear", "--output", "said_maps"]) == 0


def test_two_processes_measure_what_one_does(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/said", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vit.cli"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        [*command, "evaluate", "runs/said", "--json"], capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    together = json.loads(ended.stdout)
    assert together.pop("loss") == pytest.approx(alone.pop("loss"))
    assert together == alone


class Cut(BaseException):
    """Stands for a power cut."""


def test_a_resumed_run_is_the_whole_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also within an epoch: the checkpoint keeps the counts of its mean average precision."""
    words = f"train --config folder --data.root pictures --data.label_separator | --name cut {SMALL}"
    plain, seen = Classifier.training_step, []

    def step(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == 6:
            raise Cut
        return plain(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "training_step", step)
        with pytest.raises(Cut):
            main([*words.split(), "--trainer.save_every", "0.001"])
    assert load_model("runs/cut").thresholds == [0.5] * 3, "of an unfinished run"
    assert main(["train", "--name", "cut", "--resume"]) == 0
    whole, cut = (read_metrics(place / "runs" / name / "metrics.csv") for name in ("many", "cut"))
    for row in (*whole, *cut):
        del row["seconds"], row["images_per_second"], row["data_wait"]
    assert cut == whole
    weights = (place / "runs" / name / "model" / "model.safetensors" for name in ("many", "cut"))
    first, second = (file.read_bytes() for file in weights)
    assert first == second


def test_data_of_another_kind_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "runs/many", "--data", "digits"]) == 1
    assert "digits has one label per example, and the model gives several" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--config digits --data.label_separator ;", "whose examples have one label each"),
        ("--config folder --data.label_separator ; --data.balance sampler", "data.balance weights weighs"),
        ("--config folder --data.label_separator ; --data.label_columns [a]", "give one of them"),
    ],
)
def test_what_cannot_be_is_refused(options: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *options.split()]) == 2
    assert message in capsys.readouterr().err


def test_one_label_has_no_thresholds(digits_run: Path) -> None:
    """The bundle is one that earlier versions read; a bundle without the key is one of one label."""
    assert "thresholds" not in json.loads((digits_run / "model" / "config.json").read_text())
    assert load_model(digits_run).thresholds == []
