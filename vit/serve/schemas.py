"""What requests and answers look like: the models of the OpenAPI description, with examples."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, create_model

from vit.attribution.heads import FUSIONS
from vit.attribution.roster import QUICK_METHODS
from vit.serve.inputs import FORM, JSON, TEXT
from vit.serve.settings import Settings

MOST_CLASSES = 100  # of a row

# Arguments of the routes.
TopK = Annotated[int, Query(ge=1, le=MOST_CLASSES, description="classes of each row")]
MethodName = Annotated[
    str, Query(description="see vit attend --help", json_schema_extra={"enum": list(QUICK_METHODS)})
]
Target = Annotated[str | None, Query(max_length=200, description="class to explain: a label or an index")]
QueryWord = Annotated[
    str, Query(max_length=20, description="cls, mean, a patch as ROW,COL, or the number of a word")
]
Layer = Annotated[int | None, Query(description="of raw: counted from 0; -1 is the last")]
Head = Annotated[int | None, Query(description="of raw: counted from 0")]
Fusion = Annotated[str | None, Query(pattern=f"^({'|'.join(FUSIONS)})$", description="of heads")]
Discard = Annotated[
    float | None, Query(ge=0, lt=1, allow_inf_nan=False, description="share of the weakest weights set to 0")
]
Format = Annotated[str, Query(pattern="^(json|html)$", description="the map, or the interactive page")]

STATUS = "ok, or why this input has no answer"


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class Scored(BaseModel):
    """A label and its score."""

    label: str
    score: float


class Prediction(BaseModel):
    """A row of `vit predict`; the fields after `error` are null unless the status is ok."""

    path: str = Field(description="the name that came with the input")
    status: str = Field(description=STATUS)
    error: str
    label: str | None
    index: int | None
    score: float | None
    topk: list[Scored] | None
    labels: list[str] | None = Field(None, description="of a model that gives several labels")


class Predictions(BaseModel):
    """One row for each input, in the order of the request."""

    model_config = _examples(
        {
            "rows": [
                {
                    "path": "frog.jpg",
                    "status": "ok",
                    "error": "",
                    "label": "frog",
                    "index": 6,
                    "score": 0.981,
                    "topk": [{"label": "frog", "score": 0.981}, {"label": "cat", "score": 0.007}],
                }
            ]
        }
    )
    rows: list[Prediction]


class Embedding(BaseModel):
    """A row of `vit embed`; the vector is null unless the status is ok."""

    path: str = Field(description="the name that came with the input")
    status: str = Field(description=STATUS)
    error: str
    vector: list[float] | None


class Embeddings(BaseModel):
    """One row for each input, in the order of the request."""

    model_config = _examples(
        {"rows": [{"path": "frog.jpg", "status": "ok", "error": "", "vector": [0.12, -1.5, 0.031]}]}
    )
    rows: list[Embedding]


class Map(BaseModel):
    """How much each patch, or each word, counts; null unless the status is ok."""

    path: str = Field(description="the name that came with the input")
    status: str = Field(description=STATUS)
    error: str
    label: str | None = Field(description="the predicted class")
    score: float | None
    explained: str | None = Field(description="the class that the map explains; null if the method has none")
    map: list[list[float]] | list[float] | None = Field(
        description="rows of patches, top to bottom, as vit.attend gives them; of a text one number per word"
    )
    words: list[str] | None = Field(None, description="of a text: its words and special tokens")


class Maps(BaseModel):
    """One row for each input, in the order of the request."""

    model_config = _examples(
        {
            "rows": [
                {
                    "path": "frog.jpg",
                    "status": "ok",
                    "error": "",
                    "label": "frog",
                    "score": 0.981,
                    "explained": None,
                    "map": [[0.1, 0.2], [0.3, 0.1]],
                    "words": None,
                }
            ]
        }
    )
    rows: list[Map]


class Description(BaseModel):
    """The model, and what it takes."""

    model_config = _examples(
        {
            "model": "cifar10",
            "reads": "image",
            "labels": ["airplane", "automobile"],
            "max_bytes": 33554432,
            "max_inputs": 64,
            "max_characters": 20000,
        }
    )
    model: str
    reads: str = Field(description="image or text")
    labels: list[str] = Field(description="empty for a model of features alone, which has no /predict")
    max_bytes: int = Field(description="of a body")
    max_inputs: int = Field(description="of one request")
    max_characters: int = Field(description="of one text")


class Health(BaseModel):
    """Whether the server is there."""

    model_config = _examples({"status": "ok"})
    status: str


class ErrorDetail(BaseModel):
    """What is wrong."""

    code: str = Field(description="a word for programs")
    message: str = Field(description="one line for people, with the way out")


class Error(BaseModel):
    """Every answer that is none."""

    model_config = _examples(
        {"error": {"code": "unsupported", "message": "a.heic: unsupported: its format is HEIF (HEIC) ..."}}
    )
    error: ErrorDetail


def texts_model(settings: Settings) -> type[BaseModel]:
    """The model of a body of texts, with the limits of a server."""
    text = Annotated[str, Field(max_length=settings.max_characters)]
    texts = Annotated[list[text], Field(min_length=1, max_length=settings.max_inputs)]
    config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"texts": ["A fine film.", "What a mess!"]}]},
    )
    return create_model("Texts", __config__=config, texts=(texts, ...))


def request_body(reads: str, settings: Settings) -> dict[str, Any]:
    """The `requestBody` of the OpenAPI description, for a model that reads images or texts."""
    if reads == "text":
        text = {"type": "string", "maxLength": settings.max_characters}
        texts = texts_model(settings).model_json_schema()
        return {"required": True, "content": {JSON: {"schema": texts}, TEXT: {"schema": text}}}
    picture = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": picture, "minItems": 1, "maxItems": settings.max_inputs}
    form = {"type": "object", "required": ["files"], "properties": {"files": files}}
    return {
        "required": True,
        "content": {
            FORM: {"schema": form},
            "application/octet-stream": {"schema": {**picture, "minLength": 1}},
        },
    }
