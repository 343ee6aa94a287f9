"""`vit.predict` and `vit.embed`: the rows of the commands, as an iterator of dicts."""

import os
import weakref
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vit.api.models import open_model, word_of
from vit.config import Precision
from vit.errors import UsageError
from vit.inputs.processes import warm_up
from vit.progress import RowsBar
from vit.ranges import require_positive

if TYPE_CHECKING:
    from vit.inference.kept import KeptColumns
    from vit.inference.rows import Pipeline

Row = dict[str, Any]


class Progress(NamedTuple):
    """How far the rows are, as `vit.progress.Counted`."""

    counts: Counter[str]
    computed: int
    total: int | None


def predict(
    model: Any,
    inputs: Any,
    *,
    topk: int = 5,
    unknown: float | Literal["auto"] | None = None,
    batch_size: int = 64,
    precision: Precision | None = None,
    channels: str = "RGB",
    column: str | None = None,
    keep: Sequence[str] = (),
    fast_jpeg: bool = False,
    timeout: float = 30.0,
    memory: int = 2048,
    progress: bool = True,
) -> Generator[Row, None, None]:
    """Label pictures or texts: the rows of `vit predict`, one for each input, in order.

        for row in vit.predict("runs/digits", ["photos/"]):
            print(row["path"], row["label"], row["score"])

    Rows are computed as they are asked for, a batch at a time; as many inputs are in memory at once, for
    texts 16 times as many. Files are decoded in processes of their own, which end with the iterator: when it
    is exhausted, closed (`rows.close()`), or interrupted.

    Args:
        model: A MODEL word, or a model of vit in eval mode.
        inputs: One input, or an iterable of them, a generator too. For an image model: paths of files,
            folders, archives and glob patterns; PIL pictures; uint8 arrays (height, width, 3), RGB, or
            (height, width), grey; the bytes of a file, or a file open in binary mode; tensors, uint8
            (3, height, width) of any size, or what `model.preprocess(picture)` returns. For a text model: a
            str, which is a text, or a `pathlib.Path`, which is a file of texts or a folder of such files.
        topk: Classes in the column `topk`.
        unknown: An input whose score is below this gets the label `unknown`; `auto`: the threshold that
            `vit evaluate RUN --unknown FOLDER` recorded; None: every input gets a class.
        batch_size: Most inputs of a forward pass; on a CPU, fewer of large pictures.
        precision: As in `vit.load_model`, for a MODEL word alone. None: `auto`.
        channels: The order of arrays. Only `RGB` is taken; `BGR` says how to make it.
        column: Of tables of texts: the column with the texts. None: a usual name.
        keep: Of tables of texts: columns that are copied into the rows.
        fast_jpeg: Decode large JPEG files at reduced scale: faster, with slightly other pixels.
        timeout: Seconds for the decoding of one file.
        memory: MiB for the decoding of one file.
        progress: Show how far the rows are in a terminal (on stderr) or a notebook. False: nowhere.

    Returns:
        An iterator of dicts. `path` (of a folder's files relative to it if it is the only input; of what is
        no path the number of the input, from 0), `status` (`ok`, or why the input cannot be read), `error`
        (one line), `label`, `index`, `score`, and `topk`, a list of `{"label": str, "score": float}`; of a
        model that gives several labels also `labels`. The last four are None unless the status is `ok`.

    Raises:
        vit.VitError: At once: there is no such model, it has no labels, the only path does not exist, or an
            option is out of range. While iterating: an input is of no kind that is listed above; the message
            has the line of code that mends it. An input that cannot be read is a row, and no error.
    """
    require_positive("--topk", topk)
    stream = Stream(inputs, channels, column, _names(keep), batch_size, timeout, memory, fast_jpeg, progress)
    model, name = _opened(model, precision, "auto")
    options: dict[str, Any] = {"topk": topk}
    if unknown is not None:
        options["unknown"] = _threshold(unknown, model)
    return stream.rows("predict", model, name, options)


def embed(
    model: Any,
    inputs: Any,
    *,
    batch_size: int = 64,
    precision: Precision | None = None,
    channels: str = "RGB",
    column: str | None = None,
    keep: Sequence[str] = (),
    fast_jpeg: bool = False,
    timeout: float = 30.0,
    memory: int = 2048,
    progress: bool = True,
) -> Generator[Row, None, None]:
    """Turn pictures or texts into vectors: the rows of `vit embed`, one for each input, in order.

    Args:
        model: As in `vit.predict`; it needs no labels.
        inputs: As in `vit.predict`.
        batch_size: As in `vit.predict`.
        precision: As in `vit.load_model`, for a MODEL word alone. None: `32-true`.
        channels: As in `vit.predict`.
        column: As in `vit.predict`.
        keep: As in `vit.predict`.
        fast_jpeg: As in `vit.predict`.
        timeout: As in `vit.predict`.
        memory: As in `vit.predict`.
        progress: As in `vit.predict`.

    Returns:
        An iterator of dicts: `path`, `status` and `error` as in `vit.predict`, and `vector`, a list of
        floats: what the model's head reads. It is None unless the status is `ok`.

    Raises:
        vit.VitError: As in `vit.predict`.
    """
    stream = Stream(inputs, channels, column, _names(keep), batch_size, timeout, memory, fast_jpeg, progress)
    model, name = _opened(model, precision, "32-true")
    return stream.rows("embed", model, name, {})


class Stream(NamedTuple):
    """What both functions take; the fields are their arguments.

    Raises:
        VitError: From `rows`: a value is out of range, or does not apply to the model.
    """

    inputs: Any
    channels: str
    column: str | None
    keep: tuple[str, ...]
    batch_size: int
    timeout: float
    memory: int
    fast_jpeg: bool
    progress: bool

    def rows(self, verb: str, model: Any, name: str, options: dict[str, Any]) -> Generator[Row, None, None]:
        """Check everything that can be checked at once; the rows are computed as they are asked for."""
        for option in ("batch_size", "timeout", "memory"):
            require_positive(f"--{option.replace('_', '-')}", getattr(self, option))
        from vit.inference.pipelines import make_pipeline
        from vit.inputs.decoding import Limits

        engine = make_pipeline(
            verb,
            model,
            name,
            batch_size=self.batch_size,
            limits=Limits(self.timeout, self.memory * 2**20),
            keep=self.keep,
            fast_jpeg=self.fast_jpeg,
            **options,
        )
        rows = _computed(engine, self._examples(model, name), self._total(model.reads), shown=self.progress)
        weakref.finalize(rows, _close, weakref.ref(rows))
        return rows

    def _examples(self, model: Any, name: str) -> Iterator[Any]:
        """The inputs as the model's reader takes them."""
        from vit.api.arrays import require_rgb
        from vit.api.examples import pictures, texts

        if model.reads == "text":
            return texts(self.inputs, self.column, self.keep)
        if self.column is not None:
            raise UsageError(f"--column needs a text model, and {name} reads pictures")
        require_rgb(self.channels)
        return pictures(self.inputs, model.preprocess)

    def _total(self, reads: str) -> int | None:
        """The number of rows, where it is known: a path may stand for many."""
        if not isinstance(self.inputs, (list, tuple)):
            return None
        paths = os.PathLike if reads == "text" else (str, os.PathLike)
        return None if any(isinstance(item, paths) for item in self.inputs) else len(self.inputs)


def _computed(
    engine: "Pipeline | KeptColumns", examples: Iterator[Any], total: int | None, *, shown: bool
) -> Generator[Row, None, None]:
    """The rows; the bar is there while they are computed, and not while the caller has one."""
    counts: Counter[str] = Counter()
    noun = "texts" if engine.reads == "text" else "pictures"
    with engine.reader as reader, RowsBar(noun, shown=shown) as bar:
        for batch in reader.read(examples):
            rows = engine.compute(batch)
            counts.update(row["status"] for row in rows)
            bar(Progress(counts, counts.total(), total))
            bar.hide()
            yield from rows
            bar.show()
        bar(Progress(counts, counts.total(), counts.total()))


def _close(reference: "weakref.ref[Generator[Row, None, None]]") -> None:
    """Close rows that are not exhausted when Python ends: too late, the modules that do it may be gone."""
    rows = reference()
    if rows is not None:
        with suppress(ValueError):  # a daemon thread is computing them
            rows.close()


def _opened(model: Any, precision: Precision | None, usual: Precision) -> tuple[Any, str]:
    """As `open_model`; decoding is made ready while a model is loaded."""
    if isinstance(model, (str, os.PathLike)):
        warm_up()
    return open_model(model, precision, usual)


def _names(keep: Sequence[str]) -> tuple[str, ...]:
    """Names of columns; a single one may be given as it is."""
    return (keep,) if isinstance(keep, str) else tuple(keep)


def _threshold(unknown: float | str, model: Any) -> float:
    """The threshold that `unknown` stands for."""
    if unknown != "auto":
        return float(unknown)
    from vit.inference.pipelines import stored_threshold

    if (word := word_of(model)) is None:
        raise UsageError("unknown is 'auto', and the model was not loaded from a MODEL word: give a number")
    return stored_threshold(word)
