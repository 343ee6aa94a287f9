"""Turn texts or pictures into vectors: one row for each, in sorted order, bad ones included.

example:
  vit embed minilm sentences.txt --output vectors.parquet
  vit embed hf:folder_of_a_dinov2 photos --output vectors.parquet

The vector is what a model without a head makes of its input: of minilm, the mean of the tokens scaled to
length 1, so that the product of two vectors is their cosine. Rows are those of vit predict, and an
interrupted run is continued in the same way.
"""

from typing import TYPE_CHECKING

from vit.commands.rows import add_rows_arguments, run_rows

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, inputs, output."""
    add_rows_arguments(
        parser,
        "32-true",
        "32-true (default): exact; bf16-mixed: faster where the hardware has it, to about two digits",
    )


def run(arguments: "Namespace") -> int:
    """Write the table; 3 where some inputs were bad."""
    return run_rows("embed", arguments)
