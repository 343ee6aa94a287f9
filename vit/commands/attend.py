"""Draw what the model attended to, over each picture or text.

example:
  vit attend runs/digits photos --output overlays
  vit attend runs/digits photos --output why --method relevance --target 7 --score
  vit attend runs/digits photo.png --output overlays --query 3,4
  vit attend minilm --text "The cat sat on the mat because it was tired." --output cat --query 8
  vit attend runs/text_sst2 reviews.txt --output why --method relevance

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

Of texts, pieces are merged to words: attention to a word is the sum over its pieces, attention from it the
mean. Words are counted from 0 with the special tokens, so that of a BERT [CLS] is 0.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.config import MODEL_HELP

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.text import TextTransformer

OPTIONS = ("layer", "head", "fusion", "discard", "window", "samples")


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, inputs, output, method."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="files, folders, .zip, .tar, globs, @LIST, or -",
    )
    parser.add_argument("--output", required=True, help="folder for the overlays")
    parser.add_argument("--method", default="rollout", help="one of the above (default: rollout)")
    parser.add_argument("--target", help="class to explain, label or index (default: the predicted one)")
    parser.add_argument(
        "--query",
        default="cls",
        help="cls (default): what the head reads; mean; a patch as ROW,COL; a word as its number",
    )
    parser.add_argument("--layer", type=int, help="of raw, from 0; -1 is the last (default)")
    parser.add_argument("--head", type=int, help="of raw, from 0 (default: all of them)")
    parser.add_argument("--fusion", help="of heads: mean (default), max or min")
    parser.add_argument("--discard", type=float, help="share of the weakest links left out (default: 0)")
    parser.add_argument("--window", type=int, help="of occlusion: patches per side of the cover (default: 1)")
    parser.add_argument("--samples", type=int, help="of rise: number of masks (default: 1000)")
    parser.add_argument("--text", help="a text itself, for models of texts")
    parser.add_argument("--pieces", action="store_true", help="of texts: word pieces, not merged to words")
    parser.add_argument(
        "--special",
        choices=("apart", "shown"),
        default="apart",
        help="of texts: special tokens without colours of their own (default), or coloured as words are",
    )
    parser.add_argument("--pages", type=int, default=12, help="how many pictures get a page (default: 12)")
    parser.add_argument("--score", action="store_true", help="measure the maps: faithfulness.csv and a table")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures per forward pass (default: 16)")
    parser.add_argument("--side", type=int, default=384, help="pixels of a drawn picture (default: 384)")
    parser.add_argument("--overwrite", action="store_true", help="replace the overlays of an earlier run")


def run(arguments: "Namespace") -> int:
    """Write the overlays; 3 where some files were bad."""
    from vit.inputs.processes import warm_up

    warm_up()  # beside the imports below, which take seconds
    from vit.attribution.explain import METHODS
    from vit.attribution.query import parse_query
    from vit.commands.common import faithfulness_table, require_labels, require_positive, summary, ticker
    from vit.device import best_device
    from vit.errors import UsageError
    from vit.evaluation.faithfulness import Faithfulness
    from vit.inference.draw import draw_overlays
    from vit.text import TextTransformer
    from vit.viewer.overlay import SMALLEST_SIDE
    from vit.weights.models import fingerprint, load_model

    if bool(arguments.inputs) == (arguments.text is not None):
        raise UsageError("give either INPUT, the files or folders to draw, or --text")
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
    model = load_model(arguments.model).to(best_device())
    if isinstance(model, TextTransformer):
        return _draw_texts(model, arguments, options)
    if arguments.text is not None:
        raise UsageError(f"--text needs a model of texts, and {arguments.model} reads pictures")
    query = parse_query(arguments.query)
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
            fingerprint=fingerprint(model),
            tell=tell,
        )
    if figures is not None and counts["ok"]:
        of = "the predicted class" if arguments.target is None else arguments.target
        print(f"probability of {of} while patches go, n = {counts['ok']}; a random map has LeRF - MoRF 0:")
        print(faithfulness_table(figures.rows()))
    print(f"{summary(counts)} -> {arguments.output}")
    return 3 if counts.total() > counts["ok"] else 0


def _draw_texts(model: "TextTransformer", arguments: "Namespace", options: dict[str, Any]) -> int:
    """Write the drawings of texts; 3 where some could not be read."""
    from vit.attribution.query import parse_query
    from vit.commands.common import summary, ticker
    from vit.errors import UsageError
    from vit.inference.attend import token_query
    from vit.inference.text_maps import draw_texts
    from vit.weights.models import fingerprint

    if arguments.score:
        raise UsageError("--score is of pictures: leave it out")
    if arguments.text is not None and not arguments.text.strip():
        raise UsageError("--text is empty: give it some words")
    with ticker("texts") as tell:
        counts = draw_texts(
            model,
            arguments.inputs,
            Path(arguments.output),
            text=arguments.text,
            method=arguments.method,
            target=arguments.target,
            query=parse_query(token_query(arguments.query)),
            options=options,
            merge=not arguments.pieces,
            apart=arguments.special == "apart",
            pages=arguments.pages,
            overwrite=arguments.overwrite,
            caption=str(arguments.model),
            fingerprint=fingerprint(model),
            tell=tell,
        )
    print(f"{summary(counts, 'text')} -> {arguments.output}")
    return 3 if counts.total() > counts["ok"] else 0
