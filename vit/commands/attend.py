"""Draw what the model attended to, over each image or text.

example:
  vit attend runs/digits photos --output overlays
  vit attend runs/digits photos --output why --method relevance --target 7 --score
  vit attend runs/digits photo.png --output overlays --query 3,4
  vit attend cifar10 photographs --output figures --style contour --sinks set-apart --format pdf
  vit attend minilm --text "The cat sat on the mat because it was tired." --output cat --query 8
  vit attend runs/text_sst2 reviews.txt --output why --method relevance
  vit attend hf:gpt2 --text "The cat sat on" --max-tokens 8 --output cat
  vit attend hf:gpt2 --text "The cat sat on the" --output why --method relevance --target mat

methods:
{methods}

photo.jpg gets photo.jpg.png, and the first images photo.jpg.html to explore in a browser, which holds every
weight: 0.1 MB for a 32-pixel model, 6 MB for ViT-B/16 at 224. Beside them are sheet.png and attend.csv: one
row per file, with its status, label, score, the number of sinks (patches that draw attention from all
others), and for raw and rollout the attention mass on them, on class token, registers and patches of unusual
norm.

In texts, word pieces are merged to words: attention to a word is the sum over its pieces, attention from it
the mean. Words are counted from 0 with the special tokens: [CLS] of a BERT is 0.

A causal language model goes on with a text for --max-tokens; text and new words are shown as one, and
--target is a token that it might say next. An encoder-decoder writes its target, shown after the text.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.attribution.roster import AUTO, METHODS, OPTIONS, method_table
from vit.commands.rows import add_table_arguments, require_texts, table_options
from vit.config import MODEL_HELP
from vit.errors import UsageError

STYLES = ("side", "over", "contour", "mask")
SINKS = ("keep", "set-apart")
FORMATS = ("png", "svg", "pdf")

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.inference.drawing.draw import Request


def description() -> str:
    """The text of `vit attend --help`."""
    return (__doc__ or "").format(methods=method_table())


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
    parser.add_argument(
        "--method",
        default=AUTO,
        help="one of the above, or auto (default): the most faithful quick one for this kind of model, which "
        "is printed",
    )
    parser.add_argument(
        "--target",
        help="class to explain, label or index (default: the predicted one); of a language model a word that "
        "is one of its tokens",
    )
    parser.add_argument(
        "--query",
        default="cls",
        help="cls (default): what the head reads; mean; a patch as ROW,COL; a word as its number",
    )
    for name, option in OPTIONS.items():
        methods = ", ".join(method for method, how in METHODS.items() if name in how.options)
        parser.add_argument(f"--{name}", type=option.type, help=f"for {methods}: {option.help}")
    parser.add_argument("--text", help="a text itself, for text models")
    add_table_arguments(parser)
    parser.add_argument(
        "--max-tokens",
        type=int,
        help="of language models: most tokens to write (default: none; of an encoder-decoder: 20)",
    )
    parser.add_argument("--pieces", action="store_true", help="of texts: word pieces, not merged to words")
    parser.add_argument(
        "--special",
        choices=("apart", "shown"),
        default="apart",
        help="of texts: special tokens without colors of their own (default), or colored as words are",
    )
    parser.add_argument(
        "--pages",
        type=int,
        default=12,
        help="how many inputs get a page, of at most about 15 MB: with many tokens it holds the rollout and "
        "the last layers, heads together (default: 12)",
    )
    parser.add_argument("--score", action="store_true", help="measure the maps: faithfulness.csv and a table")
    parser.add_argument("--batch-size", type=int, default=16, help="images per forward pass (default: 16)")
    add_look_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the overlays of an earlier run")


def add_look_arguments(parser: "ArgumentParser") -> None:
    """How overlays of images are drawn."""
    parser.add_argument(
        "--style",
        choices=STYLES,
        default="side",
        help="of images: side, beside the picture (default); over it; contour, lines around the highest 10 "
        "and 25 %% of the patches; mask, the picture as bright as the map",
    )
    parser.add_argument("--smooth", action="store_true", help="of images: interpolate between patches")
    parser.add_argument(
        "--sinks",
        choices=SINKS,
        default="keep",
        help="of images: patches that draw attention from all others are marked (keep, default), or also "
        "left without a color (set-apart)",
    )
    parser.add_argument(
        "--side", type=int, default=768, help="pixels of a drawn image's longest side, at most (default: 768)"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="png",
        help="of images: png (default), or a file for print beside it, svg or pdf",
    )


def run(arguments: "Namespace") -> int:
    """Write the overlays; 3 where some files were bad."""
    options = _check(arguments)
    columns = table_options(arguments)
    from vit.inputs.processes import warm_up

    warm_up()  # beside the imports below, which take seconds
    from vit.attribution.explain import check_method, method_for
    from vit.attribution.query import parse_query
    from vit.commands.common import summary
    from vit.device import best_device, memory_advice
    from vit.inference.attend import token_query
    from vit.inference.drawing.draw import Request, check_folder, draw_maps
    from vit.progress import RowsBar
    from vit.weights.models import fingerprint, load_model

    folder = Path(arguments.output)
    check_folder(arguments.inputs, folder)
    model = load_model(arguments.model).to(best_device())
    require_texts(columns, model.reads, arguments.model)
    query = token_query(arguments.query) if model.reads == "text" else arguments.query
    method = method_for(model, arguments.method)
    if arguments.method == AUTO:
        check_method(model, method, arguments.target, options)
        print(f"method {method}")
    request = Request(method, arguments.target, parse_query(query), options)
    images = model.reads == "image"
    drawer = (
        _image_drawer(model, arguments, request)
        if images
        else _text_drawer(model, arguments, request, columns)
    )
    batch_size = arguments.batch_size if images else 1
    with memory_advice(batch_size), RowsBar("pictures" if images else "texts") as on_progress:
        counts = draw_maps(
            drawer,
            arguments.inputs,
            folder,
            pages=arguments.pages,
            overwrite=arguments.overwrite,
            resume=not arguments.score,  # the figures are those of all images
            fingerprint=fingerprint(model),
            keep=columns.get("keep", ()),
            on_progress=on_progress,
        )
    if images and drawer.figures is not None:
        _report_faithfulness(drawer.figures, folder, counts["ok"], arguments.target)
    print(f"{summary(counts, 'file' if images else 'text')} -> {arguments.output}")
    return 3 if counts.total() > counts["ok"] else 0


def _check(arguments: "Namespace") -> dict[str, Any]:
    """The options of the method; refuse what cannot be before anything is imported.

    Raises:
        UsageError: Arguments that do not fit each other, or out of range.
    """
    from vit.ranges import require_positive

    if bool(arguments.inputs) == (arguments.text is not None):
        raise UsageError("give either INPUT, the files or folders to draw, or --text")
    if arguments.text is not None and not arguments.text.strip():
        raise UsageError("--text is empty: give it some words")
    method = arguments.method
    if method not in (AUTO, *METHODS):
        raise UsageError(f"--method is {method}, expected one of: {', '.join([AUTO, *METHODS])}")
    if method != AUTO and arguments.target is not None and not METHODS[method].explains_class:
        raise UsageError(f"--target is {arguments.target}, but {method} explains no class: leave it out")
    options = {name: arguments[name] for name in OPTIONS if arguments[name] is not None}
    for name in () if method == AUTO else options:  # what auto stands for depends on the model
        if name not in METHODS[method].options:
            known = ", ".join(f"--{option}" for option in METHODS[method].options) or "no option"
            raise UsageError(f"--{name} is not an option of {method}, which takes {known}")
    require_positive("--batch-size", arguments.batch_size)
    if arguments.max_tokens is not None:
        require_positive("--max-tokens", arguments.max_tokens)
    if arguments.pages < 0:
        raise UsageError(f"--pages is {arguments.pages}, expected 0 or more")
    return options


def _image_drawer(model: Any, arguments: "Namespace", request: "Request") -> Any:
    from vit.evaluation.faithfulness import Faithfulness
    from vit.inference.drawing.images import ImageDrawer
    from vit.inference.predict import require_labels
    from vit.viewer.figure.look import SMALLEST_SIDE, Look

    if arguments.text is not None:
        raise UsageError(f"--text needs a text model, and {arguments.model} reads pictures")
    if arguments.max_tokens is not None:
        raise UsageError(f"--max-tokens needs a language model, and {arguments.model} reads pictures")
    if arguments.side < SMALLEST_SIDE:
        raise UsageError(f"--side is {arguments.side} pixels, expected at least {SMALLEST_SIDE}")
    return ImageDrawer(
        model,
        request,
        caption=str(arguments.model),
        batch_size=arguments.batch_size,
        look=Look(arguments.style, arguments.side, arguments.smooth, arguments.sinks),
        vectors=None if arguments.format == "png" else arguments.format,
        figures=Faithfulness(require_labels(model, arguments.model)) if arguments.score else None,
    )


def _text_drawer(model: Any, arguments: "Namespace", request: "Request", columns: dict[str, Any]) -> Any:
    from vit.inference.drawing.texts import TextDrawer

    if arguments.score:
        raise UsageError("--score applies to image models only: leave it out")
    for name, usual in (("style", "side"), ("smooth", False), ("sinks", "keep"), ("format", "png")):
        if arguments[name] != usual:
            raise UsageError(f"--{name} applies to image models only: leave it out")
    return TextDrawer(
        model,
        request,
        text=arguments.text,
        merge=not arguments.pieces,
        max_tokens=arguments.max_tokens,
        apart=arguments.special == "apart",
        caption=str(arguments.model),
        **columns,
    )


def _report_faithfulness(figures: Any, folder: Path, count: int, target: str | None) -> None:
    """Write faithfulness.csv, and print its table."""
    from vit.commands.common import faithfulness_table
    from vit.inference.drawing.images import write_faithfulness

    rows = figures.rows()
    write_faithfulness(folder, rows)
    if count:
        of = "the predicted class" if target is None else target
        print(f"probability of {of} while patches go, n = {count}; a random map has LeRF - MoRF 0:")
        print(faithfulness_table(rows))
