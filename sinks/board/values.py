"""The routes of values: current, highest, past, and as they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Header, Query, Request
from redis.exceptions import RedisError
from starlette.responses import Response

from engine.series import dims_text
from sinks.board import shapes
from sinks.board.answers import answer, encode, etag_of, next_link
from sinks.board.current import CurrentValues, Head
from sinks.board.mirror import Mirror
from sinks.board.problems import ProblemError, not_known, wrong_query
from sinks.board.queries import DIMENSIONS, Cursor, KpiName, Moment, after, cursor_after, dimensions_of
from sinks.board.streaming import StreamResponse, Streams, Wanted
from sinks.names import HISTORY_PATH, STREAM_PATH, TOP_PATH, VALUES_PATH
from sinks.redis import reading

MOST_VALUES: Final = 10_000
_CACHED_BYTES: Final = 8 * 2**20  # of a KPI, of its present version
_EACH_BYTES: Final = 1_000  # of an answer, beside its body


class Body(NamedTuple):
    json: bytes
    etag: str
    next: str | None  # cursor of the next page


class ValueAnswers:
    """Bodies of answers, made once for each version of a KPI."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[int, int, dict[object, Body]]] = {}

    def page(self, values: CurrentValues, where: Mapping[str, str], limit: int, after: str | None) -> Body:
        def made() -> Body:
            heads, last = values.page(where, limit, after)
            cursor = None if last is None else cursor_after(last)
            return _body(values, heads, b',"next":' + encode(cursor), cursor)

        return self._once(values, (tuple(sorted(where.items())), limit, after), made)

    def top(self, values: CurrentValues, n: int, *, lowest: bool) -> Body:
        return self._once(values, (n, lowest), lambda: _body(values, values.top(n, lowest=lowest)))

    def _once(self, values: CurrentValues, key: object, make: Callable[[], Body]) -> Body:
        name = values.facts.name
        version, size, bodies = self._made.get(name, (-1, 0, {}))
        if version != values.version:
            version, size, bodies = values.version, 0, {}
        found = bodies.get(key)
        if found is None:
            found = make()
            if size + len(found.json) + _EACH_BYTES <= _CACHED_BYTES:
                bodies[key] = found
                size += len(found.json) + _EACH_BYTES
        self._made[name] = version, size, bodies
        return found


def _body(values: CurrentValues, heads: Iterable[Head], rest: bytes = b"", cursor: str | None = None) -> Body:
    jsons = b",".join(head.json for head in heads)
    json = b'{"kpi":%b,"values":[%b]%b}' % (encode(values.facts.name), jsons, rest)
    return Body(json, etag_of(json), cursor)


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

    def age() -> dict[str, str]:
        """While Redis is away: how old what is known is."""
        return {} if mirror.connected else {"Age": str(mirror.lag_ms // 1000)}

    @router.get(
        VALUES_PATH,
        summary="Current values of a KPI's series, in the order of their dimensions",
        responses={200: {"model": shapes.Values}},
        openapi_extra=DIMENSIONS,
    )
    async def current(
        request: Request,
        kpi: KpiName,
        limit: Annotated[int, Query(ge=1, le=MOST_VALUES)] = 1_000,
        cursor: Cursor = None,
    ) -> Response:
        values = loaded(kpi)
        where = dimensions_of(request, values.dimensions)
        found = answers.page(values, where, limit, None if cursor is None else after(cursor))
        return answer(request, found.json, found.etag, {**next_link(request, found.next), **age()})

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
        dimensions_of(request)
        found = answers.top(values, n, lowest=lowest)
        return answer(request, found.json, found.etag, age())

    @router.get(
        HISTORY_PATH,
        summary="The values of a series' past windows, by their ends",
        responses={200: {"model": shapes.History}},
        openapi_extra=DIMENSIONS,
    )
    async def history(
        request: Request,
        kpi: KpiName,
        from_: Annotated[Moment | None, Query(alias="from", description="Windows that end at it or later.")] = None,
        to: Annotated[Moment | None, Query(description="Windows that end at it or before.")] = None,
    ) -> Response:
        values = known(kpi)
        if from_ is not None and to is not None and from_ > to:
            raise wrong_query("from", "is after to")
        where = dimensions_of(request, values.dimensions)
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
        openapi_extra=DIMENSIONS,
    )
    async def stream(
        request: Request,
        kpi: Annotated[list[str] | None, Query(description="Only these KPIs; may be repeated.")] = None,
        last_event_id: Annotated[str | None, Query(description="As the header Last-Event-ID.")] = None,
        resumed: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    ) -> Response:
        named = {name: known(name) for name in dict.fromkeys(kpi or mirror.kpis)}
        offered = set.union(*(set(values.dimensions) for values in named.values()), set())
        where = dimensions_of(request, tuple(sorted(offered)), repeated=("kpi",))
        wanted = frozenset(name for name, values in named.items() if where.keys() <= set(values.dimensions))
        if not wanted or (kpi and len(wanted) < len(named)):
            raise wrong_query(next(iter(where)), "not all of these KPIs are grouped by it")
        if streams.full:
            raise not_known("as many streams are open as this process serves")
        asked = Wanted(wanted, tuple(sorted(where.items())))
        return StreamResponse(streams, asked, resumed or last_event_id, request.state.caller)

    return router
