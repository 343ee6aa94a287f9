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

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vit.config_file import add_config_arguments, resolve_config, to_config, usual_config
from vit.recipes.checks import CHOICES, check

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """The config's fields, and the run's folder."""
    parser.add_argument("--name", help="the run's folder is runs/NAME (default: the config's name)")
    parser.add_argument("--resume", action="store_true", help="continue the run of that name")
    parser.add_argument("--overwrite", action="store_true", help="replace the run of that name")
    add_config_arguments(parser, CHOICES)


def prepare(argv: list[str]) -> list[str]:
    """Find the config; with `--resume` it is the one in the run folder."""
    if "--resume" not in argv:
        return resolve_config(argv)
    from vit.training.run_folder import RunFolder

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--name")
    parser.add_argument("--config", default=usual_config(argv))
    known, options = parser.parse_known_args(argv)
    name = known.name or Path(known.config).stem
    stored = RunFolder.named(name).config_to_resume
    # The run may have begun with a shipped config and options; its own config holds both.
    config = stored if stored.is_file() and not Path(known.config).is_file() else known.config
    return [*resolve_config([f"--config={config}", *options]), "--name", name]


def run(arguments: "Namespace") -> int:
    """Train, keep the best model as a bundle, and write the report."""
    from vit.training.run_folder import prepare_run_folder

    config = check(to_config(arguments))
    name = arguments.name or Path(str(arguments.config[0])).stem
    folder = prepare_run_folder(name, config, resume=arguments.resume, overwrite=arguments.overwrite)

    from vit.recipes.train import train  # imports torch: only after the folder has been accepted

    trained = train(config, folder)
    return 3 if trained is not None and trained.skipped else 0
