"""Overlays and pages of texts, word by word."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vit.attribution.explain import check_method, explain
from vit.attribution.roster import METHODS
from vit.data.tables.records import Record
from vit.errors import VitError
from vit.inference.drawing.draw import Drawing, Request, class_columns, overlay_lines
from vit.inference.page import view_of
from vit.inference.reading import Reading
from vit.inference.words.matrix import word_matrix
from vit.inference.words.reading import NoRoom, read_text
from vit.inference.words.vocabulary import next_token
from vit.inputs.texts import TextReader, TokenizedText, list_texts, require_tokenizer
from vit.text.matching import is_encoder_decoder
from vit.viewer import text_overlay

WRITTEN = "written"  # the column with the words that the model wrote
SHORT = "short"  # status of a text that has no such word or window
LONG = "long"  # status of a text that the model has no room to go on with


class ExplainedText(NamedTuple):
    """A text of W words, explained.

    Args:
        reading: Its reading.
        heat: (W,), at least float32; the sum of each word's pieces.
        targets: int64 (1,), the class explained; None if the method explains none.
    """

    reading: Reading
    heat: Tensor
    targets: Tensor | None


def explain_text(
    model: Any, text: str, request: Request, *, merge: bool = True, max_tokens: int | None = None
) -> ExplainedText:
    """Explain one text word by word.

    `raw` and `rollout` merge each layer's weights to words before they fuse and multiply them. Other methods
    score tokens, and a word gets the sum of its pieces.

    Args:
        model: In eval mode, with `preprocess`.
        text: The text.
        request: What is to be explained. Methods that explain a class read a word's first piece. Those of a
            language model read its last, and explain by default the token that the model would say after it.
        merge: Whether word pieces are merged to words; otherwise every token is a word.
        max_tokens: As in `read_text`.

    Raises:
        VitError: As `vit.attend` and `read_text`.
    """
    require_tokenizer(model.preprocess)
    method, query, options = request.method, request.query, request.options
    check_method(model, method, request.target, options)
    target = next_token(model, request.target)
    reading = read_text(model, text, merge=merge, max_tokens=max_tokens)
    query = reading.checked(query)
    token = query if isinstance(query, str) else (0, reading.token_of(query[1]))
    if not METHODS[method].is_attention:
        if target is None and reading.next_word and not isinstance(query, str):
            target = int(reading.lens()[query[1]].argmax())
        found = explain(model, reading.inputs, method, target, token, **options)
        return ExplainedText(reading, reading.by_word(found.maps[0, 0].cpu()), found.targets)
    heat = reading.seed(query).to(reading.weights[0]) @ word_matrix(reading.weights, method, options)
    return ExplainedText(reading, heat, None)


class TextDrawer:
    """Explains texts one at a time; a `vit.inference.drawing.draw.Drawer`.

    Args:
        model: In eval mode, with `preprocess`.
        request: What is to be explained.
        text: A text itself, instead of inputs; what cannot be served is then an error, not a row.
        merge: Whether word pieces are merged to words.
        max_tokens: As in `read_text`.
        apart: Whether special tokens, which mostly have the largest values, take no part in the colors.
        caption: The model's name, for the pages.
        column: The column of tables with the texts; None: a usual name.
        keep: Columns of tables that the rows have after their own.
    """

    columns = 1

    def __init__(
        self,
        model: Any,
        request: Request,
        *,
        text: str | None = None,
        merge: bool = True,
        max_tokens: int | None = None,
        apart: bool = True,
        caption: str = "",
        column: str | None = None,
        keep: Sequence[str] = (),
    ):
        self.model, self.request, self.text = model, request, text
        self.merge, self.max_tokens, self.apart, self.caption = merge, max_tokens, apart, caption
        self.description = request.describe("word")
        self.title = " · ".join(filter(None, (caption, self.description)))
        self.settings = {**vars(request), "merge": merge, "apart": apart, "text": text}
        self.column, self.keep = column, list(keep)
        self.settings |= {"column": column} if column else {}  # left out: jobs of earlier versions go on
        self.settings |= {"keep": self.keep} if keep else {}
        self.settings |= {"max_tokens": max_tokens} if max_tokens else {}
        writes = max_tokens is not None or is_encoder_decoder(model)
        self.own_columns = [WRITTEN] if writes else []
        self.checked: ExplainedText | None = None  # of the text itself

    def check(self) -> None:
        """Explain the text, or a trial text where there are inputs."""
        if self.text is not None:
            self.checked = self._explain(self.text)
            return
        trial = " ".join(["a"] * self.request.options.get("window", 1))
        request = Request(self.request.method, self.request.target, "cls", self.request.options)
        explain_text(self.model, trial, request, max_tokens=None if self.max_tokens is None else 1)

    def _explain(self, text: str) -> ExplainedText:
        return explain_text(self.model, text, self.request, merge=self.merge, max_tokens=self.max_tokens)

    def reader(self) -> TextReader:
        """Tokenizes."""
        return TextReader(self.model.preprocess, 1)

    def list_inputs(self, inputs: list[str], exclude: list[Path]) -> Iterable[tuple[Any, ...]]:
        """Every text of every file, or the text itself."""
        if self.text is not None:
            return [Record("text", self.text, None, "ok", "")[:-1]]
        return list_texts(inputs, exclude=exclude, column=self.column, keep=self.keep)

    def drawings(self, batch: list[TokenizedText], num_explained: int) -> Iterator[Drawing]:
        """Explain each text of a batch."""
        for item in batch:
            row: dict[str, Any] = {"path": item.name, "status": item.status, "error": item.error}
            row |= zip(self.keep, item.kept or (), strict=False)
            if item.status != "ok":
                yield Drawing(row)
                continue
            try:
                found = self.checked or self._explain(item.text)
            except VitError as error:  # `check` passed, so this text is too short, or too long to go on with
                status = LONG if isinstance(error, NoRoom) else SHORT
                yield Drawing(row | {"status": status, "error": str(error)})
                continue
            yield self._drawing(item, row | self._facts(found), found)

    def _drawing(self, item: TokenizedText, row: dict[str, Any], found: ExplainedText) -> Drawing:
        request, reading = self.request, found.reading
        word = None if isinstance(request.query, str) else request.query[1]
        title, caption = overlay_lines(row, self.description)
        start = request.page_start(self.description, found.heat, row.get("explained"))
        return Drawing(
            row,
            lambda: text_overlay(
                reading.shown["tokens"],
                found.heat,
                special=reading.shown["special"],
                written=reading.shown.get("written", ()),
                break_at=reading.shown.get("target"),
                mark=word,
                apart=self.apart,
                title=f"next: {title}" if title and reading.next_word else title,
                caption=caption,
            ),
            lambda: view_of(
                reading,
                name=shortened(item.text),
                caption=f"{item.name} · {self.caption}",
                target=None if found.targets is None else int(found.targets[0]),
                query=word,
                apart=self.apart,
                **start,
            ),
            file_name(item.name),
        )

    def _facts(self, found: ExplainedText) -> dict[str, Any]:
        """The columns that follow from the explanation."""
        reading = found.reading
        facts = class_columns(self.model, reading.logits[None], found.targets)[0]
        marked = reading.shown["special"][:1] == [True]
        class_token = marked and not getattr(self.model, "causal", True)  # of a causal model it is no summary
        if METHODS[self.request.method].is_attention and class_token:
            facts["class_mass"] = round(float(found.heat[0] / found.heat.sum()), 6)
        if self.own_columns:
            facts[WRITTEN] = reading.written
        return facts


def file_name(name: str) -> str:
    """The name of a text as that of a file: `a.txt,1` of `a.txt:1`, because Windows and exFAT refuse a colon.

    Two texts never share one: what follows the last comma is the number of a row.
    """
    file, colon, number = name.rpartition(":")
    return f"{file},{number}" if colon and number.isdigit() else name


def shortened(text: str) -> str:
    """The beginning of a text, for a title."""
    return textwrap.shorten(text, 90, placeholder=" …") or text[:90]
