"""Files of `torch.save`, read without running what is in them."""

import re
import zipfile
from argparse import Namespace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from vit.errors import VitError, one_line_message

# A command line, which many training scripts keep with the weights. Nothing else is allowed beyond what
# `weights_only` allows: tensors, numbers, strings, and their containers.
ALLOWED = (Namespace,)

PREAMBLE = ("Weights only load failed", "Please file an issue")  # torch's, before the reason


def load_pickle(file: Path) -> Any:
    """The content of a file of `torch.save`, of any version, on the CPU.

    Raises:
        VitError: It is TorchScript, damaged, or holds other objects; these are named.
    """
    if _is_torchscript(file):
        raise VitError(
            f"{file} is a TorchScript archive, which is a program with weights and is not run: in Python, "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth') gives a file of weights"
        )
    try:
        with torch.serialization.safe_globals(list(ALLOWED)):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        names = _refused(file, str(error))
        if not names:
            raise _damaged(file, error) from None
        raise VitError(
            f"{file} holds more than tensors and plain values, and is not read: it wants "
            f"{', '.join(names)}. If you trust it, save its weights alone: "
            "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pth')"
        ) from None
    # A damaged file can fail in any step of the reading.
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> VitError:
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith(PREAMBLE)]
    reason = one_line_message(lines[0].split(". ")[0] if lines else type(error).__name__)
    return VitError(f"{file} is damaged, cut short, or no file of torch.save: {reason}")


def _refused(file: Path, message: str) -> list[str]:
    """The names of what a file wants and `weights_only` refuses."""
    try:
        with torch.serialization.safe_globals(list(ALLOWED)):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception:  # files of torch before 1.6, and damaged ones: the first name is in the message
        names = []
    return sorted(names) or re.findall(r"GLOBAL (\S+) (?:was not|whose module)", message)


def _is_torchscript(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
