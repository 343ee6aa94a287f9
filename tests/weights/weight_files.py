"""One random file of weights of each kind, written as the code of its authors writes it.

`python -m tests.weights.weight_files` prints the table of `docs/weights.md`.
"""

from argparse import Namespace
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torchvision.models import VisionTransformer as TorchvisionTransformer

from .timm_models import randomise, randomised

State = dict[str, Tensor]
SMALL = "test_vit"  # 64 channels, 6 blocks, patches of 16 pixels
LIKE = f"timm:{SMALL}"


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: What wrote it.
        file: Its usual name.
        write: (model, file) -> the weights of the model, and all else that its authors write, in the file.
        architecture: timm's.
        arguments: Of the architecture, or of `make`.
        key: What `--model.key` says, if the file holds several models.
        place: Where in the file the weights are.
        left: Parts that are left over.
        make: (architecture, arguments) -> the peer.
    """

    name: str
    file: str
    write: Callable[[Any, Path], None]
    architecture: str = SMALL
    arguments: dict[str, Any] = field(default_factory=lambda: {"num_classes": 0})
    key: str | None = None
    place: str = ""
    left: tuple[str, ...] = ()
    make: Callable[..., Any] = randomised


def small(**arguments: Any) -> Any:
    """The small architecture for 48 pixels, without a head."""
    return randomised(SMALL, **({"num_classes": 0, "img_size": 48} | arguments))


def saved(content: Any, folder: Path, name: str = "weights.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def other(model: nn.Module) -> nn.Module:
    """A model of the same architecture with other weights: the student, the raw weights."""
    copy = deepcopy(model)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.add_(0.3)
    return copy


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def optimizer_of(model: nn.Module) -> dict[str, Any]:
    """The state of AdamW after one step."""
    parameters = [nn.Parameter(torch.randn(3, 5)) for _ in range(2)]
    optimizer = torch.optim.AdamW(parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


def plain(model: Any, file: Path) -> None:
    torch.save(model.state_dict(), file)


def dino(model: Any, file: Path) -> None:
    """facebookresearch/dino, main_dino.py: the student is wrapped (`module.`), the teacher is not."""

    def wrapped(backbone: nn.Module) -> State:
        width = backbone.embed_dim
        head = {"head.mlp.0.weight": torch.randn(7, width), "head.last_layer.weight_g": torch.randn(7, 1)}
        return prefixed("backbone.", backbone.state_dict()) | head

    torch.save(
        {
            "student": prefixed("module.", wrapped(other(model))),
            "teacher": wrapped(model),
            "optimizer": optimizer_of(model),
            "epoch": 3,
            "args": Namespace(arch="vit_small", patch_size=16, lr=5e-4),
            "dino_loss": {"center": torch.zeros(1, 7)},
        },
        file,
    )


def in_chunks(state: State, size: int) -> State:
    """Names of DINOv2 with `block_chunks`: blocks.1.5. is block 5, in chunk 1."""
    result = {}
    for name, tensor in state.items():
        first, *rest = name.split(".")
        chunk = [str(int(rest[0]) // size)] if first == "blocks" else []
        result[".".join([first, *chunk, *rest])] = tensor
    return result


def dinov2(model: Any, file: Path) -> None:
    """facebookresearch/dinov2: the backbone alone."""
    torch.save(in_chunks(model.state_dict(), 4) | {"mask_token": torch.zeros(1, model.embed_dim)}, file)


def dinov2_teacher(model: Any, file: Path) -> None:
    """facebookresearch/dinov2, eval/training_*/teacher_checkpoint.pth."""
    backbone = in_chunks(model.state_dict(), 3) | {"mask_token": torch.zeros(1, model.embed_dim)}
    heads = {"dino_head.mlp.0.weight": torch.randn(7, model.embed_dim)}
    torch.save({"teacher": prefixed("backbone.", backbone) | heads}, file)


def mae(model: Any, file: Path) -> None:
    """facebookresearch/mae, main_pretrain.py."""
    decoder = {
        "mask_token": torch.zeros(1, 1, 5),
        "decoder_pos_embed": torch.randn(1, 26, 5),
        "decoder_embed.weight": torch.randn(5, model.embed_dim),
        "decoder_blocks.0.norm1.weight": torch.randn(5),
        "decoder_norm.weight": torch.randn(5),
        "decoder_pred.weight": torch.randn(7, 5),
    }
    content = {"model": model.state_dict() | decoder, "optimizer": optimizer_of(model), "epoch": 3}
    torch.save(
        content | {"scaler": {"scale": 65536.0}, "args": Namespace(model="mae_vit_base_patch16")}, file
    )


def mae_tuned(model: Any, file: Path) -> None:
    """facebookresearch/mae, main_finetune.py: it averages the patches, and normalises afterwards."""
    torch.save({"model": model.state_dict(), "epoch": 3, "args": Namespace(global_pool=True)}, file)


def moco(model: Any, file: Path) -> None:
    """facebookresearch/moco-v3, main_moco.py."""

    def encoder(backbone: nn.Module) -> nn.Module:
        backbone = deepcopy(backbone)
        backbone.head = nn.Sequential(nn.Linear(backbone.embed_dim, 7, bias=False), nn.BatchNorm1d(7))
        return backbone

    whole = nn.ModuleDict(
        {
            "base_encoder": encoder(model),
            "momentum_encoder": encoder(other(model)),
            "predictor": nn.Sequential(nn.Linear(7, 7, bias=False), nn.BatchNorm1d(7)),
        }
    )
    content = {"epoch": 3, "arch": "vit_base", "state_dict": prefixed("module.", whole.state_dict())}
    torch.save(content | {"optimizer": optimizer_of(model)}, file)


def ijepa(model: Any, file: Path) -> None:
    """facebookresearch/ijepa, train.py; in half precision."""
    predictor = {
        "module.mask_token": torch.zeros(1, 1, 5),
        "module.predictor_embed.weight": torch.randn(5, model.embed_dim),
        "module.predictor_blocks.0.norm1.weight": torch.randn(5),
    }
    content = {
        "encoder": prefixed("module.", other(model).half().state_dict()),
        "predictor": predictor,
        "target_encoder": prefixed("module.", deepcopy(model).half().state_dict()),
        "opt": optimizer_of(model),
        "scaler": None,
        "epoch": 3,
    }
    torch.save(content, file)


def deit(model: Any, file: Path) -> None:
    """facebookresearch/deit, the released files."""
    torch.save({"model": model.state_dict()}, file)


def deit_run(model: Any, file: Path) -> None:
    """facebookresearch/deit, main.py: raw and averaged weights."""
    content = {"model": other(model).state_dict(), "optimizer": optimizer_of(model), "epoch": 3}
    torch.save(content | {"model_ema": model.state_dict(), "args": Namespace(model="deit_small")}, file)


def timm_run(model: Any, file: Path) -> None:
    """timm, train.py: by timm's own saver."""
    from timm.utils import CheckpointSaver

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    args = Namespace(model=SMALL, mean=None, std=None, crop_pct=None)
    saver = CheckpointSaver(
        other(model), optimizer, args=args, model_ema=model, checkpoint_dir=str(file.parent), max_history=1
    )
    saver.save_checkpoint(0, metric=0.5)
    (file.parent / "last.pth.tar").rename(file)


class Classifier(LightningModule):
    """A classifier as users of Lightning write it."""

    def __init__(self, model: nn.Module, lr: float = 0.1):
        super().__init__()
        self.save_hyperparameters(ignore="model")
        self.model = model

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def lightning(model: Any, file: Path) -> None:
    """Lightning, by its own trainer."""
    trainer = Trainer(
        accelerator="cpu", logger=False, callbacks=[ModelCheckpoint(file.parent)], enable_model_summary=False
    )
    trainer.strategy.connect(Classifier(model))
    trainer.save_checkpoint(file)


def compiled(model: Any, file: Path) -> None:
    """`torch.compile` in `DistributedDataParallel`, before torch 1.6's format."""
    torch.save(
        {"net": prefixed("module._orig_mod.", model.state_dict())},
        file,
        _use_new_zipfile_serialization=False,
    )


def clip(model: Any, file: Path) -> None:
    """openai/CLIP, `model.state_dict()`: image tower and text tower."""
    swaps = (
        ("patch_embed.proj", "conv1"),
        ("blocks.", "transformer.resblocks."),
        ("norm_pre", "ln_pre"),
        ("norm1", "ln_1"),
        ("norm2", "ln_2"),
        ("attn.qkv.", "attn.in_proj_"),
        ("attn.proj", "attn.out_proj"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    )
    visual = {}
    for name, tensor in model.state_dict().items():
        for theirs, ours in swaps:
            name = name.replace(theirs, ours)
        visual["ln_post" + name.removeprefix("norm") if name.startswith("norm.") else name] = tensor
    visual["class_embedding"] = visual.pop("cls_token")[0, 0]
    visual["positional_embedding"] = visual.pop("pos_embed")[0]
    visual["proj"] = visual.pop("head.weight").T
    assert not visual.pop("head.bias").any()
    text = {"positional_embedding": torch.randn(7, 5), "token_embedding.weight": torch.randn(11, 5)}
    text |= {"transformer.resblocks.0.ln_1.weight": torch.randn(5), "logit_scale": torch.tensor(4.6)}
    torch.save(prefixed("visual.", visual) | text, file)


def make_clip(name: str, **arguments: Any) -> Any:
    model = randomised(name, **arguments)
    nn.init.zeros_(model.head.bias)  # OpenAI's has none
    return model


def make_torchvision(name: str, **arguments: Any) -> Any:
    model = TorchvisionTransformer(num_layers=6, hidden_dim=64, num_heads=2, mlp_dim=192, **arguments).eval()
    randomise(model)
    return model


def safetensors(model: Any, file: Path) -> None:
    from safetensors.torch import save_file

    save_file(model.state_dict(), file)


def sharded(model: Any, file: Path) -> None:
    """huggingface_hub: `model-00001-of-0000N.safetensors`, and an index."""
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(model.state_dict(), file.parent, max_shard_size="500KB")


def npz(model: Any, file: Path, *, big_vision: bool, prefix: str = "") -> None:
    """google-research/vision_transformer or big_vision: JAX's arrays."""
    attention, mlp, second = (0, 0, 1) if big_vision else (1, 3, 2)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    heads, width = model.blocks[0].attn.num_heads, model.embed_dim
    positions = "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding"
    arrays = {
        "cls": state["cls_token"],
        positions: state["pos_embed"],
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    for layer in range(len(model.blocks)):
        theirs, block = f"blocks.{layer}.", f"Transformer/encoderblock_{layer}/"
        for norm, number in (("norm1", 0), ("norm2", second)):
            arrays[f"{block}LayerNorm_{number}/scale"] = state[f"{theirs}{norm}.weight"]
            arrays[f"{block}LayerNorm_{number}/bias"] = state[f"{theirs}{norm}.bias"]
        for number, name in enumerate(("fc1", "fc2")):
            arrays[f"{block}MlpBlock_{mlp}/Dense_{number}/kernel"] = state[f"{theirs}mlp.{name}.weight"].T
            arrays[f"{block}MlpBlock_{mlp}/Dense_{number}/bias"] = state[f"{theirs}mlp.{name}.bias"]
        at = f"{block}MultiHeadDotProductAttention_{attention}/"
        weights = np.split(state[f"{theirs}attn.qkv.weight"], 3)
        biases = np.split(state[f"{theirs}attn.qkv.bias"], 3)
        for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            arrays[f"{at}{name}/kernel"] = weight.T.reshape(width, heads, -1)
            arrays[f"{at}{name}/bias"] = bias.reshape(heads, -1)
        arrays[f"{at}out/kernel"] = state[f"{theirs}attn.proj.weight"].T.reshape(heads, -1, width)
        arrays[f"{at}out/bias"] = state[f"{theirs}attn.proj.bias"]
    np.savez(file, **{prefix + name: array for name, array in arrays.items()})


HEADLESS, HEADED = {"num_classes": 0, "img_size": 80}, {"num_classes": 7, "img_size": 80}

KINDS = [
    Kind("DINO, a run", "checkpoint.pth", dino, arguments=HEADLESS, key="teacher", place="teacher.backbone",
         left=("teacher.head", "student", "optimizer", "dino_loss")),
    Kind("DINOv2, a backbone", "dinov2_vits14_pretrain.pth", dinov2, "vit_small_patch14_dinov2",
         {"num_classes": 0, "img_size": 70}, left=("mask_token",)),
    Kind("DINOv2, a run", "teacher_checkpoint.pth", dinov2_teacher, arguments=HEADLESS,
         place="teacher.backbone", left=("teacher.dino_head", "mask_token")),
    Kind("MAE, a run", "checkpoint-799.pth", mae, arguments=HEADLESS, place="model",
         left=("decoder_pos_embed", "decoder_embed", "decoder_blocks", "decoder_norm", "decoder_pred",
               "mask_token", "optimizer")),
    Kind("MAE, fine-tuned", "mae_finetuned.pth", mae_tuned,
         arguments=HEADED | {"global_pool": "avg", "fc_norm": True}, place="model"),
    Kind("MoCo v3, a run", "vit-b-300ep.pth.tar", moco, arguments=HEADLESS, key="base_encoder",
         place="state_dict.module.base_encoder",
         left=("head", "state_dict.module.momentum_encoder", "state_dict.module.predictor", "optimizer")),
    Kind("I-JEPA, a run, half precision", "IN1K-ep300.pth.tar", ijepa, "test_vit2", HEADLESS,
         key="target_encoder", place="target_encoder.module", left=("encoder", "predictor", "opt")),
    Kind("DeiT, released", "deit_small_patch16_224.pth", deit, arguments=HEADED, place="model"),
    Kind("DeiT, a run", "best_checkpoint.pth", deit_run, arguments=HEADED, key="model_ema", place="model_ema",
         left=("model", "optimizer")),
    Kind("timm, a run", "model_best.pth.tar", timm_run, arguments=HEADED, key="state_dict_ema",
         place="state_dict_ema", left=("state_dict",)),
    Kind("timm, a repository", "pytorch_model.bin", plain, arguments=HEADED),
    Kind("safetensors", "model.safetensors", safetensors, arguments=HEADED),
    Kind("safetensors, sharded", "model.safetensors.index.json", sharded, arguments=HEADED),
    Kind("Lightning", "last.ckpt", lightning, arguments=HEADED, place="state_dict.model",
         left=("callbacks",)),
    Kind("compiled and distributed, torch's old format", "net.pt", compiled, arguments=HEADED,
         place="net.module._orig_mod"),
    Kind("torchvision", "vit_b_16.pth", plain, make=make_torchvision,
         arguments={"num_classes": 7, "image_size": 80, "patch_size": 16}),
    Kind("OpenAI CLIP", "clip.pt", clip, "vit_xsmall_patch16_clip_224", {"num_classes": 11, "img_size": 80},
         place="visual", make=make_clip,
         left=("positional_embedding", "token_embedding", "transformer", "logit_scale")),
    Kind("original ViT (JAX)", "B_16.npz", partial(npz, big_vision=False), arguments=HEADED),
    Kind("big_vision (JAX)", "vit.npz", partial(npz, big_vision=True, prefix="params/"), arguments=HEADED),
]  # fmt: skip


COLUMNS = ("written by", "file", "weights taken from", "`--model.key`", "left over", "logits")
DAMAGES = ("cut short", "without a block", "a foreign object")


def table() -> str:
    """The kinds and what comes of them, as Markdown; `test_files.py` shows it of each."""
    rows = [COLUMNS + DAMAGES, ("---",) * len(COLUMNS + DAMAGES)]
    for kind in KINDS:
        cannot = "safetensors" in kind.file
        rows.append(
            (
                kind.name,
                f"`{kind.file}`",
                f"`{kind.place}`" if kind.place else "the file",
                f"`{kind.key}`" if kind.key else "",
                ", ".join(f"`{part}`" for part in kind.left),
                "equal",
                "refused",
                "refused",
                "cannot hold one" if cannot else "refused",
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    print(table(), end="")
