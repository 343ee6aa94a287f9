"""What the verbs share that write one row for each input."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from vit.config import MODEL_HELP, Precision
from vit.errors import UsageError
from vit.jobs.table import WRITERS, check_output

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_rows_arguments(parser: "ArgumentParser", *, precision: str, precision_help: str) -> None:
    """Add the arguments of such a verb to a parser.

    Args:
        parser: The verb's.
        precision: The default.
        precision_help: Explains it.
    """
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="files, folders, .zip, .tar, globs, @LIST, or -"
    )
    parser.add_argument("--output", required=True, help=f"a file that ends in {', '.join(WRITERS)}")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=64,
        help="most inputs per forward pass; on a CPU, fewer of large pictures (default: 64)",
    )
    parser.add_argument("--precision", choices=get_args(Precision), default=precision, help=precision_help)
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local (default): this process, and others if torchrun or SLURM starts several; ray: a Ray "
        "cluster",
    )
    parser.add_argument("--actors", type=int, help="of Ray (default: one for each GPU, or for two cores)")
    parser.add_argument(
        "--fast-jpeg",
        action="store_true",
        help="decode large JPEGs at reduced scale: a quarter of the time at 2000 x 3000, and pixels up to 8 "
        "of 255 levels off, in small files with fine detail up to 57",
    )
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for one picture (default: 30)")
    parser.add_argument("--memory", type=int, default=2048, help="MiB to decode one picture (default: 2048)")
    add_table_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a finished output")


def add_table_arguments(parser: "ArgumentParser") -> None:
    """Add the options for columns of tables of texts to a parser."""
    parser.add_argument("--column", metavar="NAME", help="of tables: the column with the texts")
    parser.add_argument(
        "--keep", metavar="COLUMN,...", help="of tables: columns to copy into the rows, after their own"
    )


def table_options(arguments: "Namespace") -> dict[str, Any]:
    """`column` and `keep`, those that were given: the others are in no job of an earlier version.

    Raises:
        UsageError: A name is empty, or is there twice.
    """

    options: dict[str, Any] = {}
    if arguments.column is not None:
        if not arguments.column.strip():
            raise UsageError("--column is empty, expected the name of a column")
        options["column"] = arguments.column
    if arguments.keep is not None:
        names = [name.strip() for name in arguments.keep.split(",")]
        if "" in names or len(set(names)) < len(names):
            raise UsageError(f"--keep is {arguments.keep!r}, expected names of columns, each once: id,date")
        options["keep"] = names
    return options


def require_texts(options: dict[str, Any], reads: str, model: str) -> None:
    """Refuse options of tables of texts for a model that reads pictures.

    Raises:
        UsageError: There are some.
    """

    if options and reads != "text":
        raise UsageError(f"--{next(iter(options))} needs a text model, and {model} reads pictures")


def run_rows(verb: str, arguments: "Namespace", **options: Any) -> int:
    """Write the table and return the exit code: 3 if some inputs could not be read, else 0.

    Args:
        verb: `predict` or `embed`.
        arguments: The parsed ones of `add_rows_arguments`.
        options: The verb's own; the rows depend on them.
    """
    from vit.commands.common import summary
    from vit.inputs.processes import warm_up
    from vit.ranges import require_positive

    require_positive("--batch-size", arguments.batch_size)
    require_positive("--timeout", arguments.timeout)
    require_positive("--memory", arguments.memory)
    if arguments.actors is not None:
        require_positive("--actors", arguments.actors)
        if arguments.engine != "ray":
            raise UsageError(
                f"--actors is {arguments.actors}, but only --engine ray has actors: leave it out"
            )
    columns = table_options(arguments)
    output = Path(arguments.output)
    check_output(output, overwrite=arguments.overwrite)
    if arguments.engine == "local":
        warm_up()  # during the imports below, which take seconds
    from vit.inference.pipelines import load_pipeline
    from vit.inference.rows import write_rows
    from vit.inputs.decoding import Limits
    from vit.jobs.ranks import find_ranks
    from vit.jobs.ray import ray_engine
    from vit.progress import RowsBar

    limits = Limits(arguments.timeout, arguments.memory * 2**20)
    load = partial(
        load_pipeline,
        verb,
        arguments.model,
        arguments.precision,
        arguments.fast_jpeg,
        batch_size=arguments.batch_size,
        limits=limits,
        keep=columns.get("keep", []),
        **options,
    )
    with ray_engine(load, arguments.actors) if arguments.engine == "ray" else nullcontext(load()) as engine:
        require_texts(columns, engine.reads, arguments.model)
        reads_texts = engine.reads == "text"
        with RowsBar("texts" if reads_texts else "pictures") as on_progress:
            counts = write_rows(
                engine,
                arguments.inputs,
                output,
                {"command": verb, "model": engine.fingerprint(), **options, **columns},
                overwrite=arguments.overwrite,
                listing=columns,
                ranks=find_ranks(),
                on_progress=on_progress,
            )
    if counts is None:  # torchrun ends all processes if one returns another code than 0
        print(f"this process is done; the last one writes {arguments.output}")
        return 0
    print(f"{summary(counts, 'text' if reads_texts else 'file')} -> {arguments.output}")
    return 3 if counts.total() > counts["ok"] else 0
