"""Upload what `vit export` wrote, or a model as a bundle, to the Hugging Face Hub."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vit.errors import UsageError, VitError, one_line_message

CARD = "README.md"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def push_to_hub(
    source: Any,
    repo_id: str,
    *,
    card: str | None = None,
    private: bool = False,
    message: str | None = None,
    api: Any = None,
) -> str:
    """Upload a file, a folder or a model in one commit; the repository is made if it is missing.

    Files of the same names are replaced, others are left as they are.

    Args:
        source: Path of a file or a folder that `vit export` wrote, or of a bundle; or a model, which is
            written as a bundle.
        repo_id: `OWNER/NAME`.
        card: Content of README.md, as `vit.export.card.model_card` gives it. None: of a model its card; of a
            folder the README.md in it; of a file none.
        private: Whether a new repository is private.
        message: Of the commit; None: `Add` and the name of what is uploaded.
        api: A `huggingface_hub.HfApi`; None: one with the token of `hf auth login` or `HF_TOKEN`, and the
            address in `HF_ENDPOINT`.

    Returns:
        Address of the repository.

    Raises:
        UsageError: `repo_id` is no OWNER/NAME.
        VitError: There is no such file, the folder is that of a run, the user is not logged in, or the hub
            refuses or cannot be reached.
    """
    require_repository(repo_id)
    if not isinstance(source, str | Path):
        from vit.export.card import model_card

        with TemporaryDirectory() as folder:
            source.save(folder)
            text = model_card(source, repo_id=repo_id) if card is None else card
            return push_to_hub(Path(folder), repo_id, card=text, private=private, message=message, api=api)
    files = _contents(Path(source))
    if card is not None:
        files[CARD] = card.encode()
    text = message or f"Add {next(iter(files)) if len(files) == 1 else Path(source).name}"
    return _commit(files, repo_id, text, private=private, api=api)


def require_repository(repo_id: str) -> None:
    """Refuse what is no name of a repository, for a check before long work.

    Raises:
        UsageError: As said.
    """
    if not REPOSITORY.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id:
        raise UsageError(f"{repo_id!r} is no repository of the hub, expected OWNER/NAME")


def _contents(source: Path) -> dict[str, Any]:
    """The files to upload: name in the repository -> path.

    Raises:
        VitError: There are none, or they are those of a run.
    """
    if source.is_file():
        return {source.name: str(source)}
    if not source.is_dir():
        raise VitError(f"there is no file or folder {source} to upload")
    if (source / "checkpoints").exists():
        raise VitError(f"{source} is the folder of a run: upload its model, {source / 'model'}")
    files = sorted(path for path in source.rglob("*") if path.is_file())
    found = {path.relative_to(source).as_posix(): str(path) for path in files}
    shown = {name: path for name, path in found.items() if not name.startswith(".") and "/." not in name}
    if not shown:
        raise VitError(f"the folder {source} has no files to upload")
    return shown


def _commit(files: dict[str, Any], repo_id: str, message: str, *, private: bool, api: Any) -> str:
    """Make the repository, and add the files in one commit; its address."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(library_name="vit") if api is None else api
    added = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in files.items()]
    try:
        made = api.create_repo(repo_id, private=private, exist_ok=True)
        api.create_commit(repo_id, operations=added, commit_message=message)
    except Exception as error:  # the hub's own errors and those of its transport have no common base
        raise VitError(
            f"{repo_id} could not be written to on the hub ({type(error).__name__}: "
            f"{one_line_message(error)}){_way_out(error)}"
        ) from None
    return str(made)


def _way_out(error: Exception) -> str:
    """What helps with an error of the hub."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403) or type(error).__name__ == "LocalTokenNotFoundError":
        return ": hf auth login, or set HF_TOKEN, with a token that may write to it"
    return ": what was exported stays on disk"
