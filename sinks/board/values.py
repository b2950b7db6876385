"""The routes of values: current, highest, past, and as they change."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query, Request
from redis.exceptions import RedisError
from starlette.responses import Response

from engine.series import dims_text
from sinks.board import shapes
from sinks.board.answers import answer, encode, etag_of, next_link
from sinks.board.current import CurrentValues, Head
from sinks.board.mirror import Mirror
from sinks.board.problems import ProblemError, not_known, wrong_query
from sinks.board.streaming import StreamResponse, Streams, Wanted
from sinks.names import HISTORY_PATH, STREAM_PATH, TOP_PATH, VALUES_PATH
from sinks.redis import reading

MOST_VALUES: Final = 10_000
_CACHED_BYTES: Final = 8 * 2**20  # of a KPI, of its present version

KpiName = Annotated[str, Path(description="A KPI of the catalog.")]
_DIMENSIONS: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "dimensions",
            "in": "query",
            "description": "Any dimension of the KPI: only series with this value, as region=EU.",
            "style": "form",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        }
    ]
}
Cursor = Annotated[str | None, Query(description="Where to go on: `next` of the page before.")]


class ValueAnswers:
    """Bodies of pages of values, made once for each version of a KPI."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[int, int, dict[object, tuple[bytes, str, str | None]]]] = {}

    def page(
        self, values: CurrentValues, where: Mapping[str, str], limit: int, after: str | None
    ) -> tuple[bytes, str, str | None]:
        """Body, ETag and the cursor of the next page."""
        name = values.facts.name
        version, size, bodies = self._made.get(name, (-1, 0, {}))
        if version != values.version:
            version, size, bodies = values.version, 0, {}
        key = (tuple(sorted(where.items())), limit, after)
        found = bodies.get(key)
        if found is None:
            heads, last = values.page(where, limit, after)
            cursor = None if last is None else _cursor(last)
            body = values_body(name, heads, b',"next":' + encode(cursor))
            found = body, etag_of(body), cursor
            if size + len(body) <= _CACHED_BYTES:
                bodies[key] = found
                size += len(body)
        self._made[name] = version, size, bodies
        return found


def values_body(kpi: str, heads: Iterable[Head], rest: bytes = b"") -> bytes:
    return b'{"kpi":%b,"values":[%b]%b}' % (encode(kpi), b",".join(head.json for head in heads), rest)


def value_routes(mirror: Mirror, streams: Streams) -> APIRouter:
    router = APIRouter(tags=["values"])
    answers = ValueAnswers()

    def known(kpi: str) -> CurrentValues:
        values = mirror.kpis.get(kpi)
        if values is None:
            raise ProblemError(404, f"there is no KPI {kpi!r}; /api/v1/kpis lists them")
        return values

    def loaded(kpi: str) -> CurrentValues:
        values = known(kpi)
        if not values.loaded:
            raise not_known(f"the values of {kpi} have not been read from Redis yet: {mirror.problem}")
        return values

    @router.get(
        VALUES_PATH,
        summary="Current values of a KPI's series, in the order of their dimensions",
        responses={200: {"model": shapes.Values}},
        openapi_extra=_DIMENSIONS,
    )
    async def current(
        request: Request,
        kpi: KpiName,
        limit: Annotated[int, Query(ge=1, le=MOST_VALUES)] = 1_000,
        cursor: Cursor = None,
    ) -> Response:
        values = loaded(kpi)
        where = dimensions_of(request, values.dimensions, {"limit", "cursor"})
        body, etag, next_ = answers.page(values, where, limit, None if cursor is None else _after(cursor))
        return answer(request, body, etag, next_link(request, next_))

    @router.get(
        TOP_PATH,
        summary="The highest (or lowest) values of the newest window",
        responses={200: {"model": shapes.Top}},
    )
    async def top(
        request: Request,
        kpi: KpiName,
        n: Annotated[int, Query(ge=1, le=1_000)] = 10,
        lowest: bool = False,
    ) -> Response:
        values = loaded(kpi)
        dimensions_of(request, (), {"n", "lowest"})
        return answer(request, values_body(kpi, values.top(n, lowest=lowest)))

    @router.get(
        HISTORY_PATH,
        summary="The values of a series' past windows, by their ends",
        responses={200: {"model": shapes.History}},
        openapi_extra=_DIMENSIONS,
    )
    async def history(
        request: Request,
        kpi: KpiName,
        from_: Annotated[datetime | None, Query(alias="from", description="Windows that end at it or later.")] = None,
        to: Annotated[datetime | None, Query(description="Windows that end at it or before.")] = None,
    ) -> Response:
        values = known(kpi)
        for name, moment in (("from", from_), ("to", to)):
            if moment is not None and moment.tzinfo is None:
                raise wrong_query(name, "write a time with its offset, as 2026-11-23T00:00:00Z")
        where = dimensions_of(request, values.dimensions, {"from", "to"})
        if missing := [name for name in values.dimensions if name not in where]:
            raise wrong_query(missing[0], f"history is of one series: give a value of {', '.join(missing)}")
        dims = dims_text(values.dimensions, [where[name] for name in values.dimensions])
        try:
            found = await reading.history(mirror.redis, mirror.name, kpi, dims, from_, to)
        except (RedisError, OSError) as error:
            raise not_known(str(mirror.sink_error(error))) from error
        told: dict[str, Any] = {"kpi": kpi, "dims": found[-1]["dims"] if found else where, "values": found}
        return answer(request, encode(told))

    @router.get(
        STREAM_PATH,
        summary="Values as they change, as server-sent events",
        status_code=200,
        response_class=StreamResponse,
        openapi_extra=_DIMENSIONS,
    )
    async def stream(
        request: Request,
        kpi: Annotated[list[str] | None, Query(description="Only these KPIs; may be repeated.")] = None,
        last_event_id: Annotated[str | None, Query(description="As the header Last-Event-ID.")] = None,
        resumed: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    ) -> Response:
        named = {name: known(name) for name in dict.fromkeys(kpi or mirror.kpis)}
        offered = set.union(*(set(values.dimensions) for values in named.values()), set())
        where = dimensions_of(request, tuple(sorted(offered)), {"kpi", "last_event_id"})
        wanted = frozenset(name for name, values in named.items() if where.keys() <= set(values.dimensions))
        if not wanted or (kpi and len(wanted) < len(named)):
            raise wrong_query(next(iter(where)), "not all of these KPIs are grouped by it")
        if streams.full:
            raise not_known("as many streams are open as this process serves")
        asked = Wanted(wanted, tuple(sorted(where.items())))
        return StreamResponse(streams, asked, resumed or last_event_id, request.state.caller)

    return router


def dimensions_of(request: Request, dimensions: tuple[str, ...], others: set[str]) -> dict[str, str]:
    """The dimension values that a query asks for: everything in it but the parameters of the route."""
    where: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in others:
            continue
        if name not in dimensions:
            offered = ", ".join((*dimensions, *sorted(others)))
            raise wrong_query(name, f"is neither a dimension of the KPI nor a parameter; there is {offered}")
        if name in where:
            raise wrong_query(name, "is given twice")
        where[name] = value
    return where


def _cursor(dims: str) -> str:
    return base64.urlsafe_b64encode(dims.encode()).decode().rstrip("=")


def _after(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise wrong_query("cursor", "is not one that a page before gave") from error
