"""From a model and a dataset to the figures of a probe: what is learnt from, and what is tested."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vit.data.randomness import generator
from vit.data.splits.content import content_split
from vit.errors import UsageError, VitError
from vit.evaluation.metrics import Evaluation
from vit.evaluation.probe import evaluate_probe, fit_probe
from vit.recipes.evaluation.data import EvaluationData
from vit.recipes.features import frozen_features

TEST_FRACTION = 0.2  # of data without parts, where no number per class is given
MEANS = ("accuracy", "accuracy_top5", "balanced_accuracy", "f1_macro", "loss")  # over the repeats


class Division(NamedTuple):
    """Which of all examples a probe learns from, and which are tested: int64 indices."""

    train: Tensor
    test: Tensor


class Pool(NamedTuple):
    """All examples of a dataset, one part after the other.

    Args:
        features: float32 (n, F).
        targets: int64 (n,).
        digests: Of the content of each; empty for a dataset that never changes.
        tested: bool (n,), those of the part that is tested; None: the data have no parts.
    """

    features: Tensor
    targets: Tensor
    digests: list[str]
    tested: Tensor | None


def probe_model(
    model: Any,
    data: EvaluationData,
    kind: str,
    *,
    per_class: int | None = None,
    repeats: int = 1,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Figures of a probe on the features of a frozen model.

    Data with a part `train` are learnt from there, and tested on `test`, or on `val` if there is none. Data
    without parts are divided: with `per_class`, everything that was not drawn is tested, else a fifth.

    Args:
        model: A tower in eval mode.
        data: From `evaluation_data`.
        kind: `linear` or `knn`.
        per_class: Examples of each class that are drawn to learn from; None: all of them.
        repeats: Draws, each with other random numbers.
        seed: Decides the draws.
        batch_size: As in `frozen_features`.

    Returns:
        The means over the repeats; with one repeat the figures and details of `Evaluation`, too.

    Raises:
        VitError: There is nothing to learn from or to test, or a class has too few examples.
        UsageError: The examples have several labels each.
    """
    pool = _pool(model, data, batch_size)
    results: list[Evaluation] = []
    settings: list[float] = []
    sizes: list[int] = []
    for repeat in range(repeats):
        train, test = _divided(pool, data, per_class, seed + repeat)
        probe = fit_probe(kind, pool.features[train], pool.targets[train])
        results.append(evaluate_probe(probe, pool.features[test], pool.targets[test], len(data.labels)))
        settings.append(probe.setting)
        sizes.append(len(train))
    every = [result.figures() for result in results]
    accuracies = [figures["accuracy"] for figures in every]
    figures = every[0] | results[0].details(data.labels) if repeats == 1 else {"n": every[0]["n"]}
    figures |= {name: float(np.mean([row[name] for row in every])) for name in MEANS}
    figures |= {
        "majority": every[0]["majority"],
        "split": "all others" if pool.tested is None else "test",
        "skipped": len(data.skipped),
        "probe": {
            "kind": kind,
            "per_class": per_class,
            "repeats": repeats,
            "n_train": sizes[0],
            "settings": settings,
            "accuracies": accuracies,
            "accuracy_std": float(np.std(accuracies, ddof=1)) if repeats > 1 else None,
        },
    }
    return figures


def _pool(model: Any, data: EvaluationData, batch_size: int) -> Pool:
    """The features of all examples that may be learnt from or tested."""
    has = {name: part for name, part in data.parts.items() if len(part)}
    if not has:
        raise VitError(f"{data.name} has no readable example")
    tested = next((name for name in ("test", "val") if name in has), "train")
    if "train" in has:
        if tested == "train":
            raise VitError(f"{data.name} has a part train and no test or val: a probe needs one of them")
        has = {"train": has["train"], tested: has[tested]}
    elif list(has) != ["test"]:
        raise VitError(f"{data.name} has the parts {', '.join(has)}: a probe needs train, to learn from")
    if any(part.targets.ndim == 2 for part in has.values()):
        raise UsageError(f"{data.name} has several labels per example: a probe needs one")
    if len(data.labels) < 2:
        raise VitError(f"{data.name} has one class, {data.labels[0]!r}, expected at least two to tell apart")
    device = next(model.parameters()).device

    def to_inputs(raw: Tensor) -> Tensor:
        return data.normalise(data.prepare(raw).to(device))

    return Pool(
        torch.cat([frozen_features(model, part, to_inputs, batch_size=batch_size) for part in has.values()]),
        torch.cat([part.targets for part in has.values()]),
        [digest for part in has.values() for digest in part.digests],
        torch.cat([torch.full((len(part),), name != "train") for name, part in has.items()])
        if "train" in has
        else None,
    )


def _divided(pool: Pool, data: EvaluationData, per_class: int | None, seed: int) -> Division:
    """What is learnt from and what is tested; an exact copy of what is learnt from is not tested."""
    if per_class is not None:
        train = torch.cat(list(_drawn(pool, data.labels, per_class, seed)))
    elif pool.tested is not None:
        train = (~pool.tested).nonzero()[:, 0]
    else:
        parts = content_split(
            pool.digests, pool.targets, val_fraction=0.0, test_fraction=TEST_FRACTION, seed=seed
        )
        train = torch.tensor([index for index, part in enumerate(parts) if part != "test"])
    is_test = torch.ones(len(pool.targets)).bool() if pool.tested is None else pool.tested.clone()
    is_test[train] = False
    if pool.digests:
        learnt = {pool.digests[index] for index in train.tolist()}
        is_test &= torch.tensor([digest not in learnt for digest in pool.digests])
    test = is_test.nonzero()[:, 0]
    if not len(test):
        raise VitError(f"{data.name}: nothing is left to test; lower --per-class")
    return Division(train, test)


def _drawn(pool: Pool, labels: list[str], per_class: int, seed: int) -> Iterator[Tensor]:
    """For each class the indices of `per_class` examples of different content."""
    for number, label in enumerate(labels):
        in_class = pool.targets == number
        members = (in_class if pool.tested is None else in_class & ~pool.tested).nonzero()[:, 0]
        if pool.digests:
            first = {pool.digests[index]: index for index in reversed(members.tolist())}
            members = torch.tensor(sorted(first.values()), dtype=torch.int64)
        if len(members) < per_class:
            raise VitError(
                f"class {label!r} has {len(members)} different examples to learn from, and --per-class is "
                f"{per_class}: lower it"
            )
        yield members[torch.randperm(len(members), generator=generator(seed, number))[:per_class]]
