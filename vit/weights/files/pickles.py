"""Files of `torch.save`, read without running what is in them."""

import pickletools
import re
import warnings
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

SHOWN = 3  # names of classes in a message
MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # the number at the beginning of files of torch before 1.6

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
    _require_torch(file)
    try:
        with torch.serialization.safe_globals(list(ALLOWED)), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickle's version, before an error that says it
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        names = _refused(file, str(error))
        if not names:
            raise _damaged(file, error) from None
        raise VitError(_wants(file, names)) from None
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


def _wants(file: Path, names: list[str]) -> str:
    """The message about a file that holds objects of these classes, or a whole model."""
    whole = _class_of_all(file)
    part = ".state_dict()" if whole in names else "['state_dict']"
    names = sorted(names, key=lambda name: name != whole)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"{file} holds {'a whole model' if whole in names else 'more than tensors and plain values'}, and is "
        f"not read: it wants {', '.join(names[:SHOWN])}{more}. If you trust it, save its weights alone: "
        f"torch.save(torch.load(FILE, weights_only=False){part}, 'weights.pth')"
    )


def _class_of_all(file: Path) -> str | None:
    """The class of the object that a file is, where that is no plain dict; nothing of it is run."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                inside = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                return _first_class(archive.read(inside))
        with file.open("rb") as stream:
            for _ in range(3):  # the magic number, the version, the machine
                for _ in pickletools.genops(stream):
                    pass
            return _first_class(stream)
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile):
        return None


def _first_class(pickled: Any) -> str | None:
    for code, value, _ in pickletools.genops(pickled):
        if code.name == "GLOBAL":
            return str(value).replace(" ", ".")
        if code.name == "EMPTY_DICT":
            return None
    return None


def _require_torch(file: Path) -> None:
    """Refuse what is neither a zip archive nor begins as `torch.save` did before version 1.6.

    Raises:
        VitError: It is a plain pickle, a text, or a file of safetensors.
    """
    with file.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(b"PK") or MAGIC in head:
        return
    if head.startswith(b"\x80"):
        raise VitError(
            f"{file} is a plain pickle, no file of torch.save, and is not read. If you trust it: "
            "torch.save(pickle.load(open(FILE, 'rb')), 'weights.pth')"
        )
    if head[8:9] == b"{":
        raise VitError(f"{file} looks like a file of safetensors: let its name end in .safetensors")
    # The last character may be cut. What is no text has control characters, or is not UTF-8.
    text = one_line_message(head.decode("utf-8", errors="replace").rstrip("\ufffd"))
    if text.isprintable() and "\ufffd" not in text:
        raise VitError(f"{file} is a text, which begins with {text[:30]!r}, and no file of weights")


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
