"""From a model to a tested file: traced, written, opened in its own runtime, compared, moved into place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from vit.atomic import write_text
from vit.bundle import TOKENIZER
from vit.core import Tower, probabilities
from vit.errors import UsageError, VitError
from vit.export import onnx, preprocess, pt2, quantize
from vit.export.metadata import describe
from vit.export.prepare import Prepared, plain_mode, prepare
from vit.export.quantize import USUAL_LOSS
from vit.export.staging import check_place, staged
from vit.export.verify import Agreement, Real, Runner, equal_labels, require_runs, verify

WRITERS: dict[str, Any] = {"onnx": onnx, "pt2": pt2}  # modules with `write` and `runner`

Pictures = Callable[[], Iterator[np.ndarray]]  # makes upright uint8 arrays (height, width, 3), RGB


@dataclass(frozen=True)
class Options:
    """What a file is to be.

    Args:
        dynamic_size: It takes images of any size that the patches tile.
        preprocess: It takes uint8 RGB pictures and gives scores.
        quantize: `int8`, or None.
        max_loss: Points of accuracy that a quantized file may lose.
        overwrite: It may replace a file.
    """

    dynamic_size: bool = False
    preprocess: bool = False
    quantize: str | None = None
    max_loss: float = USUAL_LOSS
    overwrite: bool = False


class Exported(NamedTuple):
    """What was written, and measured before it was put in place.

    Args:
        files: The main file, and what lies beside it.
        agreement: Of the file in float32 with the model.
        levels: Of the preprocessing in the file and Pillow; None without one.
        quantized: Of the files of 8 and 32 bits; None for one in float32.
    """

    files: list[Path]
    agreement: Agreement
    levels: preprocess.Levels | None
    quantized: quantize.Quantized | None


def export_model(
    model: Tower,
    file: Path,
    kind: str,
    options: Options = Options(),
    *,
    real: Real | None = None,
    pictures: Pictures | None = None,
) -> Exported:
    """Write a model to a file that another runtime runs. The model itself is not changed.

    Args:
        model: An image or text model.
        file: Its name ends in the format's: .onnx or .pt2.
        kind: `onnx` or `pt2`.
        options: What the file is to be.
        real: Inputs of the model with their truth, to compare labels and to measure a quantized file.
        pictures: Real ones for a file with preprocessing.

    Raises:
        UsageError: Options that do not fit each other or the model.
        VitError: The model cannot be written, or the file does not pass its tests: nothing is left of it.
    """
    _check(model, kind, options, real)
    check_place(file, f".{kind}", overwrite=options.overwrite)
    if kind == "onnx":
        onnx.require_libraries()
    prepared = prepare(model, dynamic_size=options.dynamic_size)
    with plain_mode(), staged(file, overwrite=options.overwrite) as folder:  # torch traces as it runs
        made = folder / file.name
        with TemporaryDirectory(dir=folder) as work:
            exported = _made(made, kind, options, prepared, real, pictures, Path(work))
        if prepared.reads == "text" and prepared.model.preprocess is not None:
            write_text(folder / TOKENIZER, prepared.model.preprocess.definition)
        beside = sorted(each.name for each in folder.iterdir() if each.name != file.name)
    return exported._replace(files=[file, *(file.parent / name for name in beside)])


def _check(model: Tower, kind: str, options: Options, real: Real | None) -> None:
    """Refuse options that do not fit each other.

    Raises:
        UsageError: With the way out.
    """
    if kind not in WRITERS:
        raise UsageError(f"--format is {kind!r}, expected one of: {', '.join(WRITERS)}")
    if options.preprocess and options.dynamic_size:
        raise UsageError("--preprocess brings pictures of any size to one: leave --dynamic-size out")
    if options.quantize is None:
        return
    if options.quantize not in quantize.KINDS:
        raise UsageError(f"--quantize is {options.quantize!r}, expected {', '.join(quantize.KINDS)}")
    if kind != "onnx":
        raise UsageError(f"--quantize is done by onnxruntime, and --format is {kind}: use --format onnx")
    if not model.labels:
        raise UsageError("--quantize needs a model with labels: its loss of accuracy is measured")
    if real is None:
        raise UsageError("--quantize needs --data NAME_OR_PATH, on which the loss of accuracy is measured")


def _made(
    made: Path,
    kind: str,
    options: Options,
    prepared: Prepared,
    real: Real | None,
    pictures: Pictures | None,
    work: Path,
) -> Exported:
    """Write and test the file; `work` is a folder for what is not kept."""
    if not options.preprocess:
        run = _written(kind, prepared, made)
        agreement, levels = verify(run, prepared, real), None
        whole = prepared
    else:
        whole, levels = _with_preprocessing(kind, prepared, pictures, work)
        run = _written(kind, whole, made, {"preprocessing": levels._asdict()})
        agreement = _with_labels(verify(run, whole), run, whole, pictures)
    measured = None
    if options.quantize is not None and real is not None:
        measured = _quantized(made, whole, prepared, real, options.max_loss, work)
    return Exported([], agreement, levels, measured)


def _written(kind: str, prepared: Prepared, file: Path, facts: dict[str, Any] | None = None) -> Runner:
    """Write a file and open it again."""
    writer = WRITERS[kind]
    writer.write(prepared, prepared.trace(), file, describe(prepared, facts or {}))
    run: Runner = writer.runner(file)
    return run


def _with_preprocessing(
    kind: str, prepared: Prepared, pictures: Pictures | None, work: Path
) -> tuple[Prepared, preprocess.Levels]:
    """The model with its preprocessing in front, and how far that is from Pillow's.

    The whole must agree with the model on the pixels that the same runtime gives.
    """
    whole, model = preprocess.with_preprocessing(prepared), prepared.model
    pixels = _written(kind, preprocess.pixels_alone(model), work / f"pixels.{kind}")
    samples = chain(preprocess.sample_pictures(model), pictures() if pictures else ())
    levels = preprocess.compare(pixels, model.preprocess, samples)
    scoring = preprocess.Scoring(model, prepared.module)
    return whole._replace(reference=lambda given: scoring(pixels(given))), levels


def _with_labels(agreement: Agreement, run: Runner, whole: Prepared, pictures: Pictures | None) -> Agreement:
    """The agreement with labels of real pictures, beside those that Pillow's pixels give."""
    model, equal, count = whole.model, 0, 0
    for picture in pictures() if pictures else ():
        logits = model(model.preprocess(picture)[None], exact=True)
        scores = logits if whole.output == "features" else probabilities(model, logits)
        equal += equal_labels(model, whole.output, run(torch.from_numpy(picture)[None]), scores)
        count += 1
    return agreement._replace(real=count, equal=equal)


def _quantized(
    made: Path, whole: Prepared, prepared: Prepared, real: Real, most: float, work: Path
) -> quantize.Quantized:
    """Replace the file by one of 8 bits, if that loses no more than permitted.

    The accuracy is that of the model without preprocessing, since real inputs are prepared.
    """
    if onnx.size_of(made) > onnx.LARGEST_FILE:
        raise VitError("--quantize int8 reads files of at most 2 GB, and the model has more: leave it out")
    plain, small, whole_small = made, work / "small.onnx", work / "whole.onnx"
    if whole is not prepared:
        plain = work / "plain.onnx"
        _written("onnx", prepared, plain)
    quantize.quantize(plain, small)
    measured = quantize.compare(onnx.runner(plain), onnx.runner(small), prepared, real)
    quantize.require_small_loss(measured, most)
    if whole is not prepared:
        quantize.quantize(made, whole_small)
        small = whole_small
    measured = measured._replace(size=small.stat().st_size / onnx.size_of(made))
    onnx.replace(made, small, {"int8": measured._asdict()})
    require_runs(onnx.runner(made), whole)
    return measured
