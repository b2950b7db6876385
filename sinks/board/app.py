"""The API and the page as one application."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse, Response

from sinks.board.catalog import catalog_routes
from sinks.board.facts import CatalogFacts
from sinks.board.mirror import Mirror
from sinks.board.pages import page_router
from sinks.board.problems import tell_problems
from sinks.board.streaming import Streams
from sinks.board.values import value_routes
from sinks.names import LIVE_PATH, OPENAPI_PATH, READY_PATH


def build_app(facts: CatalogFacts, mirror: Mirror, streams: Streams) -> FastAPI:
    app = FastAPI(
        title="Streamgauge",
        version=version("streamgauge"),
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    tell_problems(app)
    app.include_router(_health(mirror))
    app.include_router(catalog_routes(facts, mirror))
    app.include_router(value_routes(mirror, streams))
    app.include_router(page_router())
    return app


def _health(mirror: Mirror) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get(LIVE_PATH, summary="Whether the process is alive", response_class=PlainTextResponse)
    async def live() -> Response:
        return PlainTextResponse("ok\n")

    @router.get(READY_PATH, summary="Whether it can answer", response_class=PlainTextResponse)
    async def ready() -> Response:
        if mirror.problem is not None:
            return PlainTextResponse(f"{mirror.problem}\n", 503)
        return PlainTextResponse("ok\n")

    return router
