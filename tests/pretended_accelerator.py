"""An accelerator that this machine does not have: a device without float64, as Apple's GPU (MPS) is one.

    python tests/pretended_accelerator.py '[["predict", "cifar10", "photos", "--output", "rows.csv"]]'

runs commands of `vit` on it, one after the other, in a process of its own: torch has one such device for the
whole process. A tensor there holds one of the CPU, on which each operation is computed. Refused is what such
a device refuses: float64, and operations on tensors of two devices.
"""

import json
import sys
from collections import Counter
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"
REFUSED = (torch.float64, torch.complex128)
# Operations that take tensors of the CPU beside those of a device: copies, and indices.
MIXES = ("_to_copy", "copy_", "index", "index_put", "index_put_", "_index_put_impl_", "set_")


computed: Counter[str] = Counter()  # operations on the device, by name


class DeviceTensor(Tensor):
    """A tensor of the device."""

    elem: Tensor

    @staticmethod
    def __new__(cls, elem: Tensor) -> "DeviceTensor":
        return Tensor._make_wrapper_subclass(
            cls,
            elem.size(),
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, elem: Tensor):
        self.elem = elem

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(function, *args, **(kwargs or {}))

    def __getitem__(self, index: Any) -> Tensor:
        indices = index if isinstance(index, tuple) else (index,)
        made = tuple(torch.tensor(each) if isinstance(each, list) else each for each in indices)
        return super().__getitem__(made)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copy = self.detach().clone().requires_grad_(self.requires_grad)
            memo[id(self)] = nn.Parameter(copy, self.requires_grad) if is_parameter(self) else copy
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        elem = self.elem.detach()
        return (nn.Parameter(elem, self.requires_grad) if is_parameter(self) else elem).__reduce_ex__(
            protocol
        )


def is_parameter(tensor: Tensor) -> bool:
    return getattr(tensor, "_is_param", False)


def compute(function: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation on the CPU, whose results are on the device that it would have them on."""
    device = kwargs.get("device")
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    on_device = any(isinstance(each, DeviceTensor) for each in tensors)
    name = function._schema.name.removeprefix("aten::")
    others = [each for each in tensors if not isinstance(each, DeviceTensor) and each.ndim]
    if on_device and others and name not in MIXES:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, {NAME} and cpu")
    to_device = on_device if device is None else torch.device(device).type == NAME
    inner, named = tree_map(lambda x: x.elem if isinstance(x, DeviceTensor) else x, (args, kwargs))
    if device is not None:
        named["device"] = torch.device("cpu")
    if name == "_to_copy":  # on the CPU it would refuse nothing and copy nothing
        inner = (inner[0].clone(), *inner[1:])
    computed[name] += to_device
    result = function(*inner, **named)
    if not to_device or not any(isinstance(each, Tensor) for each in tree_leaves(result)):
        return result
    return return_and_correct_aliasing(function, args, kwargs, tree_map(placed, result))


def placed(value: Any) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, DeviceTensor):
        return value
    if value.dtype in REFUSED:
        raise TypeError(f"{NAME} has no {value.dtype}: move the tensor to the CPU first")
    with torch.inference_mode(value.is_inference()):  # a view of a plain tensor is a plain one everywhere
        return DeviceTensor(value)


class Backend(ModuleType):
    """What torch asks of the module of a device."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return []


def install() -> list[torch.library.Library]:
    """Make it the accelerator of this process, also for Lightning, which takes it for Apple's GPU.

    Returns:
        What has to be kept while it is used.
    """
    _setup_privateuseone_for_python_backend(NAME, Backend(NAME))
    everything = torch.library.Library("_", "IMPL")
    everything.fallback(compute, "PrivateUse1")
    new = torch.library.Library("aten", "IMPL")
    for operation in (torch.ops.aten.empty.memory_format, torch.ops.aten.empty_strided.default):
        name = operation._schema.name.removeprefix("aten::")
        overload = operation._schema.overload_name
        new.impl(
            f"{name}.{overload}" if overload else name,
            lambda *args, _operation=operation, **kwargs: compute(_operation, *args, **kwargs),
            "PrivateUse1",
        )
    torch.tensor, torch.as_tensor = moved(torch.tensor), moved(torch.as_tensor)  # type: ignore[assignment]
    _install_in_lightning()
    return [everything, new]


def moved(make: Any) -> Any:
    """A function that makes a tensor of data: torch's own copies to the device where Python cannot see it."""

    def made(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        tensor = make(data, **options)
        return tensor if device is None else tensor.to(device)

    return made


def _install_in_lightning() -> None:
    from lightning.fabric.accelerators.mps import MPSAccelerator as Found
    from lightning.pytorch.accelerators import MPSAccelerator

    place = torch.device(NAME, 0)
    Found.is_available = staticmethod(lambda: True)  # type: ignore[method-assign]
    MPSAccelerator.get_parallel_devices = staticmethod(lambda devices: [place])  # type: ignore[method-assign]
    MPSAccelerator.setup_device = lambda self, device: None  # type: ignore[method-assign]
    MPSAccelerator.get_device_stats = lambda self, device: {}  # type: ignore[method-assign]


def main() -> int:
    kept = install()
    from vit.cli import main as vit

    for command in json.loads(sys.argv[1]):
        before = sum(computed.values())
        if code := vit(command):
            return code
        if sum(computed.values()) == before:
            raise RuntimeError(f"{command} computed nothing on the device")
    del kept
    return 0


if __name__ == "__main__":
    sys.exit(main())
