"""The HTTP service: POST /predict, GET /healthz, GET /metrics, and a page of its interface at /docs.

`GET /` lists these.
"""

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
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
from kdray.serve.batching import Batcher, Overloaded
from kdray.serve.scorer import Scorer
from kdray.serve.settings import ServeSettings

EXAMPLE = '{"texts": ["..."]}'


class Texts(BaseModel):
    """What to classify."""

    model_config = ConfigDict(extra="forbid")
    texts: str | list[str | list[str]] = Field(
        description="One text, a list of texts, or a list of lists with one text for each field of the model"
    )


class Prediction(BaseModel):
    """Of one text."""

    label: str | None = Field(default=None, description="The most likely class; null if the model is unsure")
    labels: list[str] | None = Field(default=None, description="Of a model that gives several labels a row")
    value: float | None = Field(default=None, description="Of a regression model")
    probabilities: dict[str, float] | None = None
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


PATHS = {
    "POST /predict": f"predictions for {EXAMPLE}",
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
    app.exception_handler(RequestValidationError)(_refused)
    app.exception_handler(404)(_no_such_path)
    app.exception_handler(405)(_no_such_path)

    def allowed(request: Request) -> None:
        if settings.token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), settings.token.encode()):
            raise HTTPException(401, "Give the token: Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"})

    @app.post("/predict", dependencies=[Depends(allowed)], response_model_exclude_none=True)
    async def predict(body: Texts) -> Predictions:
        """Classify one text or many."""
        rows = _rows(scorer, body.texts, settings)
        try:
            found = await batcher.score(rows)
        except Overloaded:
            raise HTTPException(
                503, f"{settings.queue_rows} texts wait already; try again.", {"Retry-After": "1"}
            ) from None
        metrics.rows.inc(len(rows))
        metrics.truncated.inc(sum(cut for _, cut in found))
        least = scorer.abstain_below if settings.abstain_below is None else settings.abstain_below
        return Predictions(predictions=_predictions(scorer, found, least))

    @app.get("/")
    async def home() -> Home:
        """What is served, and where."""
        return Home(model=scorer.source.name, paths=PATHS)

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

    del predict, home, healthz, show_metrics  # FastAPI holds them
    return app


def _rows(scorer: Scorer, texts: str | list[str | list[str]], settings: ServeSettings) -> list[tuple[str, ...]]:
    every = [texts] if isinstance(texts, str) else texts
    if len(every) > settings.texts:
        raise HTTPException(413, f"{len(every)} texts, but a request may have {settings.texts}; send several requests.")
    rows: list[tuple[str, ...]] = []
    for number, text in enumerate(every):
        try:
            row = scorer.check(text)
        except ConfigError as error:
            raise HTTPException(422, f"texts[{number}]: {error}.") from None
        if (length := sum(map(len, row))) > settings.characters:
            raise HTTPException(
                413, f"texts[{number}] has {length} characters, but a text may have {settings.characters}."
            )
        rows.append(row)
    return rows


def _predictions(scorer: Scorer, found: list[tuple[Any, bool]], abstain_below: float | None) -> list[Prediction]:
    if not found:
        return []
    values = np.stack([each for each, _ in found])
    made: list[Prediction] = []
    for chosen, row, (_, cut) in zip(scorer.predictions(values), values, found, strict=True):
        if scorer.task == "regression":
            made.append(Prediction(value=chosen, truncated=cut))
            continue
        named = {label: round(float(value), 6) for label, value in zip(scorer.labels, row, strict=True)}
        if scorer.task == "multi_label":
            made.append(Prediction(labels=chosen, probabilities=named, truncated=cut))
        else:
            label = None if abstain_below is not None and row.max() < abstain_below else chosen
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


async def _refused(_: Request, error: Exception) -> Response:
    """What is wrong with a body, in one sentence, without the body itself."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": f"{_sentence(error.errors())}."}, 422)


def _sentence(problems: Sequence[Any]) -> str:
    """
    >>> _sentence([{"type": "missing", "loc": ("body", "texts")}])
    'the key texts is missing: send {"texts": ["..."]}'
    """
    first = problems[0]
    if first["type"] == "json_invalid":
        return f"the body is not JSON ({first['ctx']['error']}): send {EXAMPLE}"
    if len(first["loc"]) < 2:
        return f"the body is not a JSON object: send {EXAMPLE} with the header content-type: application/json"
    if keys := [found for each in problems if (found := _of_key(each))]:
        return f"{', '.join(keys[:3])}: send {EXAMPLE}"
    place = next((part for each in problems for part in each["loc"] if isinstance(part, int)), None)
    where = "texts" if place is None else f"texts[{place}]"
    return f"{where} is neither a text nor a list of texts: send {EXAMPLE}"


def _of_key(problem: Any) -> str | None:
    key = problem["loc"][1]
    if problem["type"] == "missing":
        return f"the key {key} is missing"
    return f"the key {repr(key)[:60]} is unknown" if problem["type"] == "extra_forbidden" else None
