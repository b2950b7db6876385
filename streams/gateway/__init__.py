"""Events over HTTP: checked as the engine will check them, stored in Kafka, and only then accepted.

bodies.py      a request's body to records: JSON, arrays, NDJSON, CloudEvents; gzip
checking.py    what the engine's decoder says of them, and the keys that bring repeats together
refusals.py    a fault in words: the field, and what to send instead
connection.py  a producer that is there while Kafka is
storing.py     events to partitions, and what became of each
answers.py     what the sender is told
routes.py      the route
silences.py    the routes that make and end silences, through the same producer
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sinks.board.app import Board, Part
from streams.gateway.routes import event_routes
from streams.gateway.silences import silence_routes
from streams.gateway.storing import WRITE_SECONDS, Store
from streams.security import KafkaSecurity

__all__ = ["gateway"]


@asynccontextmanager
async def gateway(
    board: Board, brokers: str, security: KafkaSecurity | None = None, *, timeout: float = WRITE_SECONDS
) -> AsyncIterator[Part]:
    """The part of `serve` that takes events, and silences. Kafka may be away: then both are answered with 503.

    ``timeout`` is how long a request waits for Kafka, in seconds.
    """
    async with Store(brokers, security, timeout=timeout) as store:
        router = event_routes(board, store)
        router.include_router(silence_routes(board, store, brokers, security))
        yield Part(router, store.task)
