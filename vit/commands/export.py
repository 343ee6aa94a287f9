"""Write a model to a file that runs without vit: ONNX, torch.export, or weights for timm or transformers.

example:
  vit export runs/digits --format onnx --output digits.onnx
  vit export runs/digits --format onnx --preprocess --output digits.onnx
  vit export cifar10 --format onnx --quantize int8 --data cifar10 --output cifar10.onnx
  vit export runs/digits --format pt2 --dynamic-size --output digits.pt2
  vit export runs/digits --format safetensors --library timm --output digits_timm

The number of inputs is free, and the size of pictures is the model's own unless --dynamic-size is given.
The file is opened again in its own runtime and compared with the model at 1, 2 and 7 inputs, and at 500 of
--data, before it is put in its place; where it differs by more than 1e-4, nothing is left.

--preprocess puts resizing, cropping and normalisation into the file: it takes uint8 RGB pictures of any
size, upright, and gives scores. --quantize int8 measures the accuracy on --data before and after, and refuses
a file that lost more than --max-loss points. A text model has its tokenizer.json beside it.
"""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vit.config import MODEL_HELP
from vit.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.export.export import Exported

FORMATS = ("safetensors", "onnx", "pt2")
LIBRARIES = ("timm", "transformers")
OF_GRAPHS = ("dynamic_size", "preprocess", "quantize", "data")
MOST_PICTURES = 500  # real ones that a file with preprocessing is compared on


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, format, output."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--format", required=True, choices=FORMATS, help="of the file")
    parser.add_argument("--output", required=True, metavar="PATH", help="the file; with safetensors a folder")
    parser.add_argument("--library", choices=LIBRARIES, help="of safetensors (default: timm)")
    parser.add_argument(
        "--dynamic-size", action="store_true", help="take images of any size that the patches tile"
    )
    parser.add_argument(
        "--preprocess", action="store_true", help="take uint8 RGB pictures of any size, give scores"
    )
    parser.add_argument("--quantize", metavar="KIND", help="int8: weights of 8 bits (ONNX)")
    parser.add_argument(
        "--max-loss", type=float, help="of --quantize: points of accuracy it may lose (default: 0.5)"
    )
    parser.add_argument("--data", metavar="NAME_OR_PATH", help="real inputs to compare and measure on")
    parser.add_argument("--split", default="test", help="of --data (default: test)")
    parser.add_argument(
        "--push-to-hub", metavar="OWNER/NAME", help="upload it, with a model card, to the Hugging Face Hub"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def run(arguments: "Namespace") -> int:
    """Write the file, say what was measured, and upload it where that is wanted."""
    _check(arguments)
    from vit.device import best_device
    from vit.export.hub import require_repository
    from vit.weights.models import load_model

    if arguments.push_to_hub is not None:
        require_repository(arguments.push_to_hub)
    best_device()  # sets the number of threads
    model = load_model(arguments.model)
    write = _write_weights if arguments.format == "safetensors" else _write_graph
    files, lines = write(model, arguments)
    print("\n".join(lines))
    if arguments.push_to_hub is not None:
        print(_push(model, arguments, files, lines))
    return 0


def _write_graph(model: Any, arguments: "Namespace") -> tuple[list[Path], list[str]]:
    """Write ONNX or pt2; the files, and what was measured."""
    from vit.export.export import Options, export_model

    given = {name: arguments[name] for name in ("dynamic_size", "preprocess", "quantize", "overwrite")}
    if arguments.max_loss is not None:
        given["max_loss"] = arguments.max_loss
    real, pictures = _real(model, arguments)
    exported = export_model(
        model, Path(arguments.output), arguments.format, Options(**given), real=real, pictures=pictures
    )
    return exported.files, list(_lines(exported))


def _check(arguments: "Namespace") -> None:
    """Refuse options that belong to another format or option.

    Raises:
        UsageError: With the way out.
    """
    weights = arguments.format == "safetensors"
    if weights and (given := [name for name in OF_GRAPHS if arguments[name]]):
        option = given[0].replace("_", "-")
        raise UsageError(
            f"--{option} is an option of --format onnx and pt2, and this is safetensors: leave it out"
        )
    if arguments.library is not None and not weights:
        raise UsageError(f"--library is an option of --format safetensors, and this is {arguments.format}")
    if arguments.max_loss is not None and arguments.quantize is None:
        raise UsageError("--max-loss is an option of --quantize, which is missing")
    if arguments.max_loss is not None and arguments.max_loss < 0:
        raise UsageError(f"--max-loss is {arguments.max_loss:g}, expected points of accuracy, at least 0")


def _write_weights(model: Any, arguments: "Namespace") -> tuple[list[Path], list[str]]:
    """Write a folder of weights under the names of another library; it, and its description."""
    from vit.export.safetensors import export_safetensors

    library = arguments.library or LIBRARIES[0]
    said = export_safetensors(model, arguments.output, library=library, overwrite=arguments.overwrite)
    return [Path(arguments.output)], [said]


def _push(model: Any, arguments: "Namespace", files: list[Path], lines: list[str]) -> str:
    """Upload what was written with a card that says what was measured; the address."""
    from vit.export.card import model_card
    from vit.export.hub import push_to_hub

    repository, weights = arguments.push_to_hub, arguments.format == "safetensors"
    kind = (arguments.library or LIBRARIES[0]) if weights else arguments.format
    measured = [] if weights else lines[1:]  # the first line has the paths
    card = model_card(model, kind=kind, repo_id=repository, file=files[0].name, notes=measured)
    if weights:
        return push_to_hub(files[0], repository, card=card)
    with TemporaryDirectory() as folder:
        for file in files:
            shutil.copy(file, folder)
        return push_to_hub(folder, repository, card=card, message=f"Add {files[0].name}")


def _real(model: Any, arguments: "Namespace") -> tuple[Any, Any]:
    """The inputs of `--data` with their truth, and what makes its pictures; None for what is not needed."""
    if arguments.data is None:
        return None, None
    from vit.inference.predict import require_labels
    from vit.recipes.evaluation.data import evaluation_data
    from vit.recipes.evaluation.inputs import real_inputs, real_pictures

    require_labels(model, arguments.model)
    data = evaluation_data(model, arguments.model, arguments.data)
    real = real_inputs(model, data, arguments.split)
    if not arguments.preprocess:
        return real, None
    return real, partial(real_pictures, data, arguments.split, arguments.data, MOST_PICTURES)


def _lines(exported: "Exported") -> Iterator[str]:
    """What was written and measured."""
    sizes = (f"{file} {file.stat().st_size / 1e6:.1f} MB" for file in exported.files)
    yield ", ".join(sizes)
    agreement = exported.agreement
    real = (
        f"; labels equal on {agreement.equal:,} of {agreement.real:,} real inputs" if agreement.real else ""
    )
    yield f"differs from the model by at most {agreement.difference:.1e} at 1, 2 and 7 inputs{real}"
    if levels := exported.levels:
        yield (
            f"its preprocessing differs from Pillow's by {levels.mean:.2f} of 255 levels in the mean, "
            f"at most {levels.largest}, on {levels.pictures:,} pictures"
        )
    if small := exported.quantized:
        yield (
            f"int8: accuracy {100 * small.before:.2f} -> {100 * small.after:.2f} on {small.n:,} of "
            f"{small.data}, {100 * small.equal:.1f} % equal labels, {small.size:.2f} of the size"
        )
