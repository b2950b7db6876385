"""Messages of ``NAME.values``, turned into the history of series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from engine.values import KpiFacts
from sinks.redis.rows import order_text, refill_payload

Messages = Iterable[tuple[bytes, bytes]] | AsyncIterable[tuple[bytes, bytes]]  # (key, value)
_AT_ONCE: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Window(msgspec.Struct):
    end: datetime


class _Value(msgspec.Struct):
    kpi: str
    window: _Window
    state: str
    revision: int
    progress: int
    definition: str


async def by_series(messages: Messages, kpis: Mapping[str, KpiFacts]) -> AsyncIterator[tuple[KpiFacts, bytes]]:
    """The closed and revised values of these KPIs as arguments of ``refill.lua``, about a thousand values each.

    Values of an earlier definition count as older than those of the present one: they do not say which sequence it had.
    """
    gathered: dict[str, dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    counts: dict[str, int] = defaultdict(int)
    decode = msgspec.json.Decoder(_Value).decode
    async for key, message in _each(messages):
        value = decode(message)
        kpi = kpis.get(value.kpi)
        if kpi is None or value.state == "open":
            continue
        end_us = (value.window.end - _EPOCH) // _MICROSECOND
        sequence = kpi.definition_sequence if value.definition == kpi.definition else 0
        order = order_text(sequence, end_us, value.progress, value.revision)
        dims = key.decode().partition("|")[2]
        gathered[kpi.name][dims].append((order, message.decode()))
        counts[kpi.name] += 1
        if counts[kpi.name] >= _AT_ONCE:
            del counts[kpi.name]
            yield kpi, refill_payload(gathered.pop(kpi.name))
    for name, series in gathered.items():
        yield kpis[name], refill_payload(series)


async def _each(messages: Messages) -> AsyncIterator[tuple[bytes, bytes]]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message
