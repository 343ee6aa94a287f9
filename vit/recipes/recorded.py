"""The config that a run stores: with weights to start from, without the keys that these decide."""

from typing import Any

import yaml

from vit.config import Config
from vit.config_file import to_yaml
from vit.recipes.checks import NOISES, TOKENIZING, WEIGHTS


def recorded_yaml(config: Config, architecture: dict[str, Any]) -> str:
    """The config of a run as YAML that runs again.

    With `model.init` the sizes that are left at their defaults are not settings of the run: they are left
    out, and a comment says what the weights have.

    Args:
        config: The run's config.
        architecture: Of its tower, as in a bundle.
    """
    text = to_yaml(config)
    if config.model.init is None:
        return text
    content: dict[str, Any] = yaml.safe_load(text)
    defaults = yaml.safe_load(to_yaml(Config()))["model"]
    free = {*WEIGHTS, *NOISES}
    left = [key for key, value in content["model"].items() if key not in free and value == defaults[key]]
    for key in left:
        del content["model"][key]
    for key in TOKENIZING:
        del content["text"][key]
    facts = yaml.safe_dump(
        {key: architecture[key] for key in left if key in architecture},
        default_flow_style=True, sort_keys=False, width=float("inf"),
    )  # fmt: skip
    return f"{yaml.safe_dump(content, sort_keys=False)}# The weights of model.init have: {facts}"
