"""Checkpoints of earlier versions, whose callbacks and parameters had other names."""

from pathlib import Path
from typing import Any

import pytest
import torch

from vit.errors import VitError
from vit.training.callbacks.nonfinite_guard import NonFiniteGuard
from vit.training.callbacks.resume import DataGuard, RNGState
from vit.training.checkpoints import DurableIO


def old_checkpoint() -> dict[str, Any]:
    """As the first version wrote it, with averaged weights, of a text model."""
    weights = {"model.words.weight": torch.randn(7, 3), "model.head.weight": torch.randn(2, 3)}
    return {
        "state_dict": weights,
        "current_model_state": {name: tensor + 1 for name, tensor in weights.items()},
        "averaging_state": {"n_averaged": torch.tensor(5)},
        "callbacks": {
            "Same": {"the list of labels": ["neg", "pos"]},
            "Chance": {"cpu": torch.get_rng_state(), "cuda": []},
            "Finite": {"row": 1, "skipped": 4},
            "EpochLog": {"seconds": 1.5},
        },
    }


def test_old_names_are_read(tmp_path: Path) -> None:
    old = old_checkpoint()
    DurableIO().save_checkpoint(old, tmp_path / "last.ckpt")
    new = DurableIO().load_checkpoint(tmp_path / "last.ckpt")
    for part in ("state_dict", "current_model_state"):
        assert list(new[part]) == ["model.token_embedding.weight", "model.head.weight"]
        assert torch.equal(new[part]["model.token_embedding.weight"], old[part]["model.words.weight"])
    assert new["averaging_state"] == old["averaging_state"]
    # Lightning looks the state of a callback up by this key.
    guard, rng, data = NonFiniteGuard(), RNGState(), DataGuard({"the list of labels": ["cat", "dog"]})
    guard.load_state_dict(new["callbacks"][guard.state_key])
    assert (guard.in_a_row, guard.skipped) == (1, 4)
    rng.load_state_dict(new["callbacks"][rng.state_key])
    assert rng.loaded is not None
    assert torch.equal(rng.loaded["cpu"], old["callbacks"]["Chance"]["cpu"])
    message = (
        r"the list of labels is \['cat', 'dog'\], and was \['neg', 'pos'\] when the run began "
        r"\(cat, dog came and neg, pos went\): restore the data, or"
    )
    with pytest.raises(VitError, match=message):
        data.load_state_dict(new["callbacks"][data.state_key])
    assert new["callbacks"]["EpochLog"] == {"seconds": 1.5}


def test_names_of_this_version_stay(tmp_path: Path) -> None:
    checkpoint = {
        "state_dict": {"model.token_embedding.weight": torch.zeros(2)},
        "callbacks": {"RNGState": {"cpu": torch.get_rng_state()}},
    }
    DurableIO().save_checkpoint(checkpoint, tmp_path / "last.ckpt")
    read = DurableIO().load_checkpoint(tmp_path / "last.ckpt")
    assert list(read["state_dict"]) == ["model.token_embedding.weight"]
    assert list(read["callbacks"]) == ["RNGState"]


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (["ape", "bird", "cat"], "(ape came)"),
        (["bird"], "(cat went)"),
        (["cat", "bird"], "(in another order)"),
        ([f"{number:03} of a long list" for number in range(99)], "bird, cat went)"),
    ],
)
def test_the_classes_that_came_and_went(now: list[str], says: str) -> None:
    with pytest.raises(VitError) as raised:
        DataGuard({"labels": now}).load_state_dict({"labels": ["bird", "cat"]})
    assert says in str(raised.value)
    assert len(str(raised.value)) < 400
    with pytest.raises(VitError, match="examples is 7, and was 5 when the run began: restore"):
        DataGuard({"examples": 7}).load_state_dict({"examples": 5})
