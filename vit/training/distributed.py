"""What a run of several processes needs beyond Lightning: whose they are, and who holds which weights."""

import os

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def places(devices: int | str, num_nodes: int) -> tuple[int | str, int]:
    """Devices and machines as torchrun began them, where the config leaves them open.

    Without this every process of torchrun would train by itself: on a CPU `auto` is one device.
    """
    if devices == "auto" and torch.distributed.is_torchelastic_launched():
        return int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
    return devices, num_nodes


def strategy(word: str) -> str | Strategy:
    """Lightning's strategy of that name; `fsdp2`, which has no name there, divides the weights."""
    if word == "fsdp2":
        # One file for each checkpoint, as every other strategy writes it.
        return ModelParallelStrategy(save_distributed_checkpoint=False)
    return word


def divide(model: nn.Module, mesh: DeviceMesh) -> None:
    """Divide a model's weights between processes (FSDP2, `torch.distributed.fsdp.fully_shard`).

    The blocks of every list of modules are units of their own: the weights of one at a time are whole.

    Args:
        model: Its parameters become DTensors, in place.
        mesh: (machines, processes of each): divided among those of a machine, the same on all machines.
    """
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            for block in module:
                fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def same_buffers(model: nn.Module) -> None:
    """Give every process the first one's buffers, such as means of batches: they are not divided."""
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, 0)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which this process may hold a part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Tensor, other: Tensor) -> Tensor:
    """The part of a tensor, which every process has whole, that belongs to its part of another."""
    if not isinstance(other, DTensor):
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)
