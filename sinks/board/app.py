"""The API and the page as one application, and the gate before it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from sinks.board.access import Access
from sinks.board.alerts import alert_routes
from sinks.board.catalog import catalog_routes
from sinks.board.facts import CatalogFacts
from sinks.board.gate import Gate
from sinks.board.judging import Judgement
from sinks.board.limits import Limits, Rates
from sinks.board.metrics import BoardMetrics
from sinks.board.mirror import Mirror
from sinks.board.openapi import describe
from sinks.board.pages import page_router
from sinks.board.problems import tell_problems
from sinks.board.sessions import session_routes
from sinks.board.streaming import Streams
from sinks.board.values import value_routes
from sinks.names import LIVE_PATH, METRICS_PATH, OPENAPI_PATH, READ, READY_PATH

_DESCRIPTION = "Current values of KPIs, as they change, and what they mean. Errors are problem documents (RFC 9457)."


@dataclass(frozen=True, slots=True)
class Board:
    """What the application is made of.

    ``loopback`` says whether the server listens on this machine alone, ``origins`` are those whose pages may use it.
    """

    facts: CatalogFacts
    judgement: Judgement
    mirror: Mirror
    streams: Streams
    access: Access
    limits: Limits
    rates: Rates
    metrics: BoardMetrics
    loopback: bool = True
    origins: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Part:
    """What another part of the program serves beside the board.

    Its routes ask for their rights themselves, with `Access.requires`. The server ends when ``task`` does, and raises
    what it raises.
    """

    router: APIRouter
    task: asyncio.Task[None] | None = None


def build_app(board: Board, parts: Sequence[Part] = ()) -> ASGIApp:
    """The application, behind its gate."""
    pages, nothing_here = page_router()
    app = FastAPI(
        title="Streamgauge",
        version=version("streamgauge"),
        description=_DESCRIPTION,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    board.metrics.watch(board.mirror, board.streams)
    guarded = [
        _metrics(board.metrics),
        catalog_routes(board.facts, board.mirror, board.judgement),
        value_routes(board.mirror, board.streams),
        alert_routes(board.mirror),
    ]
    others = [
        _health(board.mirror),
        session_routes(board.access, board.rates, loopback=board.loopback),
        *(part.router for part in parts),
        pages,
    ]
    for router in guarded:
        app.include_router(router, dependencies=[Depends(board.access.requires(READ))])
    for router in others:
        app.include_router(router)
    tell_problems(app, [*guarded, *others], nothing_here)
    describe(app)
    gate = Gate(app, board.access, board.limits, board.rates, board.metrics, board.origins)
    if not board.origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=board.origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-None-Match", "Last-Event-ID"],
        expose_headers=["ETag", "Link", "Retry-After"],
    )


def _health(mirror: Mirror) -> APIRouter:
    router = APIRouter(tags=["health"], default_response_class=PlainTextResponse)

    @router.get(LIVE_PATH, summary="Whether the process is alive")
    async def live() -> Response:
        return PlainTextResponse("ok\n")

    @router.get(READY_PATH, summary="Whether it can answer")
    async def ready() -> Response:
        if mirror.problem is not None:
            return PlainTextResponse(f"{mirror.problem}\n", 503)
        return PlainTextResponse("ok\n")

    return router


def _metrics(metrics: BoardMetrics) -> APIRouter:
    router = APIRouter(tags=["health"], default_response_class=PlainTextResponse)

    @router.get(METRICS_PATH, summary="Metrics of this process for Prometheus")
    async def exposition() -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router
