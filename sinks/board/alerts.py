"""The route of alerts: what is pending and firing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from redis.exceptions import RedisError
from starlette.responses import Response

from sinks.board.answers import answer, encode
from sinks.board.mirror import Mirror
from sinks.board.problems import not_known
from sinks.board.queries import dimensions_of
from sinks.board.shapes import Alerts
from sinks.names import ALERTS_PATH
from sinks.redis import reading


def alert_routes(mirror: Mirror) -> APIRouter:
    router = APIRouter(tags=["alerts"])

    @router.get(ALERTS_PATH, summary="Alerts that are pending or firing", responses={200: {"model": Alerts}})
    async def alerts(request: Request) -> Response:
        dimensions_of(request)
        return answer(request, encode({"alerts": await active_alerts(mirror)}))

    return router


async def active_alerts(mirror: Mirror) -> list[reading.Value]:
    """What is pending or firing, of all KPIs. Raises ProblemError: 503 while Redis is away."""
    try:
        return await reading.alerts(mirror.redis, mirror.name)
    except (RedisError, OSError) as error:
        raise not_known(str(mirror.sink_error(error))) from error
