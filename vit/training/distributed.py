"""The devices of a run, beyond what Lightning does: refused kinds, torchrun's, sharded weights (FSDP2)."""

import os

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from vit.config import nearest
from vit.errors import UsageError, VitError

GPUS = ("cuda", "mps")  # what Lightning takes for `gpu`


def require_accelerator(name: str) -> None:
    """Refuse an accelerator that this machine does not have, before anything else is done.

    Args:
        name: As Lightning's: `auto`, `gpu`, or a kind of device.

    Raises:
        UsageError: Lightning knows no such accelerator.
        VitError: The machine has none; the message names what it has.
    """
    known = sorted(AcceleratorRegistry.available_accelerators())
    if name not in ("auto", "gpu", *known):
        raise UsageError(f"trainer.accelerator is {name!r}{nearest(name, ['auto', 'gpu', *known])}")
    there = [kind for kind in known if AcceleratorRegistry[kind]["accelerator"].is_available()]
    wanted = {"auto": there, "gpu": GPUS}.get(name, (name,))
    if not set(wanted) & set(there):
        raise VitError(
            f"trainer.accelerator is {name}, and this machine has {', '.join(there)} only: "
            "--trainer.accelerator auto takes the best that there is"
        )


def torchrun_devices(devices: int | str, num_nodes: int) -> tuple[int | str, int]:
    """Devices and nodes for Lightning's Trainer: torchrun's where the config says `auto`, else the config's.

    Without this every process of torchrun would train on its own, because on a CPU `auto` is one device.
    """
    if devices == "auto" and torch.distributed.is_torchelastic_launched():
        return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
    return devices, num_nodes


def resolve_strategy(name: str) -> str | Strategy:
    """Lightning's strategy of that name, or FSDP2 for `fsdp2`, for which Lightning has no name."""
    if name == "fsdp2":
        # One file per checkpoint, as all other strategies write it.
        return ModelParallelStrategy(save_distributed_checkpoint=False)
    return name


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a model's weights between processes (FSDP2, `torch.distributed.fsdp.fully_shard`).

    Each element of every ModuleList, such as a block, is a unit of its own: one unit's weights are gathered
    at a time.

    Args:
        model: Its parameters become DTensors, in place.
        mesh: (nodes, processes per node): weights are sharded within a node and replicated across nodes.
    """
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            for block in module:
                fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for name in ("encode", "read_token"):  # which training for the next token calls in place of `forward`
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)


def broadcast_buffers(model: nn.Module) -> None:
    """Copy the buffers of process 0, such as running means, to all processes; buffers are not sharded."""
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, 0)


def full_tensor(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """This process's shard of a tensor that every process has whole, sharded as `other` is."""
    if not isinstance(other, DTensor):
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)
