"""Label folders of pictures or files of texts: one row for each input, in sorted order.

example:
  vit predict runs/digits photos --output labels.csv
  vit predict runs/text_sst2 reviews.txt --output labels.csv
  vit predict runs/digits photos --output labels.csv --unknown 0.6

A file that cannot be read gets a row with its status and the reason; the exit code is then 3. The same
command continues an interrupted run; a finished output is replaced only with --overwrite. A text model reads
each line of .txt files and each row of .tsv, .csv, .json, .jsonl and .parquet files, plain or .gz, and names
it FILE:LINE. --column names the column of the texts, and --keep id,date copies columns into the rows.

INPUT is a file, a folder with everything below it, a zip or tar archive, a glob pattern, @LIST for a file
with one name per line, or - for such a list on standard input. Under torchrun and in SLURM arrays the
processes share the work.

--unknown gives an input the label "unknown" and the index -1 if its score is below a threshold; topk still
lists the classes. auto is the threshold that vit evaluate RUN --unknown FOLDER recorded, which keeps the
label of 95 % of the validation inputs.
"""

from typing import TYPE_CHECKING, Any

from vit.commands.rows import add_rows_arguments, run_rows
from vit.errors import UsageError
from vit.ranges import require_positive

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, inputs, output."""
    add_rows_arguments(
        parser,
        precision="auto",
        precision_help="auto (default): half precision for large models where the hardware has it, then "
        "float32 where the best two classes are nearly tied; 32-true: float32",
    )
    parser.add_argument("--topk", type=int, default=5, help="classes in the topk column (default: 5)")
    parser.add_argument(
        "--unknown",
        metavar="THRESHOLD",
        help="a probability, or auto: inputs with a lower score are labelled unknown (default: none)",
    )


def run(arguments: "Namespace") -> int:
    """Write the table and return the exit code."""
    require_positive("--topk", arguments.topk)
    options: dict[str, Any] = {"topk": arguments.topk}
    if arguments.unknown is not None:  # left out otherwise: jobs of earlier versions go on
        options["unknown"] = _threshold(arguments.unknown, arguments.model)
    return run_rows("predict", arguments, **options)


def _threshold(word: str, model: str) -> float:
    """The threshold that the value of `--unknown` stands for."""
    if word != "auto":
        try:
            number = float(word)
        except ValueError:
            raise UsageError(f"--unknown is {word!r}, expected auto or a probability") from None
        if not 0 < number <= 1:
            raise UsageError(f"--unknown is {word}, expected auto or a probability above 0 and at most 1")
        return number
    from vit.inference.pipelines import stored_threshold

    return stored_threshold(model)
