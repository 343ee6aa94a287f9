"""Files of `torch.export`: a graph that runs wherever torch does, without vit."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from vit.export.prepare import Prepared
from vit.export.verify import Runner

METADATA = "metadata.json"  # a file inside the file
WITH_PATHS = (
    "stack_trace",
    "nn_module_stack",
    "source_fn_stack",
    "from_node",
)  # of the machine that wrote it


def write(prepared: Prepared, program: ExportedProgram, file: Path, metadata: dict[str, str]) -> None:
    """Write a graph with its weights and metadata to one file.

    Args:
        prepared: Not needed: the graph has its names.
        program: From `Prepared.trace`. What it knows of the source code is removed from it.
        file: Ends in .pt2.
        metadata: Name to text; `torch.export.load(file, extra_files=...)` gives it as `metadata.json`.
    """
    for graph in _graphs(program.graph_module):
        for node in graph.graph.nodes:
            for name in WITH_PATHS:
                node.meta.pop(name, None)
    torch.export.save(program, file, extra_files={METADATA: json.dumps(metadata, ensure_ascii=False)})


def read_metadata(file: Path) -> dict[str, str]:
    """What `write` was given as metadata."""
    extra = {METADATA: ""}
    torch.export.load(file, extra_files=extra)
    described: dict[str, str] = json.loads(extra[METADATA])
    return described


def runner(file: Path) -> Runner:
    """Runs the file in torch."""
    module = torch.export.load(file).module()

    @torch.no_grad()
    def run(*inputs: Tensor) -> Tensor:
        output: Tensor = module(*inputs)
        return output

    return run


def _graphs(module: torch.nn.Module) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, torch.fx.GraphModule)]
