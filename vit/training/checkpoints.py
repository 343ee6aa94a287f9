"""Checkpoints with checksums, written so that a crash at any moment leaves an intact one.

    checkpoints/last.ckpt             the newest
    checkpoints/previous.ckpt         the one before it
    checkpoints/best.ckpt             the one with the best validation accuracy
    checkpoints/frozen.safetensors    with `model.freeze`: the weights that no checkpoint holds, written once
    checkpoints/SHA256SUMS            their checksums, as `sha256sum --check` reads them

A new checkpoint is written to a temporary file and synced; its checksum is added to the list; `last.ckpt` is
renamed to `previous.ckpt`; the temporary file is renamed to `last.ckpt`. After a crash at any point of this
one of the two is intact and its checksum is in the list.
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
from safetensors.torch import save
from torch import Tensor

from vit.atomic import replacing, write_text
from vit.errors import VitError
from vit.training.run_folder import LAST, PREVIOUS
from vit.weights.unfinished import FROZEN, frozen_weights

SUMS = "SHA256SUMS"

# Names in checkpoints of earlier versions. Lightning keeps the state of a callback under its class name.
RENAMED_CALLBACKS = {"Same": "DataGuard", "Chance": "RNGState", "Finite": "NonFiniteGuard"}
RENAMED_PARAMETERS = {"model.words.weight": "model.token_embedding.weight"}


class DurableIO(CheckpointIO):
    """The plugin with which Lightning writes and reads checkpoints."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint. If it replaces an intact `last.ckpt`, that becomes `previous.ckpt`.

        Raises:
            VitError: The disk is full, or the folder may not be written to.
        """
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        old_sums = _read_sums(file.parent)
        new_sums = {name: checksum for checksum, name in old_sums if file.with_name(name).exists()}
        with replacing(file) as temporary:
            # Serialised in memory first: the error of torch.save does not say that a disk is full.
            content = io.BytesIO()
            torch.save(checkpoint, content)
            temporary.write_bytes(content.getbuffer())
            new_sums[file.name] = sha256(content.getbuffer()).hexdigest()
            _write_sums(file.parent, [*old_sums, (new_sums[file.name], file.name)])
            if file.name == LAST and damage(file) is None:
                new_sums[PREVIOUS] = digest(file)
                os.replace(file, file.with_name(PREVIOUS))
        _write_sums(file.parent, [(checksum, name) for name, checksum in new_sums.items()])

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint of this or an earlier version: tensors and plain values only.

        Raises:
            VitError: It holds other objects, or is not a checkpoint of a run.
        """
        try:
            with warnings.catch_warnings():  # torch warns of pickles that torch.save did not write
                warnings.simplefilter("ignore")
                checkpoint = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except (RuntimeError, UnpicklingError, EOFError, ValueError, KeyError) as error:
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise VitError(
                f"{path} is damaged, or holds more than tensors and plain values: {detail}"
            ) from None
        if not isinstance(checkpoint, dict) or "callbacks" not in checkpoint:
            raise VitError(f"{path} is not a checkpoint of a run: it has no state of callbacks")
        _update_names(checkpoint)
        _update_paths(checkpoint, os.path.realpath(Path(path).parent))
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def write_frozen(folder: Path, weights: dict[str, Tensor]) -> None:
    """Write the weights that a run does not train.

    Args:
        folder: Of the checkpoints.
        weights: All that the checkpoints will not hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    with replacing(folder / FROZEN) as temporary:
        temporary.write_bytes(content)
    _write_sums(folder, [*_read_sums(folder), (sha256(content).hexdigest(), FROZEN)])


def read_frozen(folder: Path) -> dict[str, Tensor]:
    """What `write_frozen` wrote.

    Raises:
        VitError: It is missing or damaged.
    """
    weights = frozen_weights(folder / FROZEN)
    known = {checksum for checksum, name in _read_sums(folder) if name == FROZEN}
    if known and digest(folder / FROZEN) not in known:
        raise VitError(f"{folder / FROZEN} is damaged: its checksum is not in {folder / SUMS}")
    return weights


def _update_names(checkpoint: dict[str, Any]) -> None:
    """Rename callbacks and parameters that had another name in an earlier version."""
    checkpoint["callbacks"] = _renamed(checkpoint["callbacks"], RENAMED_CALLBACKS)
    # With averaged weights `state_dict` holds the average, and `current_model_state` the weights themselves.
    for part in {"state_dict", "current_model_state"} & checkpoint.keys():
        checkpoint[part] = _renamed(checkpoint[part], RENAMED_PARAMETERS)


def _renamed(values: dict[str, Any], new_names: dict[str, str]) -> dict[str, Any]:
    return {new_names.get(name, name): value for name, value in values.items()}


def _update_paths(checkpoint: dict[str, Any], folder: str) -> None:
    """Replace the paths that ModelCheckpoint has stored, for a run folder that was moved or copied."""
    for state in checkpoint["callbacks"].values():
        old_folder = state.get("dirpath")
        if not isinstance(old_folder, str):
            continue
        for key, value in state.items():
            if isinstance(value, str):
                state[key] = value.replace(old_folder, folder)
            elif isinstance(value, dict):
                state[key] = {name.replace(old_folder, folder): score for name, score in value.items()}


def newest_intact(folder: Path) -> tuple[Path, str | None]:
    """The newest checkpoint whose checksum is right, and a warning if that is not `last.ckpt`.

    Raises:
        VitError: There is none, or no list of checksums.
    """
    if not (folder / SUMS).is_file() and any((folder / name).is_file() for name in (LAST, PREVIOUS)):
        raise VitError(
            f"{folder / SUMS} is missing, so the checkpoints cannot be verified: to accept them as "
            f"they are, (cd {folder} && sha256sum *.ckpt > {SUMS})"
        )
    problems: list[str] = []
    for name in (LAST, PREVIOUS):
        problem = damage(folder / name)
        if problem is None:
            warning = f"{'; '.join(problems)}: resuming from {name}" if problems else None
            return folder / name, warning
        problems.append(problem)
    raise VitError(f"{'; '.join(problems)}: there is nothing to resume; --overwrite starts over")


def damage(file: Path) -> str | None:
    """What is wrong with a checkpoint, or None if its checksum is right."""
    if not file.is_file():
        return f"{file} does not exist"
    if digest(file) not in {checksum for checksum, _ in _read_sums(file.parent)}:
        return f"{file} is damaged: its checksum is not in {file.with_name(SUMS)}"
    return None


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _read_sums(folder: Path) -> list[tuple[str, str]]:
    """Pairs (checksum, name of the file)."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [(checksum, name) for checksum, gap, name in (line.partition("  ") for line in lines) if gap]


def _write_sums(folder: Path, sums: Iterable[tuple[str, str]]) -> None:
    write_text(folder / SUMS, "".join(f"{checksum}  {name}\n" for checksum, name in sums))
