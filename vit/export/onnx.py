"""Files of ONNX, written by torch's exporter and run by onnxruntime."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from vit.cores import available_cores
from vit.errors import VitError
from vit.export.prepare import Prepared
from vit.export.verify import Runner

LARGEST_FILE = 2**31 - 2**24  # bytes of weights: a protobuf ends at 2 GiB, and the graph needs some of it
AXES = {
    "image": ("batch", "channels", "height", "width"),
    "text": ("batch", "tokens"),
    "pictures": ("batch", "height", "width"),
}
ANY_SIZE = 2**62  # elements: constants of any size are computed when the file is written


def require_libraries() -> None:
    """Refuse to begin where a library is missing.

    Raises:
        VitError: With the way out.
    """
    if not all(map(find_spec, ("onnx", "onnxruntime", "onnxscript"))):
        raise VitError("ONNX files need onnx, onnxruntime and onnxscript: pip install 'vit[export]'")


def write(prepared: Prepared, program: ExportedProgram, file: Path, metadata: dict[str, str]) -> None:
    """Write a graph with its weights and metadata to one file, or above 2 GB to two.

    Args:
        prepared: Names the inputs and the output.
        program: Its trace.
        file: Ends in .onnx. The weights of a model above `LARGEST_FILE` are in FILE.data beside it.
        metadata: Name to text.

    Raises:
        VitError: The exporter cannot write the model.
    """
    model = _translated(prepared, program)
    _strip(model)
    model.producer_name, model.producer_version = "vit", metadata["vit"]
    model.metadata_props.update(metadata)
    _save(model, file)


def replace(file: Path, other: Path, facts: dict[str, Any]) -> None:
    """Put another file of the same model in the place of one.

    Args:
        file: Is replaced, with what lies beside it.
        other: Of at most 2 GB.
        facts: Are added to its metadata, as JSON; what is there stays.
    """
    import onnx

    model = onnx.load(other)
    for name, value in facts.items():
        model.metadata_props.add(key=name, value=json.dumps(value, ensure_ascii=False))
    _beside(file).unlink(missing_ok=True)
    onnx.save(model, file)


def size_of(file: Path) -> int:
    """Bytes of a file and of what lies beside it."""
    return sum(each.stat().st_size for each in (file, _beside(file)) if each.exists())


def runner(file: Path) -> Runner:
    """Runs the file in onnxruntime, on the cores that this process may use."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        named = {name: given.numpy() for name, given in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, named)[0])

    return run


def read_metadata(file: Path) -> dict[str, str]:
    """What `write` was given as metadata; the weights are not read."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    return {each.key: each.value for each in model.metadata_props}


def _translated(prepared: Prepared, program: ExportedProgram) -> Any:
    """The graph as `onnx_ir.Model`."""
    from onnxscript import optimizer

    try:
        written = torch.onnx.export(
            program,
            input_names=list(prepared.axes),
            output_names=[prepared.output],
            dynamic_shapes=_names(prepared),
            verbose=False,
        )
        assert written is not None
        # What follows from weights alone is computed now: a quantizer finds only matrices that are stored.
        optimizer.optimize(written.model, input_size_limit=ANY_SIZE, output_size_limit=ANY_SIZE)
    except Exception as error:  # of many kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise VitError(f"the exporter of ONNX cannot write the model: {reason}") from error
    return written.model


def _names(prepared: Prepared) -> dict[str, dict[int, str | None]]:
    """The free axes of each input by name; those of further inputs are those of the first."""
    first = next(iter(prepared.axes))
    names = AXES[prepared.reads]
    return {
        given: {axis: names[axis] if given == first else None for axis in axes}
        for given, axes in prepared.axes.items()
    }


def _strip(model: Any) -> None:
    """Remove what the exporter notes of the source code: lines of it, with the paths of this machine."""
    model.doc_string = None
    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    for graph in graphs:
        graph.doc_string = None
        for part in (graph, *graph.all_nodes(), *_values(graph)):
            part.metadata_props.clear()
            part.doc_string = None


def _values(graph: Any) -> Iterator[Any]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph.all_nodes():
        yield from node.outputs


def _save(model: Any, file: Path) -> None:
    import onnx_ir

    weights = (each.const_value for each in model.graph.initializers.values())
    size = sum(tensor.nbytes for tensor in weights if tensor is not None)
    onnx_ir.save(model, file, external_data=_beside(file).name if size > LARGEST_FILE else None)


def _beside(file: Path) -> Path:
    """Where the weights of a large model are."""
    return file.with_name(f"{file.name}.data")
