"""Training from weights that exist: what is taken of them, what is new, what is refused."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from torch.nn.functional import interpolate

from vit.bundle import read_bundle, read_description, write_bundle
from vit.cli import main
from vit.config import Config, ModelConfig
from vit.data.preprocess import Preprocess
from vit.data.splits.record import FILE as RECORD
from vit.errors import UsageError
from vit.recipes.checks import check
from vit.recipes.train import prepare
from vit.weights.models import load_model

from ..towers import vision_tower
from ..training.test_resume import RESUME, Cut, assert_same, at_step, cut, state

SHORT = "--data.name digits --augment.policy none --trainer.max_epochs 1 --trainer.precision 32-true"
SHORT += " --trainer.overlays 0 --data.batch_size 300"


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(init: Path | str, **data: Any) -> Config:
    found = Config()
    found.data.name = "digits"
    found.model.init = str(init)
    for name, value in data.items():
        setattr(found.data, name, value)
    return found


def changed(run: Path, **changes: Any) -> str:
    """The model of a run with other fields."""
    write_bundle(Path("changed"), replace(read_bundle(run / "model"), **changes))
    return "changed"


def head_of(model: Any) -> torch.Tensor:
    return torch.cat([model.head.weight, model.head.bias[:, None]], 1)


def assert_same_body(model: Any, other: Any, *but: str) -> None:
    weights = other.state_dict()
    for name, tensor in model.state_dict().items():
        if not name.startswith("head.") and name not in but:
            assert torch.equal(tensor, weights[name]), name


def test_the_same_labels_keep_the_head(digits_run: Path) -> None:
    run = prepare(config(digits_run))
    other = load_model(digits_run)
    assert_same_body(run.model, other)
    assert torch.equal(head_of(run.model), head_of(other))
    assert run.initial.note.endswith("head kept")
    card = run.bundle(Config().data, {}).training["init"]
    assert (card["word"], card["head"]) == (str(digits_run), "kept")


def test_labels_in_another_order_are_mapped_by_name(digits_run: Path) -> None:
    """A model whose head gives the digits in another order comes back as the one that gives them in order."""
    order = torch.tensor([7, 2, 9, 0, 1, 8, 3, 6, 5, 4])
    stored = read_bundle(digits_run / "model")
    for name in ("head.weight", "head.bias"):
        stored.weights[name] = stored.weights[name][order]
    word = changed(digits_run, labels=[str(digit) for digit in order.tolist()], weights=stored.weights)
    assert load_model(word).labels[0] == "7"
    run = prepare(config(word))
    assert torch.equal(head_of(run.model), head_of(load_model(digits_run)))
    assert "head kept, in the order of the data's labels" in run.initial.note


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (list("0123456"), "new head: the data have 10 classes, the weights of changed 7, 7 in common"),
        (
            [*map(str, range(13))],
            "new head: the data have 10 classes, the weights of changed 13, 10 in common",
        ),
        (["cat", *"123456789"], "new head: the data have 10 classes, the weights of changed 10, 9 in common"),
        ([], "new head: the data have 10 classes, the weights of changed no label names"),
    ],
    ids=["subset", "superset", "other", "none"],
)
def test_other_labels_get_a_new_head(digits_run: Path, labels: list[str], note: str) -> None:
    stored = read_bundle(digits_run / "model")
    classes = len(labels) or 5
    weights = stored.weights | {"head.weight": torch.randn(classes, 24), "head.bias": torch.randn(classes)}
    word = changed(
        digits_run, labels=labels, weights=weights, architecture=stored.architecture | {"classes": classes}
    )
    run = prepare(config(word))
    assert run.initial.note.endswith(note)
    assert run.initial.card["head"] == "new"
    assert not head_of(run.model).any()
    assert head_of(run.model).shape == (10, 25)
    assert_same_body(run.model, load_model(word))


def test_one_label_and_several_do_not_share_a_head(digits_run: Path) -> None:
    run = prepare(config(changed(digits_run, thresholds=[0.5] * 10)))
    assert not head_of(run.model).any()
    assert run.initial.note.endswith(
        "new head: the data have one label per example, the weights of changed several"
    )


def test_positions_are_interpolated_once(digits_run: Path) -> None:
    run = prepare(config(digits_run, image_size=(14, 6)))
    model, other = run.model, load_model(digits_run)
    assert model.image_size == (14, 6)
    assert tuple(model.positions.table.shape) == (7, 3, 24)
    table = other.positions.table.detach().permute(2, 0, 1)[
        None
    ]  # the oracle: torch's own, in two dimensions
    expected = interpolate(table, (7, 3), mode="bicubic", antialias=True)[0].permute(1, 2, 0)
    torch.testing.assert_close(model.positions.table, expected, atol=1e-5, rtol=0)
    assert_same_body(model, other, "positions.table")
    assert "8 x 8 -> 14 x 6: positions interpolated; head kept" in run.initial.note
    images = torch.randn(3, 1, 14, 6)
    torch.testing.assert_close(model.eval()(images), other(images), atol=1e-5, rtol=0)


def test_preprocessing_travels(digits_run: Path) -> None:
    own = Preprocess(
        8, 8, 1, (0.3,), (0.7,), crop=0.8, interpolation="lanczos", resize="squash", fast_jpeg=False
    )
    word = changed(digits_run, preprocess=own.to_dict())
    assert prepare(config(word)).preprocess == own
    assert prepare(config(word, image_size=12, resize="crop")).preprocess == replace(
        own, height=12, width=12, resize="crop"
    )
    from sklearn.datasets import load_digits

    run = prepare(config(word, image_size=12))
    name = run.splits.train.names[5]
    levels = (load_digits().images * 255 / 16).round().astype("uint8")[int(name.partition("/")[2])]
    pixels, *_ = run.splits.train[[5]]
    expected = run.preprocess(Image.fromarray(levels))
    assert torch.equal(run.normalise(pixels)[0], expected), "the pixels that every command sees"


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_those_of_the_weights(channels: int, digits_run: Path) -> None:
    """Grey pictures for RGB weights, and colours for grey ones."""
    noise = torch.Generator().manual_seed(3)
    for label in ("dark", "light"):
        Path("pictures", label).mkdir(parents=True)
        for index in range(17):
            pixels = torch.randint(0, 256, (9, 11, 3), generator=noise, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(Path("pictures", label, f"{index}.png"))
    args = SHORT.replace("digits", "folder --data.root pictures") if channels == 1 else SHORT
    word = str(digits_run) if channels == 1 else "cifar10"
    size = "8" if channels == 1 else "16"
    assert main(f"train --model.init {word} --name run --data.image_size {size} {args}".split()) == 0
    model = load_model("runs/run")
    assert model.preprocess.channels == channels
    assert model.preprocess.mean == load_model(word).preprocess.mean
    assert read_bundle(Path("runs/run/model")).scores["val"]["n"] > 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--model.width 96", "model.width is 96, and the weights of {} have 24: leave the key out"),
        ("--model.tokenizer conv", "model.tokenizer is conv, and the weights of {} have patch"),
        ("--model.patch_size [4,2]", "model.patch_size is [4, 2], and the weights of {} have 2"),
        ("--model.layer_scale 0.1", "model.layer_scale is 0.1, and the weights of {} have null"),
        (
            "--data.image_size 13",
            "data.image_size is 13 x 13, and the patches of {} have 2 x 2 pixels, which do not tile it: the "
            "next sizes are 12 x 12 and 14 x 14",
        ),
        ("--data.image_size 1", "the next size is 2 x 2"),
        (
            "--model.like timm:vit_tiny_patch16_224",
            "--model.like is timm:vit_tiny_patch16_224, and {} is not a file",
        ),
        ("--model.key model", "--model.key is model, and {} is not a file of weights"),
    ],
)
def test_what_contradicts_the_weights(
    args: str, message: str, digits_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(f"train --config finetune --model.init {digits_run} --name run {SHORT} {args}".split())
    assert code == 2
    error = capsys.readouterr().err
    assert message.format(digits_run) in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_keys_that_agree_with_the_weights(digits_run: Path) -> None:
    found = config(digits_run)
    found.model.width, found.model.depth, found.model.patch_size = 24, 2, (2, 2)
    found.model.drop_path, found.model.dropout = 0.2, 0.1
    architecture = prepare(found).model.architecture
    assert (architecture["drop_path"], architecture["dropout"]) == (0.2, 0.1)


@pytest.mark.parametrize("key", ["like timm:vit_tiny_patch16_224", "key model", "freeze true"])
def test_without_weights(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"train --config digits --model.{key}".split()) == 2
    name, value = key.split()
    assert f"model.{name} is {value}".lower() in (error := capsys.readouterr().err).lower()
    assert "and model.init, the weights to start from, is missing" in error


def test_a_model_of_pictures_for_texts(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"train --config probe --model.init {digits_run} --data.name sst2".split()) == 1
    message = f"model.init is {digits_run}, which reads images, and data.name is sst2, which has texts"
    assert message in capsys.readouterr().err


def test_a_run_and_its_card(digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line at the start, the bundle, `vit info`, and the licence that is handed on."""
    stored = read_bundle(digits_run / "model")
    word = changed(digits_run, training=stored.training | {"init": {"word": "x", "license": "Apache-2.0"}})
    assert main(f"train --model.init {word} --name run {SHORT}".split()) == 0
    out = capsys.readouterr().out
    sums = sha256(Path("changed/model.safetensors").read_bytes()).hexdigest()
    assert f"start from changed (10,570 weights, sha256 {sums[:8]}…, Apache-2.0), head kept\n" in out
    card = {"word": "changed", "sha256": sums, "license": "Apache-2.0", "head": "kept"}
    assert read_description(Path("runs/run/model"))["training"]["init"] == card
    assert main(["info", "runs/run", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["training"]["init"] == card
    assert facts["source"]["license"] == "Apache-2.0"
    assert len(facts["source"]["sha256"]) == 64
    assert main(["info", "runs/run"]) == 0
    assert "init" in capsys.readouterr().out
    assert load_model("runs/run").source == {"word": "runs/run", "license": "Apache-2.0"}
    assert main("train --config runs/run/config.yaml --name again".split()) == 0  # noqa: SIM905
    assert_same(state("again")["weights"], state("run")["weights"])


TRAIN = (
    "train --model.init start --data.name digits --model.drop_path 0.3 --model.dropout 0.1 --optim.ema 0.9 "
)
TRAIN += "--augment.mixup 0.4 --trainer.max_epochs 2 --trainer.precision 32-true --trainer.overlays 0 "
TRAIN += "--data.batch_size 100 --data.image_size 12 --optim.layer_decay 0.5"


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_run_is_resumed_without_the_weights_it_began_with(
    name: str, digits_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(digits_run / "model", "start")
    args = [*TRAIN.split(), "--optim.name", name]
    assert main([*args, "--name", "whole"]) == 0
    with monkeypatch.context() as patch:
        at_step(patch, 15, cut)
        with pytest.raises(Cut):
            main([*args, "--name", "run", "--trainer.save_every", "0"])
    shutil.rmtree("start")
    before = read_description(Path("runs/run/model"))["training"]["init"]
    assert main(RESUME) == 0
    assert_same(state("run"), state("whole"))
    assert read_description(Path("runs/run/model"))["training"]["init"] == before
    assert before["word"] == "start"


def test_texts(texts_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokenizer is that of the weights; `text.start` is read as `model.init`."""
    monkeypatch.chdir(texts_run.parents[1])
    args = "train --data.name text --data.root reviews.tsv --trainer.max_epochs 1 --trainer.precision 32-true"
    Path("old.yaml").write_text(
        f"data: {{name: text, root: reviews.tsv, batch_size: 16, resize: crop}}\n"
        f"text: {{start: {texts_run}, length: 11}}\ntrainer: {{max_epochs: 1, precision: 32-true}}\n"
    )
    try:
        assert main(["train", "--config", "old.yaml"]) == 0
        new = f"{args} --config text_sst2_minilm --model.init {texts_run} --name new --text.length 11"
        assert main([*new.split(), "--data.batch_size", "16", "--model.dropout", "0"]) == 0
        old, now, start = (load_model(word) for word in ("runs/old", "runs/new", texts_run))
        assert old.preprocess.definition == start.preprocess.definition
        assert old.preprocess.length == now.preprocess.length == 11
        assert (Path("runs/old") / RECORD).is_file()
        for run in ("old", "new"):
            card = read_description(Path("runs", run, "model"))["training"]["init"]
            assert (card["word"], card["head"]) == (str(texts_run), "kept")
        config_yaml = Path("runs/old/config.yaml")
        assert f"init: {texts_run}" in config_yaml.read_text()
        # As version 0.1 wrote it.
        as_before = config_yaml.read_text().replace("text:\n", f"text:\n  start: {texts_run}\n")
        as_before = as_before.replace(f"  init: {texts_run}\n", "").replace("resize: null", "resize: crop")
        config_yaml.write_text(as_before)
        assert main("train --name old --resume --trainer.max_epochs 2".split()) == 0  # noqa: SIM905
        assert main(f"train --config old.yaml --name third --text.start {texts_run}".split()) == 0
    finally:
        for name in ("old", "new", "third"):
            shutil.rmtree(Path("runs", name), ignore_errors=True)


@pytest.mark.parametrize("key", ["vocabulary 200", "pieces words", "lowercase false"])
def test_keys_of_a_tokenizer_that_is_not_trained(
    key: str, texts_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = f"train --config text_sst2_minilm --model.init {texts_run} --text.{key}"
    assert main(args.split()) == 2
    assert "which has its own tokenizer: leave the key out" in capsys.readouterr().err


def test_a_model_without_preprocessing(
    digits_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model: Any = load_model(digits_run)
    model.preprocess = None
    monkeypatch.setattr("vit.recipes.initial.load_model", lambda *args, **options: model)
    assert main(f"train --model.init {digits_run} {SHORT}".split()) == 1
    assert "does not say how it reads images: it lacks size, mean and deviation" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes(tmp_path: Path, digits_run: Path) -> None:
    """Weights are loaded in each process before they are wrapped, replicated or sharded."""
    from ..test_processes import train, weights

    args = f"--model.init {digits_run} {SHORT} --optim.ema 0 --data.image_size 12"
    runs = {}
    for name, more in (
        ("ddp", "--trainer.strategy ddp"), ("sharded", "--trainer.strategy fsdp2"),
        ("frozen", "--trainer.strategy ddp --config probe --model.freeze true"),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        options = args if "--config" in more else f"--config finetune {args}"
        runs[name] = train(f"{more} {options}", tmp_path / name)
    assert_same(
        {k: v.shape for k, v in weights(runs["ddp"]).items()},
        {k: v.shape for k, v in weights(runs["sharded"]).items()},
    )
    for name, tensor in weights(runs["sharded"]).items():
        torch.testing.assert_close(tensor, weights(runs["ddp"])[name], atol=2e-3, rtol=1e-2, msg=name)
    frozen = load_model(runs["frozen"])
    assert_same_body(frozen, load_model(digits_run), "positions.table")
    assert head_of(frozen).any()


def test_a_file_of_weights(capsys: pytest.CaptureFixture[str]) -> None:
    """At another size its features are timm's."""
    timm = pytest.importorskip("timm")
    from timm.models.vision_transformer import checkpoint_filter_fn

    theirs = timm.create_model("vit_tiny_patch16_224", depth=12, num_classes=5)
    torch.save({"state_dict": theirs.state_dict()}, "weights.pth")
    args = "train --config probe --model.init weights.pth --model.like timm:vit_tiny_patch16_224 --name run"
    data = "--data.name digits --data.image_size [32,48] --trainer.max_epochs 1"
    assert main([*args.split(), *data.split()]) == 0
    assert "224 x 224 -> 32 x 48: positions interpolated; new head" in capsys.readouterr().out
    card = read_description(Path("runs/run/model"))["training"]["init"]
    assert card["word"] == "weights.pth"
    assert card["sha256"] == sha256(Path("weights.pth").read_bytes()).hexdigest()
    smaller = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=(32, 48)).eval()
    smaller.load_state_dict(
        {k: v for k, v in checkpoint_filter_fn(theirs.state_dict(), smaller).items() if "head" not in k}
    )
    ours = load_model("runs/run")
    images = torch.randn(2, 3, 32, 48)
    torch.testing.assert_close(ours.features(images), smaller(images), atol=1e-4, rtol=1e-4)
    assert main("train --name run --resume --trainer.max_epochs 2".split()) == 0  # noqa: SIM905


def test_a_new_head_of_an_image_model_has_no_pooler() -> None:
    """As in the image classifiers of transformers."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 29}
    theirs = transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=8, patch_size=2))
    theirs.save_pretrained("theirs")
    assert load_model("hf:theirs").architecture["pooler"] == "tanh"
    run = prepare(config("hf:theirs"))
    assert run.model.architecture["pooler"] is None
    assert_same_body(run.model, load_model("hf:theirs"))


def test_the_stored_config_says_what_the_weights_have(
    digits_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A default cannot be told from a value that is given; neither is recorded where the weights differ."""
    args = f"train --config finetune --model.init {digits_run} {SHORT} --model.width 192 --model.heads 3"
    assert main([*args.split(), "--model.depth", "2", "--name", "run"]) == 0
    text = Path("runs/run/config.yaml").read_text()
    stored = yaml.safe_load(text)
    assert "width" not in stored["model"], "the weights have another"
    assert stored["model"]["depth"] == 2
    assert stored["text"].keys() == {"length", "blank"}
    comment = text.partition("# The weights of model.init have: ")[2]
    facts, architecture = yaml.safe_load(comment), load_model("runs/run").architecture
    assert facts["width"] == 24
    assert facts == {key: architecture[key] for key in facts}
    of_images = vars(ModelConfig()).keys() - {"tied"}  # of language models alone
    assert of_images == stored["model"].keys() | facts.keys()
    assert main("train --config runs/run/config.yaml --name again".split()) == 0  # noqa: SIM905
    assert Path("runs/again/config.yaml").read_text() == text
    assert main([*args.split(), "--name", "run", "--resume", "--trainer.max_epochs", "2"]) == 0


def test_a_stored_config_of_a_pool_that_no_config_can_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The DINOv2 classifier reads class token and mean."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.Dinov2ForImageClassification(
        transformers.Dinov2Config(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=3, image_size=8, patch_size=2
        )
    )
    theirs.save_pretrained("theirs")
    assert main(f"train --model.init hf:theirs --name run {SHORT} --data.image_size 8".split()) == 0
    assert "pool: cls_mean" in Path("runs/run/config.yaml").read_text().partition("# The weights")[2]
    assert main("train --config runs/run/config.yaml --name again".split()) == 0  # noqa: SIM905
    assert load_model("runs/again").architecture["pool"] == "cls_mean"


def test_batch_norm_keeps_its_statistics(digits_run: Path) -> None:
    """With a rate of almost nothing the model stays what it was."""
    stored = read_bundle(digits_run / "model")
    arguments = stored.architecture | {"tokenizer": "conv"}
    tower = vision_tower(**arguments)
    for name, buffer in tower.named_buffers():
        if buffer.is_floating_point() and "whiten" not in name:
            buffer.uniform_(0.5, 2.0)
    word = changed(digits_run, architecture=arguments, weights=tower.state_dict())
    args = f"train --model.init {word} --name run {SHORT} --optim.lr 1e-9 --augment.grow_from 1"
    assert main([*args.split(), "--trainer.max_epochs", "2"]) == 0
    before, after = load_model(word), load_model("runs/run")
    images = torch.randn(7, 1, 8, 8)
    torch.testing.assert_close(after(images), before(images), atol=1e-4, rtol=0)
    assert torch.equal(
        after.tokenizer.halvings[0].enter_norm.running_var,
        before.tokenizer.halvings[0].enter_norm.running_var,
    )


def text_config(run: Path, **text: Any) -> Config:
    found = Config()
    found.data.name, found.data.root = "text", str(run.parents[1] / "reviews.tsv")
    found.model.init = str(run)
    for name, value in text.items():
        setattr(found.text, name, value)
    return found


def test_the_length_of_texts_is_that_of_the_weights(texts_run: Path) -> None:
    """Unless one is given, which their positions hold."""
    stored = read_bundle(texts_run / "model")
    positions = stored.architecture["length"]
    own = stored.preprocess["length"]
    assert prepare(text_config(texts_run)).preprocess.length == own
    assert prepare(text_config(texts_run, length=positions)).preprocess.length == positions
    message = f"text.length is {positions + 1}, and the weights of .* have {positions} positions"
    with pytest.raises(UsageError, match=message):
        prepare(text_config(texts_run, length=positions + 1))


def test_the_length_of_texts_from_scratch() -> None:
    scratch = Config()
    assert check(scratch).text.length == 128
    assert scratch.text.length is None
    scratch.text.length = 128  # as earlier versions wrote it, for pictures too
    assert check(scratch).text.length == 128
    scratch.text.length = 127
    with pytest.raises(UsageError, match=r"text\.length is 127, and data\.name is cifar10"):
        check(scratch)


def test_a_file_is_named_with_what_was_taken_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    timm = pytest.importorskip("timm")
    like = "timm:vit_tiny_patch16_224"
    weights = timm.create_model("vit_tiny_patch16_224", num_classes=3).state_dict()
    torch.save({"teacher": weights, "student": weights}, "two.pth")
    args = f"train --config probe --model.init two.pth --model.like {like} --model.key teacher --name run"
    data = "--data.name digits --data.image_size 32 --trainer.max_epochs 1"
    assert main([*args.split(), *data.split()]) == 0
    card = read_description(Path("runs/run/model"))["training"]["init"]
    assert (card["like"], card["key"]) == (like, "teacher")
    log = Path("runs/run/train.log").read_text()
    assert "tensors" in log.partition("start from two.pth")[0]
    capsys.readouterr()
    assert main(["info", "runs/run"]) == 0
    assert "key teacher" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--config finetune --data.name text", "out, as in --config finetune_text --data.name text"),
        ("--config digits", "leave the key out, as in --config finetune --data.name digits"),
        ("--config probe --data.name text --data.image_size 32", "image_size is 32, and data.name is text"),
        ("--config digits --model.init=", "model.init is '', expected a MODEL"),
        ("--config probe --augment.crop resized --augment.flip false", "resized, and model.freeze is true"),
        ("--config finetune --data.name digits --data.image_size 1", "the next size is 2 x 2\n"),
    ],
)  # fmt: skip
def test_the_way_out(args: str, message: str, digits_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"train --model.init {digits_run} {args}".split()) == 2
    assert message in capsys.readouterr().err


def test_texts_with_their_shipped_config(texts_run: Path) -> None:
    reviews = texts_run.parents[1] / "reviews.tsv"
    args = f"train --config finetune_text --model.init {texts_run} --data.root {reviews} --name run"
    assert main([*args.split(), "--trainer.max_epochs", "1"]) == 0
    text = Path("runs/run/config.yaml").read_text()
    assert "vocabulary" not in yaml.safe_load(text)["text"]
    assert main("train --config runs/run/config.yaml --name again".split()) == 0  # noqa: SIM905
