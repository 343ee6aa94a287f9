"""Weights as safetensors that timm or transformers loads: the tables of the importers, read the other way."""

from pathlib import Path
from typing import Any

from vit.errors import UsageError
from vit.export.safetensors.checks import staged

LIBRARIES = ("timm", "transformers")


def export_safetensors(
    model: Any, path: str | Path, *, library: str = "timm", overwrite: bool = False
) -> str:
    """Write a model as a folder that timm or transformers loads, with the same logits.

    The files are read again with the library, where it is installed, or with vit, and compared with the model
    at 1, 2 and 7 inputs; only then the folder gets its name.

    Args:
        model: An image model, and for `transformers` a text model too; it is not changed.
        path: Of the folder; or of a file, `NAME.safetensors`, which has the weights alone, with the content
            of `config.json` in its metadata.
        library: `timm`: `timm.create_model("local-dir:FOLDER", pretrained=True)` loads it; `transformers`:
            `AutoModel....from_pretrained(FOLDER)` does.
        overwrite: Replace an earlier export.

    Returns:
        What was written, for a message: the path, the library's name of the architecture, the difference.

    Raises:
        UsageError: Another library.
        VitError: The model has a part without a counterpart there, which is named; there is something at
            `path`; or the files give other results. Nothing is written then.
    """
    if library not in LIBRARIES:
        raise UsageError(f"library is {library!r}, expected one of: {', '.join(LIBRARIES)}")
    from vit.export.prepare import frozen_copy, plain_mode
    from vit.export.safetensors.equivalents import at_picture_size

    with staged(Path(path), overwrite=overwrite) as folder, plain_mode():
        export = _export_for(library, at_picture_size(frozen_copy(model)))
        export.write(folder)
        difference = export.check(folder)
    return (
        f"{path}: {export.description}, which differs from the model by at most {difference:.1e} at 1, 2 and "
        "7 inputs"
    )


def _export_for(library: str, model: Any) -> Any:
    """What is written, with `write`, `check` and `description`; the libraries take seconds to load."""
    if library == "timm":
        from vit.export.safetensors.timm.folder import TimmExport

        return TimmExport(model)
    from vit.export.safetensors.huggingface.folder import HuggingfaceExport

    return HuggingfaceExport(model)
