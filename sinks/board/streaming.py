"""Values as they change, as server-sent events: a snapshot first, then every change, and a beat every two seconds.

All streams move in rounds: what arrived since the last one is put together once for all streams that want the same, and
the more streams are open, the longer a round gathers. A stream holds a position in `Changes` and nothing else, so a
client that does not read holds up nobody; the server lets it go after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from types import TracebackType
from typing import Final, Self

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sinks.board.access import LOOK_S, Access, Caller
from sinks.board.changes import Change
from sinks.board.current import CurrentValues
from sinks.board.mirror import Mirror
from sinks.names import READ

BEAT_S: Final = 2.0
SNAPSHOT_VALUES: Final = 100  # in one event: what a client that does not read holds in memory
_CHANGES: Final = 200  # put together in one piece
_GATHER_S: Final = 0.02
_GATHER_EACH_S: Final = 0.000_25  # more for each open stream
_GATHER_MOST_S: Final = 0.4
_MOST_PIECES: Final = 1_000
_BOOLEAN: Final = {False: b"false", True: b"true"}
_RETRY_MS: Final = (1_000, 3_000)  # between these, so that clients of a process that ended do not come back at once


@dataclass(frozen=True, slots=True)
class Wanted:
    """The KPIs of a stream, and the dimension values of the series it wants."""

    kpis: frozenset[str]
    where: tuple[tuple[str, str], ...] = ()


class Streams:
    """Use as ``async with Streams(...) as streams``: entering starts the rounds, leaving ends all open streams.

    ``most`` is how many may be open at a time. Streams of callers that lose their right end within half a second.
    """

    def __init__(self, mirror: Mirror, access: Access, most: int) -> None:
        self._mirror = mirror
        self._access = access
        self._most = most
        self.open = 0
        self._round = asyncio.Event()
        self._beat = b""
        self._beats = 0
        self._pieces: dict[tuple[Wanted, int], tuple[bytes, int]] = {}
        self.task: asyncio.Task[None]
        self._ending = False

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._rounds(), name="board-streams")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    def end(self) -> None:
        """End all streams: they close within this round of the event loop."""
        self._ending = True
        self._next_round()

    @property
    def full(self) -> bool:
        """Whether as many streams are open as may be, or no more are to be opened."""
        return self._ending or self.open >= self._most

    # --- rounds ---

    async def _rounds(self) -> None:
        loop = asyncio.get_running_loop()
        arrived, access = self._mirror.changes.arrived, self._access
        due = loop.time()
        permitted = access.changes
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(due, loop.time() + LOOK_S)):
                    await arrived.wait()
            access.look()
            if loop.time() >= due:
                due = loop.time() + BEAT_S
                self._beats += 1
                self._beat = self._new_beat()
            elif not arrived.is_set() and permitted == access.changes:
                continue
            arrived.clear()
            permitted = access.changes
            self._next_round()
            await asyncio.sleep(min(_GATHER_S + _GATHER_EACH_S * self.open, _GATHER_MOST_S))

    def _next_round(self) -> None:
        self._pieces.clear()
        round_, self._round = self._round, asyncio.Event()
        round_.set()

    def _new_beat(self) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {"now": now, "redis": self._mirror.connected, "lag_ms": self._mirror.lag_ms}
        return b"id: %d-0\n%b" % (self._mirror.changes.told_ms, _event("beat", msgspec.json.encode(told)))

    # --- one stream ---

    async def pieces(
        self, wanted: Wanted, last_event_id: str | None, caller: Caller, gone: asyncio.Event
    ) -> AsyncIterator[bytes]:
        """What a stream sends, until it is ended from either side, or its caller may read no longer."""
        changes, access = self._mirror.changes, self._access
        permitted, beats = access.changes, self._beats
        position = changes.end
        yield f"retry: {random.randint(*_RETRY_MS)}\n\n".encode()
        missed = None if last_event_id is None else changes.resume(_told_ms(last_event_id))
        for part in self._snapshots(wanted) if missed is None else self._told(wanted, missed):
            yield part
        yield self._new_beat()
        while not (self._ending or gone.is_set()):
            if permitted != access.changes:
                if not access.still(caller, READ):
                    return
                permitted = access.changes
            round_ = self._round
            if position < changes.end:
                found = self._pieces.get((wanted, position)) or self._piece(wanted, position)
                if found is not None:
                    piece, position = found
                    if piece:
                        yield piece
                    continue
                changed = changes.after(position, _CHANGES)
                position = changes.end if changed is None else position + len(changed)
                for part in self._snapshots(wanted) if changed is None else self._told(wanted, changed):
                    yield part
            elif beats != self._beats:
                beats = self._beats
                yield self._beat
            elif self._round is round_:
                await round_.wait()

    def _piece(self, wanted: Wanted, position: int) -> tuple[bytes, int] | None:
        """What a stream gets from a position on, and where it is then, which is the same for all that want the same.

        None where it was overtaken, and where it is to get a snapshot.
        """
        changed = self._mirror.changes.after(position, _CHANGES)
        if changed is None or not all(change.json for change in changed):
            return None
        found = self._values(wanted, changed), position + len(changed)
        if len(self._pieces) < _MOST_PIECES:
            self._pieces[wanted, position] = found
        return found

    def _told(self, wanted: Wanted, changed: Sequence[Change]) -> Iterator[bytes]:
        for start in range(0, len(changed), _CHANGES):
            for replaced, some in groupby(changed[start : start + _CHANGES], lambda change: not change.json):
                if not replaced:
                    yield self._values(wanted, some)
                    continue
                for change in some:
                    if change.kpi in wanted.kpis:
                        yield from self._snapshot(self._mirror.kpis[change.kpi], wanted)
                        yield b"id: %d-0\n\n" % change.told_ms

    def _values(self, wanted: Wanted, changed: Iterable[Change]) -> bytes:
        return b"".join(
            _event("value", change.json, change.told_ms)
            for change in changed
            if change.kpi in wanted.kpis and self._mirror.kpis[change.kpi].has(change.dims, wanted.where)
        )

    def _snapshots(self, wanted: Wanted) -> Iterator[bytes]:
        """Nothing of it can be resumed from before its end."""
        told_ms = self._mirror.changes.told_ms
        for kpi, values in self._mirror.kpis.items():
            if kpi in wanted.kpis and values.loaded:
                yield from self._snapshot(values, wanted)
        yield b"id: %d-0\n\n" % told_ms

    def _snapshot(self, values: CurrentValues, wanted: Wanted) -> Iterator[bytes]:
        name = msgspec.json.encode(values.facts.name)
        where = dict(wanted.where)
        after: str | None = None
        first = True
        while first or after is not None:
            heads, after = values.page(where, SNAPSHOT_VALUES, after)
            jsons = b",".join(head.json for head in heads)
            marks = name, _BOOLEAN[first], _BOOLEAN[after is None]
            yield _event("snapshot", b'{"kpi":%b,"first":%b,"last":%b,"values":[%b]}' % (*marks, jsons))
            first = False


class StreamResponse(Response):
    """A response that goes on until the client leaves, its caller may read no longer, or the server ends."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, wanted: Wanted, last_event_id: str | None, caller: Caller) -> None:
        self._streams = streams
        self._given = wanted, last_event_id, caller
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.Event()
        watching = asyncio.create_task(_left(receive, gone))
        self._streams.open += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in self._streams.pieces(*self._given, gone):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._streams.open -= 1
            watching.cancel()


async def _left(receive: Receive, gone: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _event(kind: str, data: bytes, told_ms: int | None = None) -> bytes:
    id_ = b"" if told_ms is None else b"id: %d-0\n" % told_ms
    return b"%bevent: %b\ndata: %b\n\n" % (id_, kind.encode(), data)


def _told_ms(last_event_id: str) -> int:
    """The time in an event's id; -1 for what is none."""
    ms = last_event_id.partition("-")[0]
    return int(ms) if ms.isascii() and ms.isdigit() and len(ms) < 20 else -1
