"""Train a transformer on pictures or texts; every key of the config is an option.

example:
  vit train --config digits
  vit train --config cifar10_30min --trainer.max_time 00:01:00:00 --name evening
  vit train --config folder --data.root my_pictures --model.width 256
  vit train --config finetune --model.init cifar10 --data.root my_pictures --data.image_size 64
  vit train --config probe --model.init hf:FOLDER --data.root my_pictures
  vit train --config text_sst2 --data.name text --data.root reviews.tsv
  vit train --config text_lm --data.root my_texts
"""

from typing import TYPE_CHECKING

from vit.api.arguments import add_train_arguments, with_config

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """The config's fields, and the run's folder."""
    add_train_arguments(parser)


def prepare(argv: list[str]) -> list[str]:
    """Find the config; with `--resume` it is the one in the run folder."""
    return with_config(argv)


def run(arguments: "Namespace") -> int:
    """Train, keep the best model as a bundle, and write the report."""
    from vit.api.train import begin, command_console

    trained = begin(arguments, command_console())
    return 3 if trained is not None and trained.skipped else 0
