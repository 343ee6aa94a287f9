"""Draw what the model attended to, over each picture.

example:
  vit attend runs/digits photos --output overlays
  vit attend runs/digits photo.png --output overlays --query 3,4

Beside the overlays stands attend.csv: one row per file, with its status, label and score.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, inputs, output, method."""
    parser.add_argument("model", metavar="MODEL", help="run folder, bundle folder, shipped model, timm:NAME")
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="*", help="files, folders (recursive), glob patterns"
    )
    parser.add_argument("--output", required=True, help="folder for the overlays")
    parser.add_argument("--method", default="rollout", help="rollout (default)")
    parser.add_argument("--target", help="class to explain, for methods that explain one")
    parser.add_argument(
        "--query", default="cls", help="cls (default): what the head reads; mean; or a patch as ROW,COL"
    )
    parser.add_argument("--text", help="a sentence, for text models")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures per forward pass (default: 16)")
    parser.add_argument("--side", type=int, default=384, help="pixels of a drawn picture (default: 384)")
    parser.add_argument("--overwrite", action="store_true", help="replace the overlays of an earlier run")


def run(arguments: "Namespace") -> int:
    """Write the overlays; 3 where some files were bad."""
    from vit.attribution import parse_query
    from vit.build import best_device, load_model
    from vit.commands.common import require_positive, summary, ticker
    from vit.errors import UsageError, VitError
    from vit.inference.explain import METHODS
    from vit.inference.overlays import draw_overlays

    if arguments.text is not None:
        raise VitError("--text needs a text model, and this version of vit has image models only")
    if not arguments.inputs:
        raise UsageError("INPUT is missing: name the files or folders to draw")
    if arguments.method not in METHODS:
        raise UsageError(f"--method is {arguments.method}, expected one of: {', '.join(METHODS)}")
    if arguments.target is not None:
        raise UsageError(
            f"--target is {arguments.target}, but {arguments.method} looks at no class: leave it out"
        )
    require_positive("--batch-size", arguments.batch_size)
    query = parse_query(arguments.query)
    model = load_model(arguments.model).to(best_device())
    with ticker("pictures") as tell:
        counts = draw_overlays(
            model,
            arguments.inputs,
            Path(arguments.output),
            method=arguments.method,
            query=query,
            batch_size=arguments.batch_size,
            side=arguments.side,
            overwrite=arguments.overwrite,
            tell=tell,
        )
    print(f"{summary(counts)} -> {arguments.output}")
    return 3 if counts.total() > counts["ok"] else 0
