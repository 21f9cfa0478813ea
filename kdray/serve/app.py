"""The HTTP service: POST /predict, GET /healthz, GET /metrics, and a page of its interface at /docs.

`GET /` lists these.
"""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

import kdray
from kdray.errors import ConfigError
from kdray.export.predict import tagged, words_of
from kdray.serve.batching import Batcher, Overloaded
from kdray.serve.scorer import Row, Scorer
from kdray.serve.settings import ServeSettings


class Texts(BaseModel):
    """What to classify."""

    model_config = ConfigDict(extra="forbid")
    texts: str | list[str | list[str]] = Field(
        description="One text, a list of texts, or a list of lists with one text for each field of the model"
    )


class Words(BaseModel):
    """What to tag: tokens or texts, one of both."""

    model_config = ConfigDict(extra="forbid")
    tokens: list[str] | list[list[str]] | None = Field(default=None, description="One list of tokens, or several")
    texts: str | list[str] | None = Field(default=None, description="One text, or several; their words are the tokens")


class Entity(BaseModel):
    """Some tokens of a row."""

    type: str
    start: int = Field(description="The first token; of a text its first character")
    end: int = Field(description="The token behind the last one; of a text the character")
    tokens: list[str] | None = None
    text: str | None = None
    confidence: float = Field(description="The mean probability of the tags")


class Prediction(BaseModel):
    """Of one text."""

    label: str | None = Field(default=None, description="The most likely class; null if the model is unsure")
    labels: list[str] | None = Field(default=None, description="Of a model that gives several labels a row")
    value: float | None = Field(default=None, description="Of a regression model")
    probabilities: dict[str, float] | None = None
    tokens: list[str] | None = Field(default=None, description="The words of a text, of a model that tags words")
    tags: list[str] | None = Field(default=None, description="Of each token, of a model that tags words")
    entities: list[Entity] | None = Field(default=None, description="Of a model that tags words")
    truncated: bool = Field(description="Whether the model read only the beginning of the text")


class Predictions(BaseModel):
    """One prediction a text, in their order."""

    predictions: list[Prediction]


class Health(BaseModel):
    status: str
    version: str
    model: str
    labels: list[str]
    fields: list[str]
    max_length: int


class Home(BaseModel):
    model: str
    paths: dict[str, str]


PREDICT = "POST /predict"
PATHS = {
    PREDICT: "predictions",
    "GET /healthz": "the model, its labels and fields",
    "GET /metrics": "counters for Prometheus",
    "GET /docs": "the interface",
}


class Metrics:
    """What the service counts, for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        more: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("kdray_requests", "Requests of /predict", ["status"], **more)
        self.rows = Counter("kdray_rows", "Texts that were scored", **more)
        self.truncated = Counter("kdray_rows_truncated", "Texts that were longer than the model reads", **more)
        self.seconds = Histogram(
            "kdray_request_seconds",
            "Seconds of a request of /predict",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            **more,
        )
        self.batch = Histogram("kdray_batch_rows", "Texts of a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128), **more)


def make_app(scorer: Scorer, settings: ServeSettings) -> FastAPI:
    """The service as an ASGI application.

    Args:
        scorer: A loaded classifier.
        settings: Limits, and the token; without one, every caller is answered.
    """
    metrics = Metrics()
    batcher = Batcher(
        scorer,
        settings.batch_rows,
        settings.wait_ms / 1000,
        settings.queue_rows,
        on_batch=lambda rows: metrics.batch.observe(len(rows)),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        work = asyncio.create_task(batcher.run())
        yield
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work

    app = FastAPI(title="kdray", version=kdray.__version__, lifespan=lifespan)
    app.state.batcher = batcher
    app.add_middleware(_LimitBody, limit=settings.body_bytes)
    app.add_middleware(_Counted, metrics=metrics)
    app.state.example = example = _example(scorer)
    app.exception_handler(RequestValidationError)(_refused)
    app.exception_handler(404)(_no_such_path)
    app.exception_handler(405)(_no_such_path)

    def allowed(request: Request) -> None:
        if settings.token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), settings.token.encode()):
            raise HTTPException(401, "Give the token: Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"})

    answer = partial(_answer, scorer, batcher, metrics, settings)

    async def predict(body: Texts) -> Predictions:
        """Classify one text or many."""
        return await answer(body)

    async def tag(body: Words) -> Predictions:
        """Tag the tokens of one row or of many."""
        return await answer(body)

    to_predict = app.post("/predict", dependencies=[Depends(allowed)], response_model_exclude_none=True)
    to_predict(tag if scorer.has_tags else predict)

    @app.get("/")
    async def home() -> Home:
        """What is served, and where."""
        return Home(model=scorer.source.name, paths=PATHS | {PREDICT: f"predictions for {example}"})

    @app.get("/healthz")
    async def healthz() -> Health:
        """Whether the service is up, and what it serves."""
        return Health(
            status="ok",
            version=kdray.__version__,
            model=scorer.source.name,
            labels=list(scorer.labels),
            fields=list(scorer.fields),
            max_length=scorer.max_length,
        )

    @app.get("/metrics", dependencies=[Depends(allowed)])
    async def show_metrics() -> Response:
        """Counters for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    del home, healthz, show_metrics  # FastAPI holds them
    return app


def body_of(scorer: Scorer, text: str) -> dict[str, Any]:
    """A body of a request to the service of this model, with one row."""
    if scorer.has_tags:
        return {"tokens": [text.split()]}
    return {"texts": [text if len(scorer.fields) == 1 else [text] * len(scorer.fields)]}


def _example(scorer: Scorer) -> str:
    return json.dumps(body_of(scorer, "..."))


async def _answer(
    scorer: Scorer, batcher: Batcher, metrics: Metrics, settings: ServeSettings, body: Texts | Words
) -> Predictions:
    given = _given(body, _example(scorer))
    try:
        found = await batcher.score(_rows(scorer, given, settings))
    except Overloaded:
        waiting = f"{settings.queue_rows} texts wait already; try again."
        raise HTTPException(503, waiting, {"Retry-After": "1"}) from None
    metrics.rows.inc(len(found))
    metrics.truncated.inc(sum(cut for _, cut in found))
    return Predictions(predictions=_predictions(scorer, given, found, settings.abstain_below))


def _given(body: Texts | Words, example: str) -> Sequence[str | list[str]]:
    """The rows of a body: texts, pairs of texts, or lists of tokens."""
    tokens: list[Any] | None = body.tokens if isinstance(body, Words) else None
    if (tokens is None) == (body.texts is None):
        raise HTTPException(422, f"give tokens or texts, one of both: send {example}.")
    if tokens is not None:
        return [tokens] if tokens and isinstance(tokens[0], str) else tokens
    return [body.texts] if isinstance(body.texts, str) else body.texts or []


def _rows(scorer: Scorer, every: Sequence[str | list[str]], settings: ServeSettings) -> list[Row]:
    if len(every) > settings.texts:
        raise HTTPException(413, f"{len(every)} texts, but a request may have {settings.texts}; send several requests.")
    rows: list[Row] = []
    for number, given in enumerate(every):
        where = f"{'tokens' if scorer.has_tags and isinstance(given, list) else 'texts'}[{number}]"
        try:
            row = scorer.check([_words(given)] if scorer.has_tags else given)
        except ConfigError as error:
            raise HTTPException(422, f"{where}: {error}.") from None
        length = len(given) if isinstance(given, str) else sum(map(len, given))
        if length > settings.characters:
            raise HTTPException(413, f"{where} has {length} characters, but a text may have {settings.characters}.")
        rows.append(row)
    return rows


def _words(given: str | list[str]) -> list[str]:
    return [word for word, _, _ in words_of(given)] if isinstance(given, str) else given


def _predictions(
    scorer: Scorer, given: Sequence[Any], found: list[tuple[Any, bool]], abstain_below: float | None
) -> list[Prediction]:
    if scorer.has_tags:
        pairs = zip(given, found, strict=True)
        records = ({**tagged(scores, scorer.labels, row), "truncated": cut} for row, (scores, cut) in pairs)
        return [Prediction.model_validate(each) for each in records]
    if not found:
        return []
    least = scorer.abstain_below if abstain_below is None else abstain_below
    values = np.stack([each for each, _ in found])
    made: list[Prediction] = []
    for chosen, row, (_, cut) in zip(scorer.predictions(values), values, found, strict=True):
        if scorer.target == "value":
            made.append(Prediction(value=chosen, truncated=cut))
            continue
        named = {label: round(float(value), 6) for label, value in zip(scorer.labels, row, strict=True)}
        if scorer.target == "labels":
            made.append(Prediction(labels=chosen, probabilities=named, truncated=cut))
        else:
            label = None if least is not None and row.max() < least else chosen
            made.append(Prediction(label=label, probabilities=named, truncated=cut))
    return made


@dataclass(frozen=True)
class _LimitBody:
    """Reads no body further than the limit, whatever length its header gives."""

    app: Any
    limit: int

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size = 0

        async def limited() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.limit:
                raise HTTPException(413, f"The body has more than {self.limit} bytes.")
            return message

        await self.app(scope, limited, send)


@dataclass(frozen=True)
class _Counted:
    """Counts and times the requests of /predict."""

    app: Any
    metrics: Metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/predict":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()

        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.metrics.requests.labels(message["status"]).inc()
                self.metrics.seconds.observe(time.perf_counter() - start)
            await send(message)

        await self.app(scope, receive, counted)


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    asked = f"{request.method} {request.url.path[:100]}"
    return JSONResponse(
        {"detail": f"There is no {asked}; there are {', '.join(PATHS)}."}, error.status_code, error.headers
    )


async def _refused(request: Request, error: Exception) -> Response:
    """What is wrong with a body, in one sentence, without the body itself."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": f"{_sentence(error.errors(), request.app.state.example)}."}, 422)


def _sentence(problems: Sequence[Any], example: str) -> str:
    """
    >>> _sentence([{"type": "missing", "loc": ("body", "texts")}], '{"texts": ["..."]}')
    'the key texts is missing: send {"texts": ["..."]}'
    """
    first = problems[0]
    if first["type"] == "json_invalid":
        return f"the body is not JSON ({first['ctx']['error']}): send {example}"
    if len(first["loc"]) < 2:
        return f"the body is not a JSON object: send {example} with the header content-type: application/json"
    if keys := [found for each in problems if (found := _of_key(each))]:
        return f"{', '.join(keys[:3])}: send {example}"
    key = first["loc"][1]
    what = "no list of tokens" if key == "tokens" else "neither a text nor a list of texts"
    deepest = max((each["loc"] for each in problems), key=len)  # of the kind that fits best
    place = next((part for part in deepest if isinstance(part, int)), None)
    where = key if place is None else f"{key}[{place}]"
    return f"{where} is {what}: send {example}"


def _of_key(problem: Any) -> str | None:
    key = problem["loc"][1]
    if problem["type"] == "missing":
        return f"the key {key} is missing"
    return f"the key {repr(key)[:60]} is unknown" if problem["type"] == "extra_forbidden" else None
