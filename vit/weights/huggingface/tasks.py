"""The task of a transformers model, by the name of its class: its head, its labels, its thresholds."""

from typing import Any

from torch import Tensor

from vit.errors import VitError
from vit.weights.huggingface.families import Family, Task

USUAL_THRESHOLD = 0.5


def task_of(family: Family, architecture: str | None, names: list[str]) -> Task:
    """What a class of transformers is for.

    Args:
        family: Its family.
        architecture: The class; None where a config does not say: a classifier, if the weights have one.
        names: Of the tensors, without the prefix of the base model.

    Raises:
        VitError: Its head gives something else than a family's heads that can be read.
    """
    if architecture is None and "language" in family.tasks.values() and "lm_head.weight" in names:
        return "language"
    if architecture is None:
        return "classifier" if any(name.startswith(family.heads) for name in names) else "encoder"
    task = family.tasks.get(architecture.removeprefix(family.prefix))
    if task is None or not architecture.startswith(family.prefix):
        known = ", ".join(family.prefix + ending for ending in family.tasks)
        raise VitError(
            f"cannot import a {architecture}, expected one of: {known}; of another task, the encoder alone "
            "can be imported: vit.from_huggingface(model.base_model)"
        )
    return task


def needed(family: Family, task: Task, name: str) -> bool:
    """Whether a tensor, by its name without the prefix of its base model, serves the task."""
    if task in ("encoder", "pretraining"):
        return not name.startswith(family.heads)
    return not name.startswith(family.pooler)


def check_head(family_name: str, family: Family, state: dict[str, Tensor], task: Task) -> None:
    """Refuse a classifier or a language model without a head, or a classifier that reads every token.

    Raises:
        VitError: As said.
    """
    if "head.weight" not in state:
        what = {"language": "language model"}.get(task, task)
        raise VitError(f"cannot import this {family_name}: it is a {what}, and its weights lack the head")
    if not state.keys() >= set(family.head):
        raise VitError(
            f"cannot import this {family_name}: its head reads each token (a token classifier), which vit "
            "does not have"
        )


def label_names(config: dict[str, Any], classes: int) -> list[str]:
    """Class names: those of `id2label`, of `label2id` where it is alone, else `LABEL_0`, ... as transformers.

    Raises:
        VitError: Names for another number of classes.
    """
    names = {int(index): str(name) for index, name in (config.get("id2label") or {}).items()}
    names = names or {int(index): str(name) for name, index in (config.get("label2id") or {}).items()}
    names = names or {index: f"LABEL_{index}" for index in range(classes)}
    if set(names) != set(range(classes)):
        raise VitError(
            f"the config names the classes {sorted(names)}, and the head has {classes}: expected one name "
            f"for each from 0 to {classes - 1}"
        )
    return [names[index] for index in range(classes)]


def thresholds(config: dict[str, Any], classes: int) -> list[float]:
    """Of a model whose scores are sigmoids, as in the pipelines of transformers; else empty: a softmax.

    Raises:
        VitError: It is a regression, whose output is no score of a class.
    """
    problem = config.get("problem_type")
    if problem == "regression":
        raise VitError(
            "cannot import a classifier whose problem_type is regression: its outputs are numbers, not "
            "scores of classes; its encoder can be imported: vit.from_huggingface(model.base_model)"
        )
    several = problem == "multi_label_classification" or classes == 1
    return [USUAL_THRESHOLD] * classes if several else []
