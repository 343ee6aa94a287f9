"""Draw what the model attended to, over each image or text.

example:
  vit attend runs/digits photos --output overlays
  vit attend runs/digits photos --output why --method relevance --target 7 --score
  vit attend runs/digits photo.png --output overlays --query 3,4
  vit attend minilm --text "The cat sat on the mat because it was tired." --output cat --query 8
  vit attend runs/text_sst2 reviews.txt --output why --method relevance
  vit attend hf:gpt2 --text "The cat sat on" --max-tokens 8 --output cat
  vit attend hf:gpt2 --text "The cat sat on the" --output why --method relevance --target mat

methods:
{methods}

photo.jpg gets photo.jpg.png, and the first images photo.jpg.html to explore in a browser, which holds every
weight: 0.1 MB for a 32-pixel model, 6 MB for ViT-B/16 at 224. Beside them are sheet.png and attend.csv: one
row per file, with its status, label, score, and for raw and rollout the attention mass on class token,
registers and patches of unusual norm.

In texts, word pieces are merged to words: attention to a word is the sum over its pieces, attention from it
the mean. Words are counted from 0 with the special tokens: [CLS] of a BERT is 0.

A causal language model goes on with a text for --max-tokens; text and new words are shown as one, and
--target is a token that it might say next. An encoder-decoder writes its target, shown after the text.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.attribution.roster import METHODS, OPTIONS, method_table
from vit.commands.rows import add_table_arguments, require_texts, table_options
from vit.config import MODEL_HELP
from vit.errors import UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.inference.draw import Request


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
    parser.add_argument("--method", default="rollout", help="one of the above (default: rollout)")
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
    parser.add_argument("--pages", type=int, default=12, help="how many images get a page (default: 12)")
    parser.add_argument("--score", action="store_true", help="measure the maps: faithfulness.csv and a table")
    parser.add_argument("--batch-size", type=int, default=16, help="images per forward pass (default: 16)")
    parser.add_argument("--side", type=int, default=384, help="pixels of a drawn image (default: 384)")
    parser.add_argument("--overwrite", action="store_true", help="replace the overlays of an earlier run")


def run(arguments: "Namespace") -> int:
    """Write the overlays; 3 where some files were bad."""
    options = _check(arguments)
    columns = table_options(arguments)
    from vit.inputs.processes import warm_up

    warm_up()  # beside the imports below, which take seconds
    from vit.attribution.query import parse_query
    from vit.commands.common import summary, ticker
    from vit.device import best_device, memory_advice
    from vit.inference.attend import token_query
    from vit.inference.draw import Request, check_folder, draw_maps
    from vit.weights.models import fingerprint, load_model

    folder = Path(arguments.output)
    check_folder(arguments.inputs, folder)
    model = load_model(arguments.model).to(best_device())
    require_texts(columns, model.reads, arguments.model)
    query = token_query(arguments.query) if model.reads == "text" else arguments.query
    request = Request(arguments.method, arguments.target, parse_query(query), options)
    images = model.reads == "image"
    drawer = (
        _image_drawer(model, arguments, request)
        if images
        else _text_drawer(model, arguments, request, columns)
    )
    batch_size = arguments.batch_size if images else 1
    with memory_advice(batch_size), ticker("pictures" if images else "texts") as on_progress:
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
    from vit.commands.common import require_positive

    if bool(arguments.inputs) == (arguments.text is not None):
        raise UsageError("give either INPUT, the files or folders to draw, or --text")
    if arguments.text is not None and not arguments.text.strip():
        raise UsageError("--text is empty: give it some words")
    method = arguments.method
    if method not in METHODS:
        raise UsageError(f"--method is {method}, expected one of: {', '.join(METHODS)}")
    if arguments.target is not None and not METHODS[method].explains_class:
        raise UsageError(f"--target is {arguments.target}, but {method} explains no class: leave it out")
    options = {name: arguments[name] for name in OPTIONS if arguments[name] is not None}
    for name in options:
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
    from vit.commands.common import require_labels
    from vit.evaluation.faithfulness import Faithfulness
    from vit.inference.draw_images import ImageDrawer
    from vit.viewer.overlay import SMALLEST_SIDE

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
        side=arguments.side,
        figures=Faithfulness(require_labels(model, arguments.model)) if arguments.score else None,
    )


def _text_drawer(model: Any, arguments: "Namespace", request: "Request", columns: dict[str, Any]) -> Any:
    from vit.inference.draw_texts import TextDrawer

    if arguments.score:
        raise UsageError("--score applies to image models only: leave it out")
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
    from vit.inference.draw_images import write_faithfulness

    rows = figures.rows()
    write_faithfulness(folder, rows)
    if count:
        of = "the predicted class" if target is None else target
        print(f"probability of {of} while patches go, n = {count}; a random map has LeRF - MoRF 0:")
        print(faithfulness_table(rows))
