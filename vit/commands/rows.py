"""What verbs share that write one row for each input."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from vit.config import MODEL_HELP, Precision

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from vit.inference.predict import RowMaker
    from vit.inputs.decoding import Limits


def add_rows_arguments(parser: "ArgumentParser", precision: str, of_precision: str) -> None:
    """What such a verb takes.

    Args:
        parser: Gets them.
        precision: The default.
        of_precision: What the help says of precision.
    """
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="files, folders, .zip, .tar, globs, @LIST, or -"
    )
    parser.add_argument("--output", required=True, help="FILE.csv, FILE.jsonl or FILE.parquet")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=64,
        help="most items per forward pass; large pictures on a CPU go in smaller passes (default: 64)",
    )
    parser.add_argument("--precision", choices=get_args(Precision), default=precision, help=of_precision)
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local (default): this process, and others that torchrun or SLURM begin; ray: a Ray cluster",
    )
    parser.add_argument("--actors", type=int, help="of ray (default: one for each GPU, or for two cores)")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for one picture (default: 30)")
    parser.add_argument("--memory", type=int, default=2048, help="MiB to decode one picture (default: 2048)")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished output")


def run_rows(verb: str, arguments: "Namespace", **options: Any) -> int:
    """Write the table; 3 where some inputs were bad.

    Args:
        verb: `predict` or `embed`.
        arguments: As `add_rows_arguments` made them.
        options: Of the verb, on which rows depend.
    """
    from vit.inputs.processes import warm_up

    warm_up()  # beside the imports below, which take seconds
    from vit.commands.common import require_positive, summary, ticker
    from vit.errors import UsageError
    from vit.inference.predict import write_rows
    from vit.inputs.decoding import Limits
    from vit.jobs.job import Job
    from vit.jobs.ranks import find_ranks
    from vit.jobs.ray import on_ray
    from vit.text import TextTransformer
    from vit.weights.models import fingerprint

    require_positive("--batch-size", arguments.batch_size)
    require_positive("--timeout", arguments.timeout)
    require_positive("--memory", arguments.memory)
    if arguments.actors is not None:
        require_positive("--actors", arguments.actors)
        if arguments.engine != "ray":
            raise UsageError(f"--actors is {arguments.actors}, and only --engine ray has any: leave it out")
    limits = Limits(arguments.timeout, arguments.memory * 2**20)
    build = partial(make, verb, arguments.model, arguments.precision, arguments.batch_size, limits, options)
    run = on_ray(build, arguments.actors) if arguments.engine == "ray" else Job.run
    maker = build()
    model = maker.reader.model
    of_texts = isinstance(model, TextTransformer)
    with ticker("texts" if of_texts else "pictures") as tell:
        counts = write_rows(
            maker,
            arguments.inputs,
            Path(arguments.output),
            {"command": verb, "model": fingerprint(model), **options},
            overwrite=arguments.overwrite,
            world=find_ranks(),
            run=run,
            tell=tell,
        )
    if counts is None:  # torchrun ends all others where one says anything but 0
        print(f"this process is done; the last one writes {arguments.output}")
        return 0
    print(f"{summary(counts, 'text' if of_texts else 'file')} -> {arguments.output}")
    return 3 if counts.total() > counts["ok"] else 0


def make(
    verb: str,
    word: str,
    precision: Precision,
    batch_size: int,
    limits: "Limits",
    options: dict[str, Any],
) -> "RowMaker":
    """A model, and what makes a verb's rows with it; also called in the processes of a cluster."""
    from vit.commands.common import require_labels
    from vit.device import best_device
    from vit.inference.predict import embedder, labeller
    from vit.weights.models import load_model

    model = load_model(word, precision=precision).to(best_device())
    if verb == "embed":
        return embedder(model, batch_size=batch_size, limits=limits)
    return labeller(require_labels(model, word), batch_size=batch_size, limits=limits, **options)
