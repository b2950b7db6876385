"""The routes of alerts and silences: what is pending and firing, and of what nobody is told for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from redis.exceptions import RedisError
from starlette.responses import Response

from sinks.alerting.silence_records import NotASilence, SilenceRecord, decode_silence
from sinks.alerting.silencing import lasting, silence_object
from sinks.board.answers import answer, encode
from sinks.board.mirror import Mirror
from sinks.board.problems import not_known, wrong_query
from sinks.board.queries import dimensions_of
from sinks.board.shapes import Alerts, Silences
from sinks.names import ALERTS_PATH, SILENCES_PATH, redis_silences
from sinks.redis import reading


def alert_routes(mirror: Mirror) -> APIRouter:
    router = APIRouter(tags=["alerts"])

    @router.get(ALERTS_PATH, summary="Alerts that are pending or firing", responses={200: {"model": Alerts}})
    async def alerts(
        request: Request,
        kpi: Annotated[str | None, Query(description="Only those of this KPI.")] = None,
        state: Annotated[Literal["pending", "firing"] | None, Query(description="Only those in this state.")] = None,
    ) -> Response:
        dimensions_of(request)
        if kpi is not None and kpi not in mirror.kpis:
            raise wrong_query("kpi", f"there is no KPI {kpi!r}; /api/v1/kpis lists them")
        found = [
            one
            for one in await active_alerts(mirror)
            if kpi in (None, one.get("kpi")) and state in (None, one.get("state"))
        ]
        return answer(request, encode({"alerts": found}))

    @router.get(
        SILENCES_PATH,
        summary="Silences made by command or here that have not ended, by their ends",
        responses={200: {"model": Silences}},
    )
    async def silences(request: Request) -> Response:
        dimensions_of(request)
        found = lasting(await _silences(mirror), datetime.now(UTC))
        return answer(request, encode({"silences": [silence_object(one) for one in found]}))

    return router


async def active_alerts(mirror: Mirror) -> list[reading.Value]:
    """What is pending or firing, of all KPIs. Raises ProblemError: 503 while Redis is away."""
    try:
        return await reading.alerts(mirror.redis, mirror.name)
    except (RedisError, OSError) as error:
        raise not_known(str(mirror.sink_error(error))) from error


async def _silences(mirror: Mirror) -> dict[str, SilenceRecord]:
    """By their ids. Raises ProblemError: 503."""
    try:
        held: Any = await mirror.redis.hgetall(redis_silences(mirror.name))
        return {id_.decode(): decode_silence(text) for id_, text in held.items()}
    except (RedisError, OSError) as error:
        raise not_known(str(mirror.sink_error(error))) from error
    except NotASilence as error:
        raise not_known(str(error)) from error
