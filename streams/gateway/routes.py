"""``POST /api/v1/events/{source}``: from a request's head to its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from engine.catalog.model import Source
from sinks.board.answers import encode
from sinks.board.app import Board
from sinks.board.problems import ProblemError
from sinks.names import EVENTS_PATH, send_right
from streams.gateway.answers import AGAIN, STORED, Answer, answer
from streams.gateway.bodies import Carried, UnreadableBody, body_kind
from streams.gateway.checking import Check
from streams.gateway.connection import Away
from streams.gateway.metrics import GatewayMetrics
from streams.gateway.refusals import Explaining
from streams.gateway.shapes import REQUEST_BODY, Taken
from streams.gateway.storing import Fate, Record, Store

MOST_EVENTS: Final = 10_000
RETRY_SECONDS: Final = 5
_INLINE: Final = 200  # events that are checked between other work rather than beside it


@dataclass(frozen=True, slots=True)
class _Target:
    """A source, and what is known of it once."""

    source: Source
    check: Check
    explaining: Explaining

    @property
    def identified(self) -> bool:
        return self.source.identity is not None or self.source.format == "cloudevents"


def event_routes(board: Board, store: Store) -> APIRouter:
    router = APIRouter(tags=["events"])
    metrics = GatewayMetrics(board.metrics.registry)
    targets = {
        name: _Target(source, Check(source), Explaining(source)) for name, source in board.facts.catalog.sources.items()
    }

    @router.post(
        EVENTS_PATH,
        summary="Send events to a source",
        status_code=STORED,
        dependencies=[Depends(board.access.requires(send_right("{source}")))],
        responses={
            202: {"model": Taken, "description": "All are stored: acknowledged by every in-sync replica."},
            207: {"model": Taken, "description": "Some are stored; the others never will be. `results` says which."},
        },
        openapi_extra={"requestBody": REQUEST_BODY},
    )
    async def take(request: Request, source: str) -> Response:
        target = targets.get(source)
        if target is None:
            raise ProblemError(404, f"there is no source {source!r}; the catalog has {', '.join(targets)}")
        try:
            kind = body_kind(request.headers.raw)
            await store.ready()
            most_bytes = board.limits.of(request.url.path).body_bytes
            most_events = min(MOST_EVENTS, board.rates.most("events"))
            carried = kind.events(await request.body(), most_bytes, most_events)
        except UnreadableBody as error:
            metrics.count(source, [{"status": error.status, "reason": error.reason}])
            raise ProblemError(error.status, str(error), more={"reason": error.reason}) from error
        except Away as error:
            raise _later(f"nothing was stored: {error}") from error
        await board.rates.take(request, "events", cost=len(carried.values))
        found = await _stored(target, carried, store)
        metrics.count(source, found.body["results"])
        return _response(found)

    return router


async def _stored(target: _Target, carried: Carried, store: Store) -> Answer:
    now_ms = time.time_ns() // 1_000_000
    if len(carried.values) <= _INLINE:
        checked = target.check.check(carried, now_ms)
    else:
        checked = await asyncio.to_thread(target.check.check, carried, now_ms)
    records: dict[int, Record] = {
        index: (key, carried.values[index], carried.headers) for index, key in checked.keys.items()
    }
    fates: Mapping[int, Fate] = {}
    if records:
        try:
            fates = await store.store(target.source.topic, records)
        except Away:
            fates = dict.fromkeys(records, Fate.NOT_STORED)
    return answer(target.source.name, checked.faults, fates, target.explaining, identified=target.identified)


def _response(found: Answer) -> Response:
    if found.status in (STORED, 207):
        return Response(encode(found.body), found.status, {"Cache-Control": "no-store"}, media_type="application/json")
    if found.status == AGAIN:
        raise _later(found.detail, found.body)
    raise ProblemError(found.status, found.detail, more=found.body)


def _later(detail: str, more: Mapping[str, Any] | None = None) -> ProblemError:
    return ProblemError(503, detail, headers={"Retry-After": str(RETRY_SECONDS)}, more=more or {})
