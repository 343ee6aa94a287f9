"""Examples that are equal, and pictures that look alike, found without comparing each with each.

The result has the same form for both: (n, parts), for each example another one in each part that it is equal
to, or looks like; -1: none.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import sha256

import numpy as np
import torch
import torch.nn.functional as F

from vit.data.images import Images
from vit.data.preprocess import match_channels

SMALLEST_SIDE = 16  # pixels; smaller pictures of different things look alike
SIDE = 32  # pixels of the grey picture that is transformed
THUMBNAIL = 16  # pixels of the grey picture that decides
DISTANCE = 6  # bits of 64 in which the hashes of two pictures that look alike differ at most
CORRELATION = 0.95  # of the thumbnails of two pictures that look alike, at least
FLAT = 2.0  # levels of 255; a thumbnail with a smaller deviation shows nothing
BANDS = 4  # of 16 bits each
BAND_BITS = 16
CHUNK = 1 << 20  # pairs that are looked at together
VERIFIED = 1 << 15  # pairs whose thumbnails are compared together

Pairs = tuple[np.ndarray, np.ndarray]  # int64 (pairs,) each


def equal(keys: Sequence[str], parts: np.ndarray) -> np.ndarray:
    """For each example the first other one of each part that has the same key.

    Args:
        keys: n strings, such as digests.
        parts: int64 (n,), the part of each, from 0; -1: in none, so that it is equal to none.

    Returns:
        int64 (n, parts).
    """
    partners = _none(len(keys), parts)
    members: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        if parts[index] >= 0:
            members.setdefault(key, []).append(index)
    for group in members.values():
        if len(group) == 1:
            continue
        in_part: dict[int, list[int]] = {}
        for index in group:
            in_part.setdefault(int(parts[index]), []).append(index)
        for part, own in in_part.items():
            partners[group, part] = own[0]
            partners[own[0], part] = own[1] if len(own) > 1 else -1
    return partners


def alike(hashes: np.ndarray, thumbnails: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """For each picture another one of each part that looks like it.

    Two pictures look alike if their hashes differ in at most `DISTANCE` bits, and their thumbnails correlate
    by at least `CORRELATION`. No picture that has a partner goes without: of two hashes that differ in at
    most 7 of 64 bits, one of four bands of 16 bits differs in at most one, so only pictures with such a band
    are compared (multi-index hashing, Norouzi, Punjani and Fleet 2012), until they have a partner in each
    part. Pictures that were mirrored, or turned without EXIF, or lost much of their border, are not found.

    Args:
        hashes: uint64 (n,), as `fingerprints` returns them, as are the thumbnails.
        thumbnails: float32 (n, 256).
        parts: int64 (n,), the part of each, from 0; -1: in none, so that it looks like none.

    Returns:
        int64 (n, parts).
    """
    partners = _none(len(hashes), parts)
    shown = np.flatnonzero((parts >= 0) & thumbnails.any(1))
    pending = np.ones(len(shown), bool)  # which lack a partner in some part; `_close` follows it
    for first, second in _close(hashes[shown], pending):
        for own, other in ((shown[first], shown[second]), (shown[second], shown[first])):
            unknown = partners[own, parts[other]] < 0
            own, other = own[unknown], other[unknown]
            similar = np.einsum("ij,ij->i", thumbnails[own], thumbnails[other]) >= CORRELATION
            partners[own[similar], parts[other[similar]]] = other[similar]
        for ends in (first, second):
            pending[ends] = (partners[shown[ends]] < 0).any(1)
    return partners


def fingerprints(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """What `alike` compares, of upright pictures of one size.

    The hash is pHash (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010): the
    64 lowest frequencies of the grey picture at 32 x 32, each above their median or not.

    Returns:
        Hashes, uint64 (n,), and thumbnails, float32 (n, 256): grey, of mean 0 and length 1; all 0 where a
        picture shows nothing.
    """
    hashes, thumbnails = [np.empty(0, np.uint64)], [np.empty((0, THUMBNAIL**2), np.float32)]
    for indices in torch.arange(len(images)).split(1024):
        grey = match_channels(images[indices][0], 1).float()  # (B, 1, height, width)
        hashes.append(_phash(_resized(grey, SIDE)))
        thumbnails.append(_normalised(_resized(grey, THUMBNAIL)))
    return np.concatenate(hashes), np.concatenate(thumbnails)


def pixel_digests(images: Images) -> list[str]:
    """SHA-256 of the pixels of each picture, for datasets without digests of their files."""
    return [
        sha256(pixels.numpy().tobytes()).hexdigest()
        for indices in torch.arange(len(images)).split(1024)
        for pixels in images[indices][0]
    ]


def text_key(text: str) -> str:
    """The words of a text, in lower case: equal for texts that differ in case, spaces and signs alone.

    A text without words is its own key.
    """
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(words) or text.strip()


def _none(n: int, parts: np.ndarray) -> np.ndarray:
    return np.full((n, int(parts.max(initial=-1)) + 1), -1, np.int64)


def _resized(grey: torch.Tensor, side: int) -> np.ndarray:
    """(B, 1, height, width) -> (B, side, side)."""
    return F.interpolate(grey, (side, side), mode="bilinear", antialias=True)[:, 0].numpy()


def _phash(grey: np.ndarray) -> np.ndarray:
    """(B, 32, 32) -> uint64 (B,)."""
    from scipy.fft import dctn

    frequencies = dctn(grey, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(-1, 64)
    frequencies[:, 0] = 0.0  # the mean level, which is no shape
    above = frequencies > np.median(frequencies, axis=1, keepdims=True)
    return np.packbits(above, axis=1).view(np.uint64)[:, 0]


def _normalised(grey: np.ndarray) -> np.ndarray:
    """(B, 16, 16) -> (B, 256), of mean 0 and length 1, or 0."""
    values = grey.reshape(len(grey), -1)
    values = values - values.mean(1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    flat = length < FLAT * THUMBNAIL
    return np.where(flat, 0.0, values / np.where(flat, 1.0, length)).astype(np.float32)


def _close(hashes: np.ndarray, pending: np.ndarray) -> Iterator[Pairs]:
    """The pairs whose hashes differ in at most `DISTANCE` bits, each once, in pieces.

    Args:
        hashes: uint64 (n,).
        pending: bool (n,), may be changed between pieces: pairs without a pending member may be left out.
    """
    bands = hashes.view(np.uint16).reshape(-1, BANDS)
    for band in range(BANDS):
        for first, second in _same_band(bands[:, band], pending):
            near = np.bitwise_count(hashes[first] ^ hashes[second]) <= DISTANCE
            first, second = first[near], second[near]
            found = (np.bitwise_count(bands[first, :band] ^ bands[second, :band]) <= 1).any(1)
            first, second = first[~found], second[~found]
            for start in range(0, len(first), VERIFIED):
                yield first[start : start + VERIFIED], second[start : start + VERIFIED]


def _same_band(keys: np.ndarray, pending: np.ndarray) -> Iterator[Pairs]:
    """The pairs whose keys, uint16, are equal or differ in one bit, each once, in pieces."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    places = np.arange(len(keys))
    yield from _expanded(order, places, places + 1, np.searchsorted(ordered, ordered, "right"), pending)
    for bit in range(BAND_BITS):
        flip = np.uint16(1 << bit)
        lower = np.flatnonzero(ordered & flip == 0)  # its partner has the bit
        wanted = ordered[lower] | flip
        starts, ends = (np.searchsorted(ordered, wanted, side) for side in ("left", "right"))
        yield from _expanded(order, lower, starts, ends, pending)


def _expanded(
    order: np.ndarray, places: np.ndarray, starts: np.ndarray, ends: np.ndarray, pending: np.ndarray
) -> Iterator[Pairs]:
    """The pairs of each place with the places from its start to its end, about `CHUNK` at a time."""
    used = ends > starts
    places, starts, ends = places[used], starts[used], ends[used]
    total = np.cumsum(ends - starts)
    begin = 0
    while begin < len(places):
        before = total[begin - 1] if begin else 0
        end = max(int(np.searchsorted(total, before + CHUNK, "right")), begin + 1)
        piece = slice(begin, end)
        begin = end
        pending_before = np.concatenate([[0], np.cumsum(pending[order])])  # how many before each place
        wanted = pending[order[places[piece]]] | (pending_before[ends[piece]] > pending_before[starts[piece]])
        first, low = places[piece][wanted], starts[piece][wanted]
        counts = ends[piece][wanted] - low
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        yield order[np.repeat(first, counts)], order[np.repeat(low, counts) + offsets]
