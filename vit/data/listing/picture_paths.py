"""From what a manifest says about a picture to its file."""

from pathlib import Path

from vit.data.listing.parts import part_name

FOLDERS = ("images", "imgs", "img", "pictures", "photos", "data")  # beside a table, with its pictures
MISSING = "missing"


class PicturePaths:
    """Finds the files that a table lists.

    Args:
        table: The table.
        base: The dataset's folder, which names are relative to.
    """

    def __init__(self, table: Path, base: Path):
        self.base = base
        stem = table.name.split(".")[0]
        part = part_name(Path(stem))
        own = (stem, f"{stem}_images", f"{stem}-images") if part is None or not part.rest else ()
        train = ("train", "train_images") if part is None else ()
        named = (table.parent / name for name in dict.fromkeys((*own, *FOLDERS, *train)))
        self._folders = [table.parent, *(folder for folder in named if folder.is_dir())]
        self._stems: dict[Path, dict[str, list[str]]] = {}

    def find(self, value: str) -> Path | str:
        """The file of a path, which may lack the folder and the suffix; a reason if there is none."""
        value = value.strip()
        for text in (value, value.replace("\\", "/")) if "\\" in value else (value,):
            for folder in self._folders:
                found = self._in(folder, text)
                if found is not None:
                    return found
        return MISSING

    def name(self, path: Path) -> str:
        """The path relative to the dataset's folder, if it is below it."""
        return path.relative_to(self.base).as_posix() if path.is_relative_to(self.base) else path.as_posix()

    def _in(self, folder: Path, text: str) -> Path | str | None:
        path = folder / text
        try:
            if path.is_file():
                return path
        except (OSError, ValueError):  # a name that is too long, or has a NUL
            return None
        names = self._names(path.parent).get(path.name, [])
        if len(names) > 1:
            return f"one of {', '.join(names)}: the manifest does not say which"
        return path.parent / names[0] if names else None

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """Name without suffix -> names, of the files in a folder."""
        if folder not in self._stems:
            stems: dict[str, list[str]] = {}
            try:
                for path in sorted(folder.iterdir()):
                    if path.suffix and path.is_file():
                        stems.setdefault(path.stem, []).append(path.name)
            except (OSError, ValueError):
                pass
            self._stems[folder] = stems
        return self._stems[folder]
