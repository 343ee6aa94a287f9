"""A regular expression for `data.group`, from the names of files that tell where each picture comes from."""

import re
from collections import Counter
from collections.abc import Sequence

# What the names of pictures of one origin have in common: the first group.
EXPRESSIONS = (
    r"([^/]+)_(?:jpe?g|png)\.rf\.",  # as Roboflow names its augmented copies
    r"([^/]+)_\d+\.[^./]+$",
    r"([^/]+)-\d+\.[^./]+$",
    r"([^/]+) \(\d+\)\.[^./]+$",
    r"([^/]*[^/\d])\d+\.[^./]+$",
    r"([^/_]+)_[^/]*$",
    r"([^/-]+)-[^/]*$",
    r"([^/]+)/[^/]+$",
)
NAMED = 0.8  # share of the names that an expression has to match
LARGEST = 0.2  # share of the pictures that one origin may have
FEWEST = 5  # origins
PARTS = 3  # origins that a class needs, to be in train, val and test
SHARE = 0.5  # of the pictures that look alike, as many have to be of one origin


def suggest_group(
    names: Sequence[str], labels: Sequence[str], pairs: Sequence[tuple[int, int]] = ()
) -> str | None:
    """The expression whose groups explain best which pictures look alike; None: no expression does.

    Without such pictures, it is one for names like ORIGIN_NUMBER.

    Args:
        names: n names, as `data.group` is matched with.
        labels: The label of each: classes are no origins.
        pairs: Indices of pictures that look alike.
    """
    best, best_share = None, 0.0
    for expression in EXPRESSIONS if pairs else EXPRESSIONS[:3]:
        origins = [match[1] if (match := re.search(expression, name)) else None for name in names]
        if not _are_origins(origins, labels):
            continue
        together = sum(origins[a] is not None and origins[a] == origins[b] for a, b in pairs)
        share = together / len(pairs) if pairs else 1.0
        if share >= SHARE and share > best_share:
            best, best_share = expression, share
    return best


def _are_origins(origins: Sequence[str | None], labels: Sequence[str]) -> bool:
    """Whether there are several, of several pictures each, none has most, and they are not the classes."""
    sizes = Counter(origin for origin in origins if origin is not None)
    n = sum(sizes.values())
    pairs = {(label, origin) for label, origin in zip(labels, origins, strict=True) if origin is not None}
    of_classes = Counter(label for label, _ in pairs)
    return (
        n >= NAMED * len(origins)
        and len(sizes) > max(FEWEST, len(set(labels)))
        and sum(count >= PARTS for count in of_classes.values()) >= NAMED * len(set(labels))
        and n >= 2 * len(sizes)
        and max(sizes.values()) <= LARGEST * len(origins)
    )
