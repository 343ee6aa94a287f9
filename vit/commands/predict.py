"""Label folders of pictures, or files of texts: one row for each, in sorted order, bad ones included.

example:
  vit predict runs/digits photos --output labels.csv
  vit predict runs/text_sst2 reviews.txt --output labels.csv

A file that cannot be read gets a row with its status and the reason; the exit code is then 3. An interrupted
run is continued by the same command; a finished output is replaced with --overwrite only. A model of texts
reads each line of .txt and each row of .tsv, .csv, .jsonl and .parquet, and calls it FILE:LINE.

INPUT is a file, a folder with all below it, a zip or tar archive, a glob pattern, @LIST for a file with a
name on each line, or - for such a list on standard input. Under torchrun and in SLURM arrays, processes share
the work.
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
        "auto",
        "auto (default): half precision for large models where the hardware has it, and once more without it "
        "where the best two classes are near each other; 32-true: exact",
    )
    parser.add_argument("--topk", type=int, default=5, help="classes in the topk column (default: 5)")


def run(arguments: "Namespace") -> int:
    """Write the table; 3 where some inputs were bad."""
    require_positive("--topk", arguments.topk)
    return run_rows("predict", arguments, topk=arguments.topk)
