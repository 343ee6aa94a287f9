"""A model with what it needs to answer: decoding processes, and its thread."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from io import BytesIO
from typing import Any

from PIL import Image

from vit.errors import VitError
from vit.inference.drawing.draw import Request
from vit.inference.embed import embedder
from vit.inference.predict import labeller
from vit.inputs.decoding import Content, Decoder, decoder
from vit.inputs.images import DecodedImage, decoded_image
from vit.inputs.texts import require_tokenizer
from vit.jobs.table import Row
from vit.serve.answers import row_maker
from vit.serve.attending import Attended, attend_rows
from vit.serve.batching import Batcher, Runner
from vit.serve.metrics import Metrics
from vit.serve.schemas import MOST_CLASSES
from vit.serve.settings import Settings
from vit.text.matching import is_encoder_decoder

LAST_BATCH = 2.0  # seconds for the thread to end, once no request waits any more


class Service:
    """Answers inputs while it is `running`.

    Args:
        model: In eval mode, with `preprocess`; on the device that it is to run on.
        settings: The server's.
        metrics: Counts inputs and batches.

    Raises:
        VitError: A model that writes texts, or a text model without its tokenizer.
    """

    def __init__(self, model: Any, settings: Settings, metrics: Metrics):
        if is_encoder_decoder(model):
            raise VitError(
                f"{settings.name} writes texts, and vit serve has labels, maps and vectors: see vit generate"
            )
        if model.reads == "text":
            require_tokenizer(model.preprocess)
        self.model, self.settings, self.metrics = model, settings, metrics
        self.reads: str = model.reads
        self.labels: list[str] = list(model.labels)
        self._decoder: Decoder | None = None
        size = settings.batch_size
        runners = {"embed": Runner(row_maker(embedder(model, batch_size=size)), size)}
        if self.labels:
            pipeline = labeller(model, topk=MOST_CLASSES, batch_size=size)
            runners["predict"] = Runner(row_maker(pipeline), size)
        # One at a time: a map keeps every layer's attention, and a page takes a second.
        runners["attend"] = Runner(partial(attend_rows, model, settings.name), 1)
        self.batcher = Batcher(runners, settings.max_waiting, metrics.on_batch)
        metrics.watch_waiting(lambda: self.batcher.total - self.batcher.free)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Decoding processes and thread during an `async with` block, both warm.

        Raises:
            VitError: The model cannot read an input of its own size.
        """
        async with AsyncExitStack() as stack:
            if self.reads == "image":
                processes = decoder(self.model.preprocess, self.settings.limits)
                self._decoder = stack.enter_context(processes)
            self.batcher.start()
            stack.push_async_callback(asyncio.to_thread, self.batcher.close, LAST_BATCH)
            await self.embed([Content("warm-up", _grey()) if self.reads == "image" else "warm-up"])
            yield

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self.batcher.is_running and (self._decoder is None or self._decoder.pool.active)

    async def predict(self, inputs: Sequence[Content | str], topk: int) -> list[Row]:
        """The rows of `vit predict --topk`, in order."""
        with self.batcher.places(len(inputs)):
            rows = await self.batcher.run("predict", await self._prepared(inputs))
        return [row if row["topk"] is None else row | {"topk": row["topk"][:topk]} for row in rows]

    async def embed(self, inputs: Sequence[Content | str]) -> list[Row]:
        """The rows of `vit embed`, in order."""
        with self.batcher.places(len(inputs)):
            return await self.batcher.run("embed", await self._prepared(inputs))

    async def attend(self, inputs: Sequence[Content | str], request: Request, *, as_page: bool) -> list[Row]:
        """The maps, in order, or under the key `page` the viewer's pages."""
        with self.batcher.places(len(inputs)):
            values = await self._prepared(inputs)
            return await self.batcher.run("attend", [Attended(value, request, as_page) for value in values])

    async def _prepared(self, inputs: Sequence[Content | str]) -> list[Any]:
        """Pictures decoded; texts as (name, text), named by their number, from 1, as rows of files are."""
        if self._decoder is None:
            return [(f"text:{number}", text) for number, text in enumerate(inputs, 1)]
        return await self._decoded([item for item in inputs if isinstance(item, Content)])

    async def _decoded(self, contents: list[Content]) -> list[DecodedImage]:
        assert self._decoder is not None
        futures = [self._decoder.submit(content) for content in contents]
        await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
        return [
            decoded_image(self._decoder, content, future)
            for content, future in zip(contents, futures, strict=True)
        ]


def _grey() -> bytes:
    """A picture that every installation reads."""
    file = BytesIO()
    Image.new("RGB", (8, 8), (128, 128, 128)).save(file, "PNG")
    return file.getvalue()
