"""Texts with the attention between their words: pictures, pages and a row for each."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from vit.attribution.explain import METHODS, explain
from vit.attribution.passes import Forward
from vit.attribution.pieces import in_words, sum_by_word, words_of
from vit.attribution.query import Query
from vit.attribution.rollout import fuse_heads, rollout
from vit.data.readers.tables import Record
from vit.errors import VitError
from vit.inference.draw import (
    COLUMNS,
    FIRST,
    TABLE,
    draw_sheet,
    map_words,
    page_start,
    remove_earlier,
    save_beside,
    writer,
)
from vit.inference.page import OF_A_CLASS, class_facts, listed_classes
from vit.inputs.readers import Passage, TextReader, same_inputs
from vit.jobs.job import Job, ProgressCallback
from vit.jobs.table import Row
from vit.text import Pieces, TextTransformer
from vit.viewer import Start, View, page, text_overlay

SHORT = "short"  # the status of a text without the word or the window that was asked for


class Reading(NamedTuple):
    """What a method found in one text of W words; special tokens are words of their own.

    Args:
        words: W strings.
        special: W: which of them are special tokens.
        heat: (W,), at least float32; a word's pieces are summed.
        weights: L tensors (H, W, W), attention to a word summed, from a word meaned.
        read: (W,), what the head reads as a weighting of final words; sums to 1.
        states: (N, D), final tokens.
        places: int64 (N,), the word of each token.
        logits: (classes,)
        target: The class explained; None where the method explains none.
    """

    words: list[str]
    special: list[bool]
    heat: Tensor
    weights: list[Tensor]
    read: Tensor
    states: Tensor
    places: Tensor
    logits: Tensor
    target: int | None


@torch.no_grad()
def read_text(
    model: TextTransformer,
    text: str,
    method: str = "rollout",
    target: int | str | None = None,
    query: Query = "cls",
    *,
    merge: bool = True,
    **options: Any,
) -> Reading:
    """Explain one text word by word.

    `raw` and `rollout` merge each layer's weights to words before they fuse and multiply them; the other
    methods explain tokens, and a word gets the sum of its pieces.

    Args:
        model: In eval mode, with `preprocess`.
        text: The text.
        method: See `vit.attend`.
        target: See `vit.attend`.
        query: `cls`, `mean`, or a word as (0, place); methods that explain a class read its first piece.
        merge: Pieces to words; otherwise every token is a word.
        options: Of the method, see `vit.attend`.

    Raises:
        VitError: As `vit.attend`.
    """
    pieces = model.preprocess.pieces(text)
    ids = torch.tensor([pieces.ids], device=model.words.weight.device)
    places = words_of(pieces.words) if merge else torch.arange(len(pieces.ids))
    forward = Forward(model, ids)
    weights = [in_words(recording.weights()[0].cpu(), places) for recording in forward.layers()]
    count = weights[0].shape[-1]
    token_of = _token(query, places, count)
    found = explain(model, ids, method, target, token_of, **options)
    if METHODS[method].of_a_class:
        heat = sum_by_word(found.maps[0, 0].cpu(), places)
    else:
        seed = torch.zeros(count)
        if isinstance(query, str):
            seed = sum_by_word(forward.seed(query).cpu()[0], places)
        else:
            seed[query[1]] = 1
        heat = seed.to(weights[0]) @ _joint(weights, method, options)
    return Reading(
        words=_words(text, pieces, places),
        special=[words[0] is None for words in _grouped(pieces.words, places)],
        heat=heat,
        weights=weights,
        read=sum_by_word(forward.seed("cls").cpu()[0], places),
        states=forward.states[0],
        places=places,
        logits=forward.logits[0].float().cpu(),
        target=None if found.targets is None else int(found.targets[0]),
    )


def _token(query: Query, places: Tensor, count: int) -> Query:
    """The query in tokens: of a word, its first piece."""
    if isinstance(query, str):
        return query
    if query[0] != 0 or not 0 <= query[1] < count:
        raise VitError(f"query is word {query[1]}, expected 0 to {count - 1}: the text has {count} words")
    return 0, int((places == query[1]).nonzero()[0])


def _joint(weights: list[Tensor], method: str, options: Mapping[str, Any]) -> Tensor:
    """(W, W) of `raw` or `rollout`, from weights in words."""
    if method == "rollout":
        return rollout((each[None] for each in weights), **options)[0]
    layer, head = options.get("layer", -1), options.get("head")
    chosen = weights[layer] if head is None else weights[layer][head : head + 1]
    return fuse_heads(chosen[None], options.get("fusion", "mean"))[0]


def _words(text: str, pieces: Pieces, places: Tensor) -> list[str]:
    """Each word as the text has it, from its first piece to its last."""
    spans = _grouped(pieces.spans, places)
    names = _grouped(pieces.tokens, places)
    special = _grouped(pieces.words, places)
    return [
        tokens[0] if words[0] is None else text[parts[0][0] : parts[-1][1]].strip()
        for parts, tokens, words in zip(spans, names, special, strict=True)
    ]


def _grouped(items: Iterable[Any], places: Tensor) -> list[list[Any]]:
    """Items of tokens in lists of words."""
    groups: list[list[Any]] = [[] for _ in range(int(places.max()) + 1)]
    for item, place in zip(items, places.tolist(), strict=True):
        groups[place].append(item)
    return groups


def view_of_text(
    model: TextTransformer,
    text: str,
    reading: Reading,
    *,
    name: str,
    caption: str = "",
    query: Query = "cls",
    asked: tuple[str, Tensor] | None = None,
    layer: int | None = None,
    head: int | None = None,
    fusion: str = "mean",
    discard: float = 0.0,
) -> View:
    """The page of one text: every head's attention between words, and the quick methods' maps.

    Args:
        model: As `read_text`.
        text: The text.
        reading: What `read_text` made of it.
        name: Title of the page.
        caption: A line below it.
        query: The word to start from, as (0, place); `cls` and `mean` start with what the head reads.
        asked: A name and a map (W,) to start with, such as one that the page cannot compute.
        layer: Whose raw attention to start with; None is rollout.
        head: Of that layer; None is all of them.
        fusion: Of heads, to start with.
        discard: Of rollout, to start with.
    """
    joints = {"raw": fuse_heads(reading.weights[-1][None])[0]}
    joints["rollout"] = rollout(each[None] for each in reading.weights)[0]
    maps = {method: (reading.read.to(joint) @ joint)[None] for method, joint in joints.items()}
    if asked is not None:
        maps[asked[0]] = asked[1].reshape(1, -1)
    facts: dict[str, Any] = {}
    listed: list[int] = []
    if model.labels:
        probabilities = reading.logits.softmax(-1)
        listed = listed_classes(probabilities, reading.target)
        ids = model.preprocess(text).to(model.words.weight.device).expand(len(listed), -1)
        for method in OF_A_CLASS:
            found = explain(model, ids, method, torch.tensor(listed)).maps[:, 0].cpu()
            maps[method] = sum_by_word(found, reading.places)
        tokens = model.read_token(reading.states).float().softmax(-1).cpu()  # (N, classes)
        lens = sum_by_word(tokens.T, reading.places).T / torch.bincount(reading.places)[:, None]
        facts = class_facts(model.labels, probabilities, listed, lens)
    return View(
        name=name,
        caption=caption,
        weights=reading.weights,
        read=reading.read,
        grid=None,
        tokens=reading.words,
        special=reading.special,
        maps=maps,
        start=Start(
            shown="" if asked is None else asked[0],
            query=None if isinstance(query, str) else query[1],
            chosen=listed.index(reading.target) if reading.target in listed else 0,
            layer=None if layer is None else layer % len(reading.weights),
            head=head,
            fusion=fusion,
            discard=discard,
        ),
        **facts,
    )


def draw_texts(
    model: TextTransformer,
    inputs: list[str],
    folder: Path,
    *,
    text: str | None = None,
    method: str = "rollout",
    target: str | None = None,
    query: Query = "cls",
    options: Mapping[str, Any] | None = None,
    merge: bool = True,
    apart: bool = True,
    pages: int = FIRST,
    overwrite: bool = False,
    caption: str = "",
    fingerprint: str = "",
    tell: ProgressCallback = lambda progress: None,
) -> Counter[str]:
    """Draw every text and return their number by status; `short` is one without the word that `query` names.

    Args:
        model: In eval mode, with `preprocess`.
        inputs: Files of texts, folders, glob patterns.
        folder: Gets `NAME.png` for each, `NAME.html` for the first of them, `attend.csv` and `sheet.png`.
        text: A text itself, in the place of inputs; what it cannot serve is an error, not a row.
        method: See `vit.attend`.
        target: Label or index of the class to explain; None: the one predicted for each text.
        query: As `read_text`.
        options: Of the method, see `vit.attend`.
        merge: Pieces to words; otherwise every token is a word.
        apart: Leave special tokens out of the colours, which they would mostly have to themselves.
        pages: Number of texts that get an interactive page.
        overwrite: Replace the drawings of an earlier run.
        caption: The model's name, for the pages.
        fingerprint: What the model is; a run that another model began is not continued.
        tell: Called with how far the work is after each text.

    Raises:
        VitError: The folder holds an earlier run, or the model cannot serve what is asked.
    """
    if folder.exists() and not folder.is_dir():
        raise VitError(f"{folder} is a file, expected a folder for the drawings")
    options = dict(options or {})
    # Refuse before anything is written.
    if text is None:
        trial = " ".join(["a"] * options.get("window", 1))
        read_text(model, trial, method, target, "cls", **options)
    else:
        read_text(model, text, method, target, query, merge=merge, **options)
    if overwrite:
        remove_earlier(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    what = map_words(method, query, options, texts=True)

    def draw(passage: Passage) -> list[Row]:
        row: Row = dict.fromkeys(COLUMNS)
        row |= {"path": passage.name, "status": passage.status, "error": passage.error}
        if passage.status != "ok":
            return [row]
        try:
            found = read_text(model, passage.text, method, target, query, merge=merge, **options)
        except VitError as error:  # others passed: this text is too short for what is asked
            return [row | {"status": SHORT, "error": str(error)}]
        row |= _facts(model, found)
        drawn = _draw(found, row, what, query, apart)
        row["overlay"] = save_beside(folder, passage.name, ".png", drawn.save)
        if counts["ok"] < pages:
            start = page_start(method, what, found.heat, options, row["explained"])
            title = shortened(passage.text)
            about = f"{passage.name} · {caption}"
            view = view_of_text(model, passage.text, found, name=title, caption=about, query=query, **start)
            row["page"] = save_beside(folder, passage.name, ".html", writer(page(view)))
        return [row]

    asked: dict[str, Any] = {
        "method": method,
        "target": target,
        "query": query,
        "options": options,
        "pages": pages,
    }
    asked |= {"merge": merge, "apart": apart, "text": text, "inputs": same_inputs(inputs)}
    command = {"command": "attend", "model": fingerprint, **asked}
    reader = TextReader(model, 1)
    with reader, Job(folder / TABLE, COLUMNS, command, overwrite=overwrite) as work:
        work.run(
            lambda: (
                reader.entries(inputs, without=[folder])
                if text is None
                else [Record("text", text, None, "ok", "")]
            ),
            lambda entries: map(draw, chain.from_iterable(reader.batches(reader.restored(entries)))),
            counts,
            tell,
        )
        draw_sheet(work, folder, columns=1)
        work.finish()
    return counts


def shortened(text: str) -> str:
    """The beginning of a text, for a title."""
    return textwrap.shorten(text, 90, placeholder=" …") or text[:90]


def _facts(model: TextTransformer, found: Reading) -> dict[str, Any]:
    """What a row says of a text, besides where its drawings went."""
    facts: dict[str, Any] = {}
    if model.labels:
        score, index = found.logits.softmax(-1).max(-1)
        facts = {"label": model.labels[int(index)], "score": round(float(score), 6)}
    if found.target is not None:
        facts["explained"] = model.labels[found.target] if model.labels else str(found.target)
    elif found.special and found.special[0]:
        facts["class_mass"] = round(float(found.heat[0] / found.heat.sum()), 6)
    return facts


def _draw(found: Reading, row: Mapping[str, Any], what: str, query: Query, apart: bool) -> Image.Image:
    title = f"{row['label']} · {100 * row['score']:.0f} %" if row["label"] else ""
    of_class = f" · for {row['explained']}" if row["explained"] not in (None, row["label"]) else ""
    return text_overlay(
        found.words,
        found.heat,
        special=found.special,
        title=title,
        caption=f"{row['path']} · {what}{of_class}",
        mark=None if isinstance(query, str) else query[1],
        apart=apart,
    )
