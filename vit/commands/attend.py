"""Draw what the model attended to, over each picture.

example:
  vit attend runs/digits photos --output overlays
  vit attend runs/digits photos --output why --method relevance --target 7 --score
  vit attend runs/digits photo.png --output overlays --query 3,4

methods:
  raw           one layer's attention (--layer, --head, --fusion)
  rollout       attention through all layers (--fusion, --discard)
  grad_rollout  rollout of gradient times attention, for a class (--discard)
  relevance     attention that raised a class's score, through all layers
  legrad        gradients of each layer's own reading of a class
  occlusion     how far a class's score falls when patches are covered; slow (--window)
  rise          random masks; slowest (--samples)

photo.jpg gets photo.jpg.png, and the first pictures photo.jpg.html to explore in a browser, which holds every
weight: 0.1 MB for a 32-pixel model, 6 MB for ViT-B/16 at 224. Beside them stand sheet.png and attend.csv: one
row per file, with its status, label, score, and for raw and rollout the attention mass on class token,
registers and patches of unusual norm.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

OPTIONS = ("layer", "head", "fusion", "discard", "window", "samples")


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, inputs, output, method."""
    parser.add_argument("model", metavar="MODEL", help="run folder, bundle folder, shipped model, timm:NAME")
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="*", help="files, folders (recursive), glob patterns"
    )
    parser.add_argument("--output", required=True, help="folder for the overlays")
    parser.add_argument("--method", default="rollout", help="one of the above (default: rollout)")
    parser.add_argument("--target", help="class to explain, label or index (default: the predicted one)")
    parser.add_argument(
        "--query", default="cls", help="cls (default): what the head reads; mean; or a patch as ROW,COL"
    )
    parser.add_argument("--layer", type=int, help="of raw, from 0; -1 is the last (default)")
    parser.add_argument("--head", type=int, help="of raw, from 0 (default: all of them)")
    parser.add_argument("--fusion", help="of heads: mean (default), max or min")
    parser.add_argument("--discard", type=float, help="share of the weakest links left out (default: 0)")
    parser.add_argument("--window", type=int, help="of occlusion: patches per side of the cover (default: 1)")
    parser.add_argument("--samples", type=int, help="of rise: number of masks (default: 1000)")
    parser.add_argument("--text", help="a sentence, for text models")
    parser.add_argument("--pages", type=int, default=12, help="how many pictures get a page (default: 12)")
    parser.add_argument("--score", action="store_true", help="measure the maps: faithfulness.csv and a table")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures per forward pass (default: 16)")
    parser.add_argument("--side", type=int, default=384, help="pixels of a drawn picture (default: 384)")
    parser.add_argument("--overwrite", action="store_true", help="replace the overlays of an earlier run")


def run(arguments: "Namespace") -> int:
    """Write the overlays; 3 where some files were bad."""
    from vit.attribution import parse_query
    from vit.build import best_device, load_model
    from vit.commands.common import faithfulness_table, require_labels, require_positive, summary, ticker
    from vit.errors import UsageError, VitError
    from vit.inference.explain import METHODS
    from vit.inference.faithful import Faithfulness
    from vit.inference.overlays import draw_overlays
    from vit.viewer.overlay import SMALLEST_SIDE

    if arguments.text is not None:
        raise VitError("--text needs a text model, and this version of vit has image models only")
    if not arguments.inputs:
        raise UsageError("INPUT is missing: name the files or folders to draw")
    method = arguments.method
    if method not in METHODS:
        raise UsageError(f"--method is {method}, expected one of: {', '.join(METHODS)}")
    if arguments.target is not None and not METHODS[method].of_a_class:
        raise UsageError(f"--target is {arguments.target}, but {method} looks at no class: leave it out")
    options: dict[str, Any] = {name: arguments[name] for name in OPTIONS if arguments[name] is not None}
    for name in options:
        if name not in METHODS[method].options:
            takes = ", ".join(f"--{known}" for known in METHODS[method].options) or "no option"
            raise UsageError(f"--{name} is not of {method}, which takes {takes}")
    require_positive("--batch-size", arguments.batch_size)
    if arguments.pages < 0:
        raise UsageError(f"--pages is {arguments.pages}, expected 0 or more")
    if arguments.side < SMALLEST_SIDE:
        raise UsageError(f"--side is {arguments.side} pixels, expected at least {SMALLEST_SIDE}")
    query = parse_query(arguments.query)
    model = load_model(arguments.model).to(best_device())
    figures = Faithfulness(require_labels(model, arguments.model)) if arguments.score else None
    with ticker("pictures") as tell:
        counts = draw_overlays(
            model,
            arguments.inputs,
            Path(arguments.output),
            method=method,
            target=arguments.target,
            query=query,
            options=options,
            pages=arguments.pages,
            figures=figures,
            batch_size=arguments.batch_size,
            side=arguments.side,
            overwrite=arguments.overwrite,
            caption=str(arguments.model),
            tell=tell,
        )
    if figures is not None and counts["ok"]:
        of = "the predicted class" if arguments.target is None else arguments.target
        print(f"probability of {of} while patches go, n = {counts['ok']}; a random map has LeRF - MoRF 0:")
        print(faithfulness_table(figures.rows()))
    print(f"{summary(counts)} -> {arguments.output}")
    return 3 if counts.total() > counts["ok"] else 0
