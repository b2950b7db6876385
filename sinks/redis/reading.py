"""Values out of Redis, as the objects of ``NAME.values``; fractions are Decimals with all their digits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

from redis.asyncio import Redis

from sinks.names import redis_alerts, redis_key, redis_series_key
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
        return parse(self.json)

    @property
    def at(self) -> tuple[int, int]:
        """When it was written, on Redis' clock: milliseconds since the epoch, and a number within one."""
        ms, _, number = self.id.partition("-")
        return int(ms), int(number)


async def kpis(redis: Redis, name: str) -> list[str]:
    """The KPIs that have current values, in alphabetical order. Walks over all keys: for people, not for loops."""
    begins, _, ends = redis_key(name, "\0", "index").partition("\0")
    pattern = f"{_literally(begins)}*{_literally(ends)}"
    found = [_text(key) async for key in redis.scan_iter(match=pattern, count=1000)]
    return sorted(key.removeprefix(begins).removesuffix(ends) for key in found)


async def current(redis: Redis, name: str, kpi: str, where: Mapping[str, str] | None = None) -> list[Value]:
    """The current values of the KPI's series that have these dimension values (all where None), in order of dims."""
    wanted = [dims for dims in await members(redis, name, kpi) if _matches(dims, where or {})]
    return await _values(redis, name, kpi, wanted)


async def members(redis: Redis, name: str, kpi: str) -> list[str]:
    """The dims of the KPI's series, in order; the values of some may have expired since."""
    answer: Any = await redis.zrange(redis_key(name, kpi, "index"), 0, -1)
    return sorted(map(_text, answer))


async def existing(redis: Redis, name: str, kpi: str) -> set[str]:
    """The dims of the KPI's series that have a current value."""
    found: set[str] = set()
    for part in _parts(await members(redis, name, kpi)):
        async with redis.pipeline(transaction=False) as pipeline:
            for dims in part:
                pipeline.exists(redis_series_key(name, kpi, "current", dims))
            answers = await pipeline.execute()
        found.update(dims for dims, exists in zip(part, answers, strict=True) if exists)
    return found


async def current_texts(
    redis: Redis, name: str, kpi: str, members: Sequence[str]
) -> AsyncIterator[tuple[str, str, str]]:
    """The dims, the order (see `rows.order_text`) and the JSON of each of these series that has a current value."""
    for part in _parts(members):
        async with redis.pipeline(transaction=False) as pipeline:
            for dims in part:
                pipeline.hgetall(redis_series_key(name, kpi, "current", dims))
            answers = await pipeline.execute()
        for dims, answer in zip(part, answers, strict=True):
            if answer:  # else it expired since the index was read
                fields = {_text(field): _text(text) for field, text in answer.items()}
                yield dims, fields["order"], object_of(fields)


async def top(redis: Redis, name: str, kpi: str, n: int = 10, *, lowest: bool = False) -> list[Value]:
    """The series with the highest (or lowest) values of the newest window, best first."""
    answer: Any = await redis.zrange(redis_key(name, kpi, "rank"), 0, n - 1, desc=not lowest)
    return await _values(redis, name, kpi, list(map(_text, answer)))


async def history(
    redis: Redis, name: str, kpi: str, dims: str, since: datetime | None = None, until: datetime | None = None
) -> list[Value]:
    """The newest value of each past window of a series that ends in [since, until], by window end."""
    answer: Any = await redis.xrange(redis_series_key(name, kpi, "history", dims))
    values = map(parse, newest_of_windows(answer))
    return [value for value in values if _within(value, since, until)]


def newest_of_windows(entries: Any) -> list[str]:
    """Of the entries of a history stream the newest JSON of each window, by window end."""
    best: dict[str, tuple[str, str]] = {}
    for _, fields in entries:
        entry = {_text(field): _text(text) for field, text in fields.items()}
        order = entry["order"]
        window_end = order.split(":")[1]
        if window_end not in best or order > best[window_end][0]:
            best[window_end] = (order, entry["json"])
    return [best[window_end][1] for window_end in sorted(best)]


async def alerts(redis: Redis, name: str) -> list[Value]:
    """The active alerts of a catalog, in the order of their keys."""
    answer: Any = await redis.hgetall(redis_alerts(name))
    return [parse(_text(answer[key])) for key in sorted(answer)]


async def updates(
    redis: Redis, name: str, kpis: Iterable[str], last_id: Mapping[str, str] | None = None, block_ms: int = 0
) -> AsyncIterator[tuple[str, Update]]:
    """Changes of these KPIs as they happen, as (kpi, update); for ever, or until nothing came for ``block_ms``.

    ``last_id`` is where to go on, by KPI; without, only what is new. To miss nothing after reading current values, ask
    for `last_ids` before reading them. Needs a client that may wait for an answer
    (`connection.connect(..., blocking_reads=True)`), and of a Cluster one call per KPI.
    """
    positions = {kpi: (last_id or {}).get(kpi) or await _last(redis, redis_key(name, kpi, "updates")) for kpi in kpis}
    while found := await changes(redis, name, positions, block_ms=block_ms):
        for kpi, changed in found.items():
            for update in changed:
                positions[kpi] = update.id
                yield kpi, update


async def changes(
    redis: Redis, name: str, positions: Mapping[str, str], *, block_ms: int, count: int = _AT_ONCE
) -> dict[str, list[Update]]:
    """At most ``count`` changes of each KPI after its position; empty when none came for ``block_ms`` (0: for ever)."""
    kpis = {redis_key(name, kpi, "updates"): kpi for kpi in positions}
    streams: dict[bytes | str | memoryview, Any] = {key: positions[kpi] for key, kpi in kpis.items()}
    answer: Any = await redis.xread(streams, count=count, block=block_ms)
    return {kpis[_text(key)]: list(map(_update, entries)) for key, entries in answer or ()}


async def changes_before(redis: Redis, name: str, kpi: str, position: str, count: int) -> list[Update]:
    """The last ``count`` changes up to a position, oldest first."""
    entries: Any = await redis.xrevrange(redis_key(name, kpi, "updates"), position, "-", count=count)
    return [_update(entry) for entry in reversed(entries)]


async def holds(redis: Redis, name: str, kpi: str, position: str) -> bool:
    """Whether the change at a position is still in the stream: then none after it was trimmed."""
    return bool(await redis.xrange(redis_key(name, kpi, "updates"), position, position))


async def last_ids(redis: Redis, name: str, kpis: Iterable[str]) -> dict[str, str]:
    """Where the updates of these KPIs are now: the ``last_id`` of `updates`."""
    return {kpi: await _last(redis, redis_key(name, kpi, "updates")) for kpi in kpis}


async def _last(redis: Redis, key: str) -> str:
    """The id of the newest entry, so that none is missed between two reads as it would be with ``$``."""
    entries: Any = await redis.xrevrange(key, count=1)
    return _text(entries[0][0]) if entries else "0-0"


async def _values(redis: Redis, name: str, kpi: str, members: list[str]) -> list[Value]:
    return [parse(json) async for _, _, json in current_texts(redis, name, kpi, members)]


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


def _update(entry: Any) -> Update:
    id_, fields = entry
    texts = {_text(field): _text(text) for field, text in fields.items()}
    return Update(_text(id_), texts["dims"], texts["json"])


def _parts(members: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(members)
    while part := list(islice(remaining, _AT_ONCE)):
        yield part


def parse(text: str) -> Value:
    """The object of a value's JSON text."""
    value: Value = json.loads(text, parse_float=Decimal)
    return value


def _text(answer: bytes | str) -> str:
    return answer.decode() if isinstance(answer, bytes) else answer


def _literally(pattern: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\^" else character for character in pattern)
