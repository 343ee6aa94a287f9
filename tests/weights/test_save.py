"""A model that is saved comes back: the same outputs, labels, preprocessing, and where it is from."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import vit
from vit.bundle import read_bundle
from vit.cli import main
from vit.data.preprocess import Preprocess
from vit.errors import VitError
from vit.text import train_tokenizer
from vit.weights.models import fingerprint, load_model

from ..towers import text_tower, vision_tower

TEXTS = ["the cat sat on the mat", "a dog ran to the cat", "the mat ran and the dog sat"]


def images() -> Any:
    model = vision_tower(3, (10, 14), width=12, depth=2, heads=2, channels=1, patch_size=(2, 7), registers=1)
    model.labels = ["a", "<b>", "ünï"]
    model.preprocess = Preprocess(
        10, 14, 1, (0.3,), (0.7,), crop=0.9, interpolation="lanczos", resize="squash"
    )
    return randomised(model)


def texts(**arguments: Any) -> Any:
    tokenizer = train_tokenizer(TEXTS, vocabulary=100, length=9)
    model = text_tower(3, tokenizer.vocabulary, width=12, depth=2, heads=2, length=9, **arguments)
    model.labels, model.preprocess = ["x", "y", "z"], tokenizer
    return randomised(model)


def randomised(model: Any) -> Any:
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def sentences() -> Any:
    return unlabelled(texts(pool="mean", unit=True, pooler="tanh"))


def several() -> Any:
    model = images()
    model.thresholds = [0.2, 0.5, 0.7]
    return model


def unlabelled(model: Any) -> Any:
    """As CLIP's towers: the head is a projection."""
    model.labels = []
    return model


CASES = {
    "image": images,
    "text": texts,
    "sentences": sentences,
    "several": several,
    "projection": lambda: unlabelled(images()),
}


@pytest.mark.parametrize("case", CASES)
def test_round_trip(case: str, tmp_path: Path) -> None:
    model = CASES[case]()
    model.source = {"word": "hf:somewhere", "sha256": "ab" * 32, "license": "MIT"}
    model.save(tmp_path / "deep" / "saved")
    found = vit.load_model(tmp_path / "deep" / "saved")
    assert (found.labels, found.thresholds) == (model.labels, model.thresholds)
    assert found.architecture == model.architecture
    assert found.preprocess.to_dict() == model.preprocess.to_dict()
    assert found.state_dict().keys() == model.state_dict().keys()
    if model.reads == "text":
        inputs = model.preprocess.batch(TEXTS)
        assert torch.equal(found.preprocess.batch(TEXTS), inputs)
    else:
        picture = Image.new("L", (31, 17), 90)
        inputs = torch.stack([model.preprocess(picture), torch.randn(1, 10, 14)])
        assert torch.equal(found.preprocess(picture), inputs[0])
    assert torch.equal(found(inputs), model(inputs))
    assert torch.equal(found.features(inputs), model.features(inputs))
    assert fingerprint(found) == fingerprint(model)
    assert found.source == {"word": str(tmp_path / "deep" / "saved"), "license": "MIT"}
    assert read_bundle(tmp_path / "deep" / "saved").training == {"init": model.source | {"head": "kept"}}


def test_it_is_a_model_for_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = images()
    model.save(str(tmp_path / "saved"))  # a second time: it is replaced
    model.save(str(tmp_path / "saved"))
    Image.new("L", (31, 17), 90).save(tmp_path / "a.png")
    words = [str(tmp_path / name) for name in ("saved", "a.png")]
    assert main(["predict", *words, "--output", str(tmp_path / "rows.jsonl")]) == 0
    row = json.loads((tmp_path / "rows.jsonl").read_text())
    logits = model(model.preprocess(tmp_path / "a.png")[None])
    assert row["label"] == model.labels[int(logits.argmax())]
    capsys.readouterr()
    assert main(["info", words[0], "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["training"] == {}, "nothing is known of where it is from"
    assert list(facts["source"]) == ["word", "sha256"]


def test_a_model_without_labels_does_not_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unlabelled(images()).save(tmp_path / "saved")
    Image.new("L", (31, 17), 90).save(tmp_path / "a.png")
    words = [str(tmp_path / name) for name in ("saved", "a.png")]
    assert main(["predict", *words, "--output", str(tmp_path / "rows.jsonl")]) == 1
    assert "it gives features" in capsys.readouterr().err
    assert main(["embed", *words, "--output", str(tmp_path / "rows.jsonl")]) == 0


def test_from_timm(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=48, depth=2, embed_dim=24, num_heads=3)
    ours = vit.from_timm(randomised(theirs))
    ours.preprocess = Preprocess(48, 48)
    ours.save(tmp_path / "saved")
    found = load_model(tmp_path / "saved")
    pixels = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(found(pixels), theirs(pixels), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("case", "needed"),
    [
        ("image", "set model.preprocess, a vit.data.preprocess.Preprocess"),
        ("text", r"vit.from_huggingface\(model, tokenizer\) takes the tokenizer along"),
    ],
)
def test_without_preprocessing(case: str, needed: str, tmp_path: Path) -> None:
    model = CASES[case]()
    model.preprocess = None
    with pytest.raises(VitError, match=f"no preprocess, which {case}s need: {needed}"):
        model.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("mine")
    with pytest.raises(VitError, match="saved is a file, expected a folder"):
        images().save(tmp_path / "saved")
    assert (tmp_path / "saved").read_text() == "mine"


@pytest.mark.parametrize(
    ("files", "held"),
    [
        ({"config.json": '{"model_type": "vit"}', "model.safetensors": "theirs"}, "holds files"),
        ({"notes.txt": "mine"}, "holds files"),
        ({"config.json": "[]"}, "holds files"),
        ({"checkpoints/last.ckpt": "a run"}, "is the folder of a run"),
        ({"model/config.json": '{"format": "vit-bundle-1"}'}, "is the folder of a run"),
    ],
)
def test_files_of_others_are_not_replaced(files: dict[str, str], held: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(VitError, match=f"{held}.*save the model to another folder"):
        images().save(tmp_path)
    found = {str(p.relative_to(tmp_path)): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == files
