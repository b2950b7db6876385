"""Values out of Redis, as the objects of ``NAME.values``; fractions are Decimals with all their digits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

from redis.asyncio import Redis

from sinks.names import redis_key, redis_series_key
from sinks.redis.rows import object_of

Value = dict[str, Any]
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Update:
    """One change: ``id`` is where to go on after it."""

    id: str
    dims: str
    json: str

    @property
    def value(self) -> Value:
        return _parse(self.json)


async def kpis(redis: Redis, name: str) -> list[str]:
    """The KPIs that have current values, in alphabetical order. Walks over all keys: for people, not for loops."""
    begins, _, ends = redis_key(name, "\0", "index").partition("\0")
    pattern = f"{_literally(begins)}*{_literally(ends)}"
    found = [_text(key) async for key in redis.scan_iter(match=pattern, count=1000)]
    return sorted(key.removeprefix(begins).removesuffix(ends) for key in found)


async def current(redis: Redis, name: str, kpi: str, where: Mapping[str, str] | None = None) -> list[Value]:
    """The current values of the KPI's series that have these dimension values (all where None), in order of dims."""
    answer: Any = await redis.zrange(redis_key(name, kpi, "index"), 0, -1)
    members = sorted(map(_text, answer))
    return await _values(redis, name, kpi, [dims for dims in members if _matches(dims, where or {})])


async def top(redis: Redis, name: str, kpi: str, n: int = 10, *, lowest: bool = False) -> list[Value]:
    """The series with the highest (or lowest) values of the newest window, best first."""
    answer: Any = await redis.zrange(redis_key(name, kpi, "rank"), 0, n - 1, desc=not lowest)
    return await _values(redis, name, kpi, list(map(_text, answer)))


async def history(
    redis: Redis, name: str, kpi: str, dims: str, since: datetime | None = None, until: datetime | None = None
) -> list[Value]:
    """The newest value of each past window of a series that ends in [since, until], by window end."""
    best: dict[str, tuple[str, str]] = {}
    answer: Any = await redis.xrange(redis_series_key(name, kpi, "history", dims))
    for _, fields in answer:
        entry = {_text(field): _text(text) for field, text in fields.items()}
        order = entry["order"]
        window_end = order.split(":")[1]
        if window_end not in best or order > best[window_end][0]:
            best[window_end] = (order, entry["json"])
    values = [_parse(best[window_end][1]) for window_end in sorted(best)]
    return [value for value in values if _within(value, since, until)]


async def updates(
    redis: Redis, name: str, kpis: Iterable[str], last_id: Mapping[str, str] | None = None, block_ms: int = 0
) -> AsyncIterator[tuple[str, Update]]:
    """Changes of these KPIs as they happen, as (kpi, update); for ever, or until nothing came for ``block_ms``.

    ``last_id`` is where to go on, by KPI; without, only what is new. To miss nothing after reading current values, ask
    for `last_ids` before reading them. Needs a client that may wait for an answer
    (`connection.connect(..., blocking_reads=True)`), and of a Cluster one call per KPI.
    """
    streams: dict[bytes | str | memoryview, Any] = {}
    names: dict[str, str] = {}
    for kpi in kpis:
        key = redis_key(name, kpi, "updates")
        names[key] = kpi
        streams[key] = (last_id or {}).get(kpi) or await _last(redis, key)
    while True:
        answer: Any = await redis.xread(streams, count=_AT_ONCE, block=block_ms)
        if not answer:
            return
        for key_bytes, entries in answer:
            key = _text(key_bytes)
            for id_bytes, fields in entries:
                entry = {_text(field): _text(text) for field, text in fields.items()}
                streams[key] = _text(id_bytes)
                yield names[key], Update(streams[key], entry["dims"], entry["json"])


async def last_ids(redis: Redis, name: str, kpis: Iterable[str]) -> dict[str, str]:
    """Where the updates of these KPIs are now: the ``last_id`` of `updates`."""
    return {kpi: await _last(redis, redis_key(name, kpi, "updates")) for kpi in kpis}


async def _last(redis: Redis, key: str) -> str:
    """The id of the newest entry, so that none is missed between two reads as it would be with ``$``."""
    entries: Any = await redis.xrevrange(key, count=1)
    return _text(entries[0][0]) if entries else "0-0"


async def _values(redis: Redis, name: str, kpi: str, members: list[str]) -> list[Value]:
    values: list[Value] = []
    for part in _parts(members):
        async with redis.pipeline(transaction=False) as pipeline:
            for dims in part:
                pipeline.hgetall(redis_series_key(name, kpi, "current", dims))
            answers = await pipeline.execute()
        for answer in answers:
            if answer:  # else it expired since the index was read
                fields = {_text(field): _text(text) for field, text in answer.items()}
                values.append(_parse(object_of(fields)))
    return values


def dimensions(dims: str) -> dict[str, str]:
    """``region=EU,store=12`` as a mapping, decoded; empty for ``-``."""
    if dims == "-":
        return {}
    pairs = (pair.partition("=") for pair in dims.split(","))
    return {unquote(name): unquote(value) for name, _, value in pairs}


def _matches(dims: str, where: Mapping[str, str]) -> bool:
    found = dimensions(dims) if where else {}
    return all(found.get(name) == value for name, value in where.items())


def _within(value: Value, since: datetime | None, until: datetime | None) -> bool:
    end = datetime.fromisoformat(value["window"]["end"])
    return (since is None or end >= since) and (until is None or end <= until)


def _parts(members: list[str]) -> Iterator[list[str]]:
    remaining = iter(members)
    while part := list(islice(remaining, _AT_ONCE)):
        yield part


def _parse(text: str) -> Value:
    value: Value = json.loads(text, parse_float=Decimal)
    return value


def _text(answer: bytes | str) -> str:
    return answer.decode() if isinstance(answer, bytes) else answer


def _literally(pattern: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\^" else character for character in pattern)
