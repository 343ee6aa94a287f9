"""Vision transformers: train them, predict folders of pictures, and see what the model attended to.

    import vit
    run = vit.train("digits", {"trainer.max_epochs": 3}, name="try")
    rows = list(vit.predict(run.model, ["photos/"]))
    maps = vit.attend(run.model, images)

The names below are imported when they are first used, so that `import vit` is quick and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vit.api.evaluate import evaluate
    from vit.api.rows import embed, predict
    from vit.api.table import table
    from vit.api.train import train
    from vit.core import record_attention
    from vit.errors import VitError
    from vit.inference.attend import attend
    from vit.weights import from_huggingface, from_timm
    from vit.weights.models import load_model

__all__ = [
    "VitError",
    "attend",
    "embed",
    "evaluate",
    "from_huggingface",
    "from_timm",
    "load_model",
    "predict",
    "record_attention",
    "table",
    "train",
]

_HOMES = {
    "VitError": "vit.errors",
    "attend": "vit.inference.attend",
    "embed": "vit.api.rows",
    "evaluate": "vit.api.evaluate",
    "from_huggingface": "vit.weights",
    "from_timm": "vit.weights",
    "load_model": "vit.weights.models",
    "predict": "vit.api.rows",
    "record_attention": "vit.core",
    "table": "vit.api.table",
    "train": "vit.api.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
