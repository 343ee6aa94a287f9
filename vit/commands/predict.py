"""Label folders of pictures or files of texts: one row for each input, in sorted order.

example:
  vit predict runs/digits photos --output labels.csv
  vit predict runs/text_sst2 reviews.txt --output labels.csv

A file that cannot be read gets a row with its status and the reason; the exit code is then 3. The same
command continues an interrupted run; a finished output is replaced only with --overwrite. A text model reads
each line of .txt files and each row of .tsv, .csv, .jsonl and .parquet files, and names it FILE:LINE.

INPUT is a file, a folder with everything below it, a zip or tar archive, a glob pattern, @LIST for a file
with one name per line, or - for such a list on standard input. Under torchrun and in SLURM arrays the
processes share the work.
"""

from typing import TYPE_CHECKING

from vit.commands.common import require_positive
from vit.commands.rows import add_rows_arguments, run_rows

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


def run(arguments: "Namespace") -> int:
    """Write the table and return the exit code."""
    require_positive("--topk", arguments.topk)
    return run_rows("predict", arguments, topk=arguments.topk)
