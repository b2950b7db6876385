"""Silences made and ended over HTTP: records in `NAME.silences`, as the command makes them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

from aiokafka.errors import KafkaError
from fastapi import APIRouter, Body, Depends, Path, Request
from starlette.responses import Response

from sinks.alerting.silence_records import NotASilence, SilenceRecord
from sinks.alerting.silencing import NotSilenced, after, lasting, silence_for, silence_object
from sinks.board.answers import encode
from sinks.board.app import Board
from sinks.board.problems import ProblemError
from sinks.board.shapes import NewSilence, Silence
from sinks.names import SILENCE, SILENCE_PATH, SILENCES_PATH, silences_topic
from streams.gateway.connection import Away
from streams.gateway.storing import Fate, Store
from streams.reading import ReadStalled
from streams.security import KafkaSecurity
from streams.silences import NoTopic, read_silences

RETRY_SECONDS: Final = 5
_READ_SECONDS: Final = 8.0


def silence_routes(board: Board, store: Store, brokers: str, security: KafkaSecurity | None) -> APIRouter:
    router = APIRouter(tags=["alerts"])
    catalog = board.facts.catalog
    permitted = Depends(board.access.requires(SILENCE))

    async def put(id_: str, silence: SilenceRecord | None) -> None:
        """Raises ProblemError: 503."""
        value = None if silence is None else silence.encode()
        try:
            fates: Mapping[int, Fate] = await store.store(silences_topic(catalog.name), {0: (id_.encode(), value, ())})
        except Away as error:
            raise _later(f"nothing was changed: {error}") from error
        if fates[0] is Fate.UNKNOWN:
            raise _later("Kafka did not answer in time; look whether it was changed before you try again")
        if fates[0] is not Fate.STORED:
            raise _later("nothing was changed: Kafka did not take it")

    async def known() -> dict[str, SilenceRecord]:
        """From Kafka itself: what was made a moment ago is among them. Raises ProblemError: 503."""
        try:
            await store.ready()
            async with asyncio.timeout(_READ_SECONDS):
                return await read_silences(catalog.name, brokers, security)
        except (Away, NoTopic, NotASilence, ReadStalled, KafkaError) as error:
            raise _later(f"nothing was changed: {error}") from error
        except TimeoutError as error:
            raise _later("nothing was changed: Kafka does not answer") from error

    @router.post(
        SILENCES_PATH,
        summary="Silence alerts of KPIs from now on",
        status_code=201,
        dependencies=[permitted, Depends(_json_alone)],
        responses={201: {"model": Silence, "description": "It is stored, and counts as soon as a worker delivers."}},
    )
    async def make(request: Request, asked: Annotated[NewSilence, Body()]) -> Response:
        now = datetime.now(UTC)
        caller = request.state.caller.name
        try:
            if asked.for_ is not None and asked.until is not None:
                raise NotSilenced("until", "for and until are two ends; keep one")
            made = silence_for(
                catalog,
                now,
                id=secrets.token_hex(5),
                kpis=asked.kpis,
                comment=asked.comment,
                until=after(now, asked.for_) if asked.for_ is not None else asked.until,
                alerts=asked.alerts,
                where=asked.where,
                by=None if caller == "-" else caller,
            )
        except NotSilenced as error:
            told = f"{error.member}: {error}"
            raise ProblemError(422, told, errors=[("body", error.member, str(error))]) from error
        await put(made.id, made)
        return Response(encode(silence_object(made)), 201, {"Cache-Control": "no-store"}, media_type="application/json")

    @router.delete(SILENCE_PATH, summary="End a silence before its time", status_code=204, dependencies=[permitted])
    async def end(id: Annotated[str, Path(description="The silence's id.")]) -> Response:
        if id not in {one.id for one in lasting(await known(), datetime.now(UTC))}:
            raise ProblemError(404, f"no silence {id!r} is on; {SILENCES_PATH} lists those that are")
        await put(id, None)
        return Response(status_code=204)

    return router


async def _json_alone(request: Request) -> None:
    """Before the body is read. Raises ProblemError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "send application/json")


def _later(detail: str) -> ProblemError:
    return ProblemError(503, detail, headers={"Retry-After": str(RETRY_SECONDS)})
