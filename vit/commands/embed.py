"""Turn texts or pictures into vectors: one row for each, in sorted order, bad ones included.

example:
  vit embed minilm sentences.txt --output vectors.parquet
  vit embed hf:folder_of_a_dinov2 photos --output vectors.parquet

The vector is what a model without a head makes of its input: of minilm, the mean of the tokens scaled to
length 1, so that the product of two vectors is their cosine. Rows are those of vit predict, and an
interrupted run is continued in the same way.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from vit.commands.common import add_rows_arguments

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
    from vit.inference.processes import warm_up

    warm_up()  # beside the imports below, which take seconds
    from torch import nn

    from vit.build import best_device, fingerprint, load_model
    from vit.commands.common import conclude, require_positive, ticker
    from vit.inference.predict import Settings, embed
    from vit.inference.world import find_world

    require_positive("--batch-size", arguments.batch_size)
    model = load_model(arguments.model, precision=arguments.precision).to(best_device())
    model.head = nn.Identity()  # of a classifier, what its head reads
    with ticker("rows") as tell:
        counts = embed(
            model,
            arguments.inputs,
            Path(arguments.output),
            fingerprint=fingerprint(model),
            settings=Settings(
                arguments.batch_size, overwrite=arguments.overwrite, world=find_world(), tell=tell
            ),
        )
    return conclude(counts, model, arguments.output)
