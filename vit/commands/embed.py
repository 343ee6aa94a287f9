"""Turn texts or pictures into vectors: one row for each input, in sorted order.

example:
  vit embed minilm sentences.txt --output vectors.parquet
  vit embed hf:folder_of_a_dinov2 photos --output vectors.parquet

The vector is the input of the model's head: the pooled features. For minilm it is the mean of the tokens,
scaled to length 1, so that the dot product of two vectors is their cosine similarity. Rows have a status as
those of vit predict, and the same command continues an interrupted run.
"""

from typing import TYPE_CHECKING

from vit.commands.rows import add_rows_arguments, run_rows

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, inputs, output."""
    add_rows_arguments(
        parser,
        precision="32-true",
        precision_help="32-true (default): float32; bf16-mixed: faster where the hardware has it, and "
        "accurate to about two digits",
    )


def run(arguments: "Namespace") -> int:
    """Write the table and return the exit code."""
    return run_rows("embed", arguments)
