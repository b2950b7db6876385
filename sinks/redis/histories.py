"""The past of all KPIs of a catalog out of Redis, as lint takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
from redis.asyncio import Redis

from engine.catalog.lint import History, Seen
from engine.catalog.model import Catalog
from engine.plan import plan_catalog
from engine.values import KpiFacts
from sinks.names import redis_key, redis_series_key
from sinks.redis.reading import dimensions, newest_of_windows

MOST_SERIES: Final = 20  # of a KPI: those whose newest window ended last
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Window(msgspec.Struct):
    end: datetime


class _Value(msgspec.Struct):
    """What is needed of a value object; the other members are passed over."""

    window: _Window
    definition: str
    state: str
    value: float | None
    reason: str | None


_decode = msgspec.json.Decoder(_Value).decode


async def histories(redis: Redis, catalog: Catalog, *, most_series: int = MOST_SERIES) -> History:
    """Values of closed windows that are whole, of at most so many series of each KPI; a KPI without any is missing."""
    facts = [plan.facts for plan in plan_catalog(catalog).kpis]
    found = {kpi.name: await _series(redis, catalog.name, kpi, most_series) for kpi in facts}
    return {kpi: series for kpi, series in found.items() if series}


async def _series(redis: Redis, name: str, facts: KpiFacts, most: int) -> Sequence[Seen]:
    kpi = facts.name
    answer: Any = await redis.zrevrange(redis_key(name, kpi, "index"), 0, most - 1)
    members = [dims.decode() if isinstance(dims, bytes) else dims for dims in answer]
    async with redis.pipeline(transaction=False) as pipeline:
        for dims in members:
            pipeline.xrange(redis_series_key(name, kpi, "history", dims))
        streams = await pipeline.execute() if members else []
    series = (
        _seen(dims, newest_of_windows(stream), facts.definition) for dims, stream in zip(members, streams, strict=True)
    )
    return [seen for seen in series if len(seen)]


def _seen(dims: str, texts: Iterable[str], definition: str) -> Seen:
    """Without windows that have no value, are open, were not counted from their start, or by another definition."""
    values = [one for one in map(_decode, texts) if one.definition == definition and one.state != "open"]
    known = [(one.window.end, one.value) for one in values if one.value is not None and one.reason is None]
    return Seen(
        dimensions(dims),
        np.array([(end - _EPOCH) // _MICROSECOND for end, _ in known], dtype=np.int64),
        np.array([value for _, value in known], dtype=np.float64),
    )
