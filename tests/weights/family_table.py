"""Every family that can be imported, what it is put together from, and how far ours is from its peer.

`python -m tests.weights.family_table` prints the table of `docs/families.md`.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import torch

from vit.core import BlockSpec

from .family_measures import (
    Measure,
    encoder_decoders,
    image_models,
    language_models,
    measured,
    predicting_by_position,
    text_models,
    the_original,
    timm_models,
)

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}

# Numbers that are no part, and the way in which a number is computed.
SIZES = {"depth", "decoder_depth", "width", "heads", "mlp_ratio", "dropout", "drop_path", "norm_eps"}
SIZES |= {"self", "block", "classes", "image_size", "channels", "patch_size", "vocabulary", "length"}
SIZES |= {"padding", "start", "ends", "count_padding", "pool_block", "positions_antialias"}
SIZES |= {"head_width", "kind", "rows", "cols", "buckets", "max_distance", "precision", "periods"}
SIZES |= {"interpolation", "relative"}


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        system: Its name.
        paper: Authors and year.
        measure: dtype -> the models that are compared; parts are those of the last.
        peer: What it is called there; None: what the models say.
    """

    system: str
    paper: str
    measure: Measure
    peer: str | None = None


class Found(NamedTuple):
    """What a row says of itself, in cells, and the largest difference for each dtype."""

    cells: tuple[str, ...]
    differences: dict[torch.dtype, float]


@cache
def found(row: Row) -> Found:
    """What a row says, measured."""
    pairs, differences = [], {}
    for dtype in BOUNDS:
        pairs, differences[dtype] = measured(row.measure, dtype)
    ours = pairs[-1].ours
    peer = row.peer or peer_of([pair.theirs for pair in pairs])
    cells = (row.system, row.paper, ours.architecture["tower"], ", ".join(parts(ours)), peer)
    return Found(cells, differences)


def peer_of(models: list[Any]) -> str:
    """The names of models in their library, with its own name of the family."""
    first = models[0]
    if hasattr(first, "pretrained_cfg"):
        names = [model.pretrained_cfg["architecture"] for model in models]
        library, family = "timm", type(first).__name__
    else:
        names = [type(model).__name__ for model in models]
        library, family = "transformers", first.config.model_type
    return f"{library} `{family}`: " + ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def parts(model: Any) -> list[str]:
    """The arguments of a tower that are not the usual ones, without sizes."""
    given = dict(model.architecture)
    if given["mlp_bias"] in (None, given["output_bias"]):
        given["mlp_bias"] = None
    result = [*unusual(BlockSpec, given)]
    if given["relative"] is not None:
        module = getattr(model, "relative", None) or model.encoder_relative
        options = ", ".join(unusual(type(module), given["relative"]))
        result.append(f'`relative="{given["relative"]["kind"]}"`' + (f" ({options})" if options else ""))
    return [*result, *unusual(type(model), given)] or ["the usual ones"]


def unusual(kind: type, given: dict[str, Any]) -> Iterator[str]:
    """The arguments of a class whose values are not the defaults."""
    for name, parameter in inspect.signature(kind).parameters.items():
        value = given.get(name, parameter.default)
        if name in SIZES or value == parameter.default or (parameter.default == () and not value):
            continue
        yield f"`{word(name, value)}`"


def word(name: str, value: Any) -> str:
    """An argument and its value; the name alone, where it is there or is a number."""
    if isinstance(value, str):
        return f'{name}="{value}"'
    if value is False or value is None:
        return f"{name}={value}"
    if isinstance(value, list) and all(isinstance(one, bool) for one in value):
        return f"{name}={tuple(value)}"
    return name


VIT, DEIT, CLIP = "Dosovitskiy et al. 2021", "Touvron et al. 2021", "Radford et al. 2021"
SIGLIP, SWIN2, BIG = "Zhai et al. 2023", "Liu et al. 2022, section 3.3", "Dehghani et al. 2023"
DINO2, DINO3, REGISTERS = "Oquab et al. 2024", "Siméoni et al. 2025", "Darcet et al. 2024"
BEIT, EVA2, ROPE, PE = "Bao et al. 2022", "Fang et al. 2024", "Heo et al. 2024", "Bolya et al. 2025"

naflex = partial(timm_models, img_size=None, pos_embed_grid_size=(2, 3))

ROWS = [
    Row("Transformer", "Vaswani et al. 2017", the_original, "torch `Transformer`"),
    Row("BERT", "Devlin et al. 2019", text_models("bert")),
    Row("RoBERTa", "Liu et al. 2019", text_models("roberta")),
    Row("DistilBERT", "Sanh et al. 2019", text_models("distilbert")),
    Row("XLM-RoBERTa", "Conneau et al. 2020", text_models("xlm-roberta")),
    Row("CamemBERT", "Martin et al. 2020", text_models("camembert")),
    Row("ELECTRA", "Clark et al. 2020", text_models("electra")),
    Row("MPNet", "Song et al. 2020", text_models("mpnet")),
    Row("ModernBERT", "Warner et al. 2024", text_models("modernbert")),
    Row("XLNet", "Yang et al. 2019", text_models("xlnet")),
    Row("XLNet, two streams", "Yang et al. 2019", predicting_by_position),
    Row("CLIP, texts", CLIP, text_models("clip")),
    Row("GPT-2", "Radford et al. 2019", language_models),
    Row("T5", "Raffel et al. 2020", encoder_decoders("T5")),
    Row("mT5", "Xue et al. 2021", encoder_decoders("MT5")),
    Row("UMT5", "Chung et al. 2023", encoder_decoders("UMT5")),
    Row("ViT", VIT, image_models("ViT", "ViT classifier")),
    Row("DeiT", DEIT, image_models("DeiT", "DeiT classifier")),
    Row("DeiT, distilled", DEIT, image_models("DeiT with a teacher")),
    Row("MAE", "He et al. 2022", image_models("MAE")),
    Row("MSN", "Assran et al. 2022", image_models("MSN", "MSN classifier")),
    Row("I-JEPA", "Assran et al. 2023", image_models("I-JEPA", "I-JEPA classifier")),
    Row("DINOv2", DINO2, image_models("DINOv2")),
    Row("DINOv2, gated", DINO2, image_models("DINOv2, SwiGLU")),
    Row("DINOv2 with registers", REGISTERS, image_models("DINOv2, registers")),
    Row("the same, gated, its classifier", REGISTERS, image_models("DINOv2 classifier, registers")),
    Row("DINOv3", DINO3, image_models("DINOv3")),
    Row("DINOv3, gated", DINO3, image_models("DINOv3, gated")),
    Row("BEiT", BEIT, image_models("BEiT classifier", "BEiT classifier, class token", "BEiT")),
    Row("Data2Vec", "Baevski et al. 2022", image_models("Data2Vec", "Data2Vec classifier")),
    Row("CLIP, images", CLIP, image_models("CLIP", "CLIP, projection")),
    Row("CLIP, images of both halves", CLIP, image_models("CLIP classifier")),
    Row("SigLIP, images", SIGLIP, image_models("SigLIP without a head", "SigLIP")),
    Row("SigLIP, images of both halves", SIGLIP, image_models("SigLIP classifier")),
    Row("ViT (timm)", VIT, timm_models("vit_small_patch16_224")),
    Row("ViT, mean of patches", "Beyer et al. 2022", timm_models("vit_medium_patch16_gap_256")),
    Row("ViT, norms after the branches", "Liu et al. 2022, section 3.2",
        timm_models("vit_base_patch16_rpn_224")),
    Row("ViT, parallel branches", BIG, timm_models("vit_pwee_patch16_reg1_gap_256")),
    Row("ViT, parallel branches, RMS", BIG, timm_models("vit_base_patch16_xp_224")),
    Row("DeiT III", "Touvron et al. 2022", timm_models("deit3_small_patch16_224")),
    Row("DeiT, distilled (timm)", DEIT, timm_models("deit_tiny_distilled_patch16_224")),
    Row("FlexiViT", "Beyer et al. 2023", timm_models("flexivit_small")),
    Row("CLIP, images (timm)", CLIP,
        timm_models("vit_base_patch16_clip_224", "vit_base_patch32_clip_quickgelu_224")),
    Row("SigLIP, images (timm)", SIGLIP, timm_models("vit_base_patch16_siglip_224")),
    Row("SigLIP, mean of patches", SIGLIP, timm_models("vit_base_patch16_siglip_gap_224")),
    Row("SigLIP, patches that do not tile", SIGLIP,
        timm_models("vit_so400m_patch14_siglip_384", img_size=(40, 51))),
    Row("DINOv2 (timm)", DINO2, timm_models("vit_small_patch14_dinov2")),
    Row("DINOv2 with registers (timm)", REGISTERS, timm_models("vit_small_patch14_reg4_dinov2")),
    Row("DINOv2 with registers, gated", REGISTERS, timm_models("vit_giant_patch14_reg4_dinov2")),
    Row("AIMv2", "Fini et al. 2025", timm_models("aimv2_large_patch14_224")),
    Row("BEiT-3", "Wang et al. 2023", timm_models("beit3_base_patch16_224")),
    Row("InternViT", "Chen et al. 2024", timm_models("vit_intern300m_patch14_448")),
    Row("EVA", "Fang et al. 2023", timm_models("eva_giant_patch14_224")),
    Row("EVA-02", EVA2, timm_models("eva02_tiny_patch14_224")),
    Row("EVA-02, norm in the MLP", EVA2, timm_models("eva02_base_patch14_448")),
    Row("EVA-02-CLIP, norms inside", "Sun et al. 2023", timm_models("eva02_base_patch16_clip_224")),
    Row("DINOv3 (timm)", DINO3, timm_models("vit_small_patch16_dinov3")),
    Row("DINOv3, biases", DINO3, timm_models("vit_small_patch16_dinov3_qkvb")),
    Row("DINOv3, plus", DINO3, timm_models("vit_small_plus_patch16_dinov3")),
    Row("RoPE-ViT, axial", ROPE, timm_models("vit_small_patch16_rope_224")),
    Row("RoPE-ViT, axial, and a table", ROPE, timm_models("vit_small_patch16_rope_ape_224")),
    Row("RoPE-ViT, mixed", ROPE, timm_models("vit_base_patch16_rope_mixed_224")),
    Row("RoPE-ViT, mixed, and a table", ROPE, timm_models("vit_small_patch16_rope_mixed_ape_224")),
    Row("Perception Encoder, core", PE, timm_models("vit_pe_core_tiny_patch16_384")),
    Row("Perception Encoder, language", PE, timm_models("vit_pe_lang_large_patch14_448")),
    Row("Perception Encoder, spatial", PE, timm_models("vit_pe_spatial_tiny_patch16_512")),
    Row("BEiT (timm)", BEIT, timm_models("beit_base_patch16_224")),
    Row("BEiT v2", "Peng et al. 2022", timm_models("beitv2_base_patch16_224")),
    Row("ViT, relative positions by an MLP", SWIN2, timm_models("vit_relpos_small_patch16_224")),
    Row("the same, shared by all layers", SWIN2, timm_models("vit_srelpos_small_patch16_224")),
    Row("the same, with a class token", SWIN2, timm_models("vit_relpos_medium_patch16_cls_224")),
    Row("the same, norms after the branches", SWIN2, timm_models("vit_relpos_base_patch32_plus_rpn_256")),
    Row("ViT, relative positions by a table", "Liu et al. 2021, section 3.2",
        timm_models("vit_relpos_small_patch16_224", rel_pos_type="bias")),
    Row("NaFlexViT", "Tschannen et al. 2025", naflex("naflexvit_base_patch16_gap")),
    Row("NaFlexViT, attention pool", "Tschannen et al. 2025",
        naflex("naflexvit_base_patch16_map", pool_include_prefix=True)),
]  # fmt: skip

COLUMNS = ("system", "paper", "tower", "parts", "peer", "float32", "float64")


def figure(difference: float) -> str:
    """Two digits; `0` where both give the same bits."""
    return f"{difference:.1e}".replace("e-0", "e-") if difference else "0"


def table() -> str:
    """The rows as Markdown, measured."""
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for row in ROWS:
        cells, differences = found(row)
        lines.append((*cells, *(figure(differences[dtype]) for dtype in BOUNDS)))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(table(), end="")
