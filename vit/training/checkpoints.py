"""Checkpoints that a crash cannot take away, and that say so when they are damaged.

    checkpoints/last.ckpt         the newest
    checkpoints/previous.ckpt     the one before it
    checkpoints/best.ckpt         what validated best
    checkpoints/SHA256SUMS        of all of them, as `sha256sum --check` reads it

A new checkpoint is written beside its place and synced; its sum is added to the list; the old one becomes
`previous.ckpt`; the new one takes its place. Whatever moment a crash picks, one of the two is whole, and the
list has its sum.
"""

import io
import os
import warnings
from collections.abc import Iterable
from hashlib import file_digest, sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from vit.atomic import replacing, write_text
from vit.errors import VitError

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
SUMS = "SHA256SUMS"


class DurableIO(CheckpointIO):
    """How Lightning writes and reads checkpoints here."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; one that stood in its place as `last.ckpt` becomes `previous.ckpt`."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        before = _read_sums(file.parent)
        after = {name: one for one, name in before if file.with_name(name).exists()}
        with replacing(file) as beside:
            # By way of memory: torch's own writer makes a riddle of a full disk.
            content = io.BytesIO()
            torch.save(checkpoint, content)
            beside.write_bytes(content.getbuffer())
            after[file.name] = sha256(content.getbuffer()).hexdigest()
            _write_sums(file.parent, [*before, (after[file.name], file.name)])
            if file.name == LAST and damage(file) is None:
                after[PREVIOUS] = digest(file)
                os.replace(file, file.with_name(PREVIOUS))
        _write_sums(file.parent, [(one, name) for name, one in after.items()])

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint: tensors and plain values, never another object.

        Raises:
            VitError: It holds others, or is no checkpoint.
        """
        try:
            with warnings.catch_warnings():  # torch wonders at pickles that are none of its own
                warnings.simplefilter("ignore")
                checkpoint = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except (RuntimeError, UnpicklingError, EOFError, ValueError, KeyError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            told = f"{path} holds more than tensors and plain values, or is damaged"
            raise VitError(f"{told}: {said}") from None
        if not isinstance(checkpoint, dict) or "callbacks" not in checkpoint:
            raise VitError(f"{path} is no checkpoint of a run")
        _follow(checkpoint, os.path.realpath(Path(path).parent))
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def _follow(checkpoint: dict[str, Any], folder: str) -> None:
    """Let what a checkpoint remembers of its folder be true of a run that was moved, or copied."""
    for state in checkpoint["callbacks"].values():
        before = state.get("dirpath")
        if not isinstance(before, str):
            continue
        for key, value in state.items():
            if isinstance(value, str):
                state[key] = value.replace(before, folder)
            elif isinstance(value, dict):
                state[key] = {name.replace(before, folder): one for name, one in value.items()}


def newest_good(folder: Path) -> tuple[Path, str | None]:
    """The newest checkpoint that is what was written, and what is wrong with a newer one.

    Raises:
        VitError: There is none, or no list of checksums.
    """
    if not (folder / SUMS).is_file() and any((folder / name).is_file() for name in (LAST, PREVIOUS)):
        raise VitError(
            f"{folder / SUMS} is missing, so nothing says that the checkpoints are whole: to accept them as "
            f"they are, (cd {folder} && sha256sum *.ckpt > {SUMS})"
        )
    complaints: list[str] = []
    for name in (LAST, PREVIOUS):
        trouble = damage(folder / name)
        if trouble is None:
            told = f"{'; '.join(complaints)}: going on from {name}" if complaints else None
            return folder / name, told
        complaints.append(trouble)
    raise VitError(f"{'; '.join(complaints)}: there is nothing to resume; --overwrite starts anew")


def damage(file: Path) -> str | None:
    """What is wrong with a checkpoint; None where it is what was written."""
    if not file.is_file():
        return f"{file} does not exist"
    if digest(file) not in {one for one, _ in _read_sums(file.parent)}:
        return f"{file} is damaged: its checksum is none of {file.with_name(SUMS)}"
    return None


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _read_sums(folder: Path) -> list[tuple[str, str]]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [(one, name) for one, gap, name in (line.partition("  ") for line in lines) if gap]


def _write_sums(folder: Path, sums: Iterable[tuple[str, str]]) -> None:
    write_text(folder / SUMS, "".join(f"{one}  {name}\n" for one, name in sums))
