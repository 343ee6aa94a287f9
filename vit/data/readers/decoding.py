"""Every picture of a dataset decoded once, with its digest: from the cache, or from its file."""

import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import file_digest, sha256
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from vit.data.cache.pictures import Decoded, cache_key, load_decoded, store_decoded
from vit.data.decode import DecodeError
from vit.data.found import Found, ReadOptions
from vit.data.images import FileImages, Images, TensorImages, decode_images
from vit.data.listing.listing import Item, Listing
from vit.data.preprocess import Preprocess
from vit.data.tables.labels import label_targets
from vit.errors import VitError
from vit.progress import progress_bar

DEFAULT_SIZE = (64, 64)  # of files, which may all differ
CHUNK = 1024  # pictures that are decoded before the next are looked at
WORTH_STORING = 1.0  # seconds of decoding


def decode_listing(listing: Listing, options: ReadOptions) -> Found[Images]:
    """Decode listed files once, and keep their pixels where they fit.

    Args:
        listing: Files and labels.
        options: `size` None: 64 x 64. Above `memory_gb`, pictures are decoded again for every batch.

    Returns:
        Those that can be decoded; the others are in `skipped`, so that they do not end the run later.
    """
    preprocess = options.geometry(DEFAULT_SIZE)
    keep = len(listing.items) * 3 * preprocess.height * preprocess.width <= options.memory_gb * 1e9
    several = any(item.labels is not None for item in listing.items)
    skipped, readable = list(listing.skipped), []
    found: Found[Images] = Found({}, [], skipped, list(listing.notes), named_by_path=True)
    decoded_parts: dict[str, tuple[list[Item], Decoded]] = {}
    for part, items in _by_part(listing.items).items():
        paths = [item.path for item in items]
        key = cache_key(paths, preprocess, keep) if options.cache else None
        decoded = decode(paths, len(paths), preprocess, keep=keep, key=key)
        skipped += [(items[position].name, reason) for position, reason in decoded.failures]
        items = [items[position] for position in decoded.positions]
        readable += items
        decoded_parts[part] = items, decoded
    if listing.items and not readable:
        name, reason = skipped[-1]
        raise VitError(f"none of {len(listing.items):,} pictures can be read, as {name}: {reason}")
    found.labels = listing.labels if several else _present(readable, listing.labels, found.notes)
    for part, (items, decoded) in decoded_parts.items():
        labels = [item.labels if several else item.label for item in items]
        targets = label_targets(labels, found.labels, several=several)
        found.parts[part] = _images(items, decoded, targets, preprocess, keep=keep)
        if listing.groups:
            found.groups[part] = [item.name if item.group is None else item.group for item in items]
    return found


def decode(
    sources: Iterable[Path | bytes],
    count: int,
    preprocess: Preprocess,
    *,
    keep: bool = True,
    key: str | None = None,
) -> Decoded:
    """Decode pictures in order, or take them from the cache.

    Args:
        sources: Files, or their bytes; not looked at where the cache has them.
        count: How many they are.
        preprocess: From a file to pixels.
        keep: Keep the pixels; False: only learn which pictures can be read.
        key: In the cache, made by `vit.data.cache.pictures.cache_key`; None: without the cache.
    """
    if key and (stored := load_decoded(key)):
        return stored
    begun = time.perf_counter()
    shape = (preprocess.channels, preprocess.height, preprocess.width)
    decoded = Decoded(torch.empty(count if keep else 0, *shape, dtype=torch.uint8), [], [], [])
    with progress_bar("reading pictures", count) as advance:
        for position, (source, image) in enumerate(_one_by_one(iter(sources), preprocess)):
            advance(1)
            if isinstance(image, DecodeError):
                decoded.failures.append((position, image.reason))
                continue
            if keep:
                decoded.pixels[len(decoded.positions)] = image
            decoded.positions.append(position)
            decoded.digests.append(_digest(source))
    decoded.pixels = decoded.pixels[: len(decoded.positions)]
    if key and time.perf_counter() - begun > WORTH_STORING:
        store_decoded(key, decoded)
    return decoded


def _one_by_one(
    sources: Iterator[Path | bytes], preprocess: Preprocess
) -> Iterator[tuple[Path | bytes, Tensor | DecodeError]]:
    while chunk := list(islice(sources, CHUNK)):
        yield from zip(chunk, decode_images(chunk, preprocess), strict=True)


def _digest(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return sha256(source).hexdigest()
    with source.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _by_part(items: Sequence[Item]) -> dict[str, list[Item]]:
    parts: dict[str, list[Item]] = {}
    for item in items:
        parts.setdefault(item.part or "all", []).append(item)
    return parts


def _present(readable: Sequence[Item], labels: Sequence[str], notes: list[str]) -> list[str]:
    """The labels that have a picture; a note names the others."""
    present = {item.label for item in readable}
    notes += [
        f"{label!r} has no picture that can be read: left out" for label in labels if label not in present
    ]
    return [label for label in labels if label in present]


def _images(
    items: Sequence[Item], decoded: Decoded, targets: Tensor, preprocess: Preprocess, *, keep: bool
) -> Images:
    names = [item.name for item in items]
    if keep:
        return TensorImages(decoded.pixels, targets, names, decoded.digests)
    return FileImages([item.path for item in items], targets, names, preprocess, decoded.digests)
