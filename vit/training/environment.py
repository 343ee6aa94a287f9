"""The versions and the machine of a run, for `env.json`."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from vit.cores import available_cores

PACKAGES = ("vit", "torch", "torchvision", "lightning", "timm", "pillow", "safetensors")

CPU_FLAGS = ("amx", "avx", "sve")  # prefixes of instruction sets that decide how fast matrix products are


def environment() -> dict[str, Any]:
    """Versions of Python and packages, processor, usable cores, threads, GPUs; plain values for JSON."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpu_flags": sorted(
            name for name in capabilities if capabilities[name] and name.startswith(CPU_FLAGS)
        ),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "command": sys.argv,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
