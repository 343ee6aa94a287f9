"""Links to folders: each folder is read once, whatever the number of links to it."""

import os
from collections.abc import Iterable
from pathlib import Path


class FolderLinks:
    """Decides which links to folders are followed.

    Folders below the roots, or below a link that was followed, have a place of their own in the list, so a
    link to one of them is not followed. Folders that links lead to are remembered, the others are not: memory
    grows with the number of links and of folders below them.

    Args:
        roots: The folders that are listed.
    """

    def __init__(self, roots: Iterable[str]):
        self.roots = [Path(root).resolve() for root in roots]
        self.listed = set(self.roots)  # with all below them
        self.seen: set[tuple[int, int]] = set()

    def refusal(self, link: str) -> tuple[str, str] | None:
        """Status and detail of a link that is not followed; None: follow it, and ask `enter` below it."""
        target = Path(link).resolve()
        if not self.listed.isdisjoint((target, *target.parents)):
            return "not_an_image", f"a link to {target}, which is listed in its own place"
        if any(root.is_relative_to(target) for root in self.roots):
            return "not_an_image", f"a link to {target}, in which this folder lies: it would lead back here"
        self.listed.add(target)
        return self.enter(link)

    def enter(self, folder: str) -> tuple[str, str] | None:
        """As `refusal`, for a folder that is the target of a link, or below one."""
        try:
            state = os.stat(folder)
        except OSError:
            return None  # listing it reports the error
        if (state.st_dev, state.st_ino) in self.seen:
            return "not_an_image", f"a second way to {os.path.realpath(folder)}, which is listed elsewhere"
        self.seen.add((state.st_dev, state.st_ino))
        return None
