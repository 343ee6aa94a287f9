"""Image models of transformers and ours: states, pooled features and logits are the same."""

import re
from typing import Any

import pytest
import torch

import vit
from vit.errors import VitError
from vit.weights.huggingface.families import FAMILIES
from vit.weights.huggingface.importer import from_tensors
from vit.weights.huggingface.processor import OF_FAMILY
from vit.weights.huggingface.refused import REASONS

transformers = pytest.importorskip("transformers")
from .vision_models import BEIT, LABELS, SMALL, SYSTEMS, outputs, perturbed, theirs_of  # noqa: E402

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def differences(theirs: Any, size: tuple[int, int], dtype: torch.dtype = torch.float32) -> list[float]:
    """Of states, and of logits, embeddings or pooled features."""
    ours = vit.from_huggingface(theirs.to(dtype), False)
    images = torch.randn(2, ours.channels, *size, dtype=dtype)
    states, pooled, _ = outputs(theirs, images)
    with torch.no_grad():
        found = [(ours.encode(images) - states).abs().max().item()]
        if pooled is not None:
            found.append((ours(images) - pooled).abs().max().item())
    return found


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("system", SYSTEMS)
def test_states_and_logits_are_theirs(system: str, dtype: torch.dtype) -> None:
    theirs = theirs_of(system)
    side = getattr(theirs.config, "vision_config", theirs.config).image_size
    found = differences(theirs, (side, side), dtype)
    assert max(found) < TOLERANCE[dtype]
    ours = vit.from_huggingface(theirs, False)
    classifies = "Classification" in type(theirs).__name__
    assert ours.labels == [f"LABEL_{index}" for index in range(LABELS if classifies else 0)]


@pytest.mark.parametrize("size", [(15, 27), (12, 9), (21, 21)])
@pytest.mark.parametrize("system", SYSTEMS)
def test_states_and_logits_are_theirs_at_other_sizes(system: str, size: tuple[int, int]) -> None:
    assert max(differences(theirs_of(system), size)) < 1e-5


def test_every_image_family_is_here_and_has_a_processor() -> None:
    kinds = {kind for kind, family in FAMILIES.items() if family.reads == "image"}
    assert kinds == OF_FAMILY.keys()
    assert kinds.isdisjoint(kind for refused in REASONS.values() for kind in refused)


def test_the_projection_is_the_feature_and_has_no_labels() -> None:
    theirs = theirs_of("CLIP, projection")
    ours = vit.from_huggingface(theirs, False)
    images = torch.randn(2, 3, 15, 15)
    with torch.no_grad():
        expected = theirs(images).image_embeds
        assert (ours.features(images) - expected).abs().max() < 1e-5
        assert (ours.read_token(ours.encode(images)[:, 0]) - expected).abs().max() < 1e-5
    assert ours.labels == []
    assert expected.shape == (2, 7)


BOTH = {
    "clip": ("CLIPModel", "CLIPConfig"),
    "siglip": ("SiglipModel", "SiglipConfig"),
}
TEXT = {"hidden_size": 18, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 23}
TEXT |= {"vocab_size": 19, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def both_halves(family: str, **fields: Any) -> Any:
    kind, config = BOTH[family]
    fields |= {"projection_dim": 7} if family == "clip" else {}
    return perturbed(kind, getattr(transformers, config)(vision_config=SMALL, text_config=TEXT, **fields))


@pytest.mark.parametrize("family", BOTH)
def test_of_a_model_of_images_and_texts_the_image_half_is_read(family: str) -> None:
    theirs = both_halves(family)
    ours = vit.from_huggingface(theirs, False)
    images = torch.randn(2, 3, 15, 15)
    with torch.no_grad():
        expected = theirs.get_image_features(images).pooler_output
        assert (ours(images) - expected).abs().max() < 1e-5
    assert ours.source["half"] == f"images; the text half of this {family} is left out"


def test_the_first_clip_files_say_their_fields_twice() -> None:
    theirs = both_halves("clip")
    said = theirs.config.to_dict()
    expected = vit.from_huggingface(theirs, False).architecture
    twice = said | {"vision_config_dict": said["vision_config"], "vision_config": {"layer_norm_eps": 0.1}}
    assert from_tensors(twice, theirs.state_dict()).architecture == expected
    with pytest.raises(VitError, match="vision_config is 3, expected an object"):
        from_tensors(said | {"vision_config": 3}, theirs.state_dict())


def test_a_nested_config_may_say_only_what_is_unusual() -> None:
    theirs = both_halves("siglip")
    said = theirs.config.to_dict()
    usual = transformers.SiglipVisionConfig().to_dict()
    short = {name: value for name, value in said["vision_config"].items() if value != usual.get(name)}
    assert "layer_norm_eps" not in short
    expected = vit.from_huggingface(theirs, False).architecture
    assert from_tensors(said | {"vision_config": short}, theirs.state_dict()).architecture == expected


def test_pretraining_leaves_its_head_out() -> None:
    for kind, config, fields in (
        ("ViTMAEForPreTraining", "ViTMAEConfig", SMALL | DECODER),
        ("BeitForMaskedImageModeling", "BeitConfig", BEIT | {"vocab_size": 11, "use_mask_token": True}),
        ("BeitForMaskedImageModeling", "BeitConfig", BEIT | {"vocab_size": 11, "use_mean_pooling": False}),
        ("DeiTForMaskedImageModeling", "DeiTConfig", SMALL | {"encoder_stride": 3}),
    ):
        theirs = perturbed(kind, getattr(transformers, config)(**fields))
        ours = vit.from_huggingface(theirs, False)
        assert ours.source["head"] == f"left out, that of {kind}"
        theirs.config.mask_ratio = 0.0
        images = torch.randn(2, 3, 15, 15)
        states, _, _ = outputs(theirs.base_model, images)
        with torch.no_grad():
            assert (ours.encode(images) - states).abs().max() < 1e-5


DECODER = {
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 9,
}


def test_all_patches_are_read_whatever_mae_masks_in_pretraining() -> None:
    ours = vit.from_huggingface(theirs_of("MAE", mask_ratio=0.75), False)
    assert ours.source["mask_ratio"] == "0: all patches are read; 0.75 in pretraining"
    assert "mask_ratio" not in vit.from_huggingface(theirs_of("MAE"), False).source


OLD_VIT = {
    r"^layers\.": "encoder.layer.",
    r"attention\.q_proj": "attention.attention.query",
    r"attention\.k_proj": "attention.attention.key",
    r"attention\.v_proj": "attention.attention.value",
    r"attention\.o_proj": "attention.output.dense",
    r"mlp\.fc1": "intermediate.dense",
    r"mlp\.fc2": "output.dense",
}
OLD_BEIT = OLD_VIT | {
    r"(\d)\.relative_position_bias\.": r"\1.attention.attention.relative_position_bias.",
    r"^shared_position_bias\.": "encoder.relative_position_bias.",
}
OLD_NAMES = {
    **dict.fromkeys(["ViT", "DeiT", "MAE", "MSN", "I-JEPA"], OLD_VIT),
    "BEiT, everything": OLD_BEIT,
    "CLIP": {"^": "vision_model."},
    "DINOv3": {r"^model\.layer\.": "layer."},
}


@pytest.mark.parametrize("system", OLD_NAMES)
def test_names_of_earlier_versions(system: str) -> None:
    theirs = theirs_of(system)
    old = {}
    for name, tensor in theirs.state_dict().items():
        for new, before in OLD_NAMES[system].items():
            name = re.sub(new, before, name)
        old[name] = tensor
    assert len(old.keys() - theirs.state_dict().keys()) > 20
    old["embeddings.position_ids"] = torch.arange(9)
    ours = from_tensors(theirs.config.to_dict(), old)
    expected = vit.from_huggingface(theirs, False).state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())


def test_gates_and_hidden_layer_were_one_tensor() -> None:
    theirs = theirs_of("DINOv2, SwiGLU")
    new = theirs.state_dict()
    kept = [name for name in new if "up_proj" not in name]
    old = {name.replace("down_proj", "weights_out"): new[name] for name in kept}
    for name in [name for name in old if "gate_proj" in name]:
        pair = [old.pop(name), new[name.replace("gate_proj", "up_proj")]]
        old[name.replace("gate_proj", "weights_in")] = torch.cat(pair)
    expected = vit.from_huggingface(theirs, False).state_dict()
    found = from_tensors(theirs.config.to_dict(), old).state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("swin", "its attention sees windows, not the whole image"),
        ("sam", "its attention sees windows, not the whole image"),
        ("vit-hybrid", "it has convolutions before or between its blocks"),
        ("siglip2", "its patches come flattened and padded"),
    ],
)
def test_other_kinds_are_refused_with_the_reason(kind: str, why: str) -> None:
    with pytest.raises(VitError, match=f"of type '{kind}': {why}.*, expected one of: vit, "):
        from_tensors({"model_type": kind}, {})


def test_a_pooler_that_reads_the_first_patch_is_refused() -> None:
    config = transformers.IJepaConfig(**SMALL)
    with pytest.raises(VitError, match="its pooler reads the first patch"):
        vit.from_huggingface(transformers.IJepaModel(config, add_pooling_layer=True), False)


def test_tables_that_do_not_fit_the_config_are_refused() -> None:
    theirs = theirs_of("ViT")
    wrong = theirs.config.to_dict() | {"image_size": 18}
    with pytest.raises(VitError, match="positions has 26 rows, expected 37 for the 6 x 6 patches"):
        from_tensors(wrong, theirs.state_dict())
    theirs = theirs_of("BEiT")
    wrong = theirs.config.to_dict() | {"image_size": 18}
    with pytest.raises(VitError, match="its table of biases has 84 rows, expected 124 for 6 x 6 patches"):
        from_tensors(wrong, theirs.state_dict())
    some = {name: tensor for name, tensor in theirs.state_dict().items() if "layers.1.rel" not in name}
    with pytest.raises(VitError, match=r"lack 'encoder\.blocks\.1\.relative_table'"):
        from_tensors(theirs.config.to_dict(), some)
    wrong = theirs.config.to_dict() | {"image_size": [15, 18]}
    with pytest.raises(VitError, match=r"image_size \[15, 18\] is 5 x 6 patches, expected a square"):
        from_tensors(wrong, theirs.state_dict())
    with pytest.raises(VitError, match="patch_size is 'big', expected a number, or a height and a width"):
        from_tensors(theirs.config.to_dict() | {"patch_size": "big"}, theirs.state_dict())


@pytest.mark.parametrize("system", ["DINOv2", "DINOv2, registers", "DINOv3", "BEiT"])
def test_a_backbone_is_read_as_its_encoder(system: str) -> None:
    kind, config, fields = SYSTEMS[system]
    config = getattr(transformers, config)(**fields)
    theirs = perturbed(kind.replace("Model", "Backbone"), config)
    ours = vit.from_huggingface(theirs, False)
    images = torch.randn(2, 3, 15, 15)
    with torch.no_grad():
        last = theirs(images, output_hidden_states=True).hidden_states[-1]
        assert (ours.encode(images) - ours.encoder.norm(last)).abs().max() < 1e-5
