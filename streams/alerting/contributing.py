"""What contributes most to an alert, as Redis has it: finer series of the same, or drivers, at its window's end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.alerts.contributions import Contribution, Part, ranked, siblings
from engine.alerts.muting import rule_of, ways
from engine.catalog.model import Catalog
from sinks.alerting.notices import Notice, dimensions
from sinks.names import redis_key
from sinks.redis import reading
from sinks.redis.connection import RedisAddress, connect

WAIT_S: Final = 2.0
_MOST_HISTORIES: Final = 200
_KEPT: Final = 1_000


class Contributing:
    """Asks Redis with a connection of its own; what Redis does not say in time is left out."""

    def __init__(self, catalog: Catalog, address: RedisAddress | None) -> None:
        self._catalog = catalog
        self._redis: Redis | None = connect(address) if address is not None else None
        self._known: dict[tuple[str, tuple[int, int]], list[Contribution]] = {}

    async def of(self, notice: Notice) -> list[Contribution]:
        asked = (notice.key, notice.order)
        if asked not in self._known:
            if len(self._known) > _KEPT:
                self._known.clear()
            self._known[asked] = await self._asked(notice)
        return self._known[asked]

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _asked(self, notice: Notice) -> list[Contribution]:
        kpi = self._catalog.kpis.get(notice.kpi)
        rule = rule_of(kpi, notice.alert) if kpi is not None else None
        window = notice.members.window
        if self._redis is None or kpi is None or rule is None or window is None or window.end is None:
            return []
        if notice.value is None or notice.state != "firing":
            return []
        wrong = ways(rule.when, notice.value, notice.bound)
        try:
            async with asyncio.timeout(WAIT_S):
                finer = await self._fewest([each.name for each, _ in siblings(kpi, self._catalog)])
                for names in ([finer] if finer else [], kpi.drivers):
                    parts = [part for name in names for part in await self._parts(name, notice, window.end)]
                    if found := ranked(parts, wrong):
                        return found
        except (TimeoutError, RedisError, OSError):
            pass
        return []

    async def _fewest(self, kpis: list[str]) -> str | None:
        """Of these KPIs the one with the fewest series."""
        assert self._redis is not None
        counts = {kpi: await self._redis.zcard(redis_key(self._catalog.name, kpi, "index")) for kpi in kpis}
        return min((kpi for kpi in counts if counts[kpi]), key=lambda kpi: (counts[kpi], kpi), default=None)

    async def _parts(self, kpi: str, notice: Notice, end: str) -> list[Part]:
        assert self._redis is not None
        shared = self._catalog.kpis[kpi].group_by
        histories = 0
        found: list[Part] = []
        name = self._catalog.name
        members = [
            (dims, of)
            for dims in await reading.members(self._redis, name, kpi)
            for of in (dimensions(dims),)
            if all(of[dimension] == notice.dims[dimension] for dimension in shared if dimension in notice.dims)
        ]
        current: dict[str, Mapping[str, Any]] = {}
        async for dims, _, text in reading.current_texts(self._redis, name, kpi, [dims for dims, _ in members]):
            current[dims] = reading.parse(text)
        for dims, of in members:
            value = current.get(dims)
            if value is not None and value["window"]["end"] != end and histories < _MOST_HISTORIES:
                histories += 1
                past = await reading.history(self._redis, name, kpi, dims)
                value = next((one for one in past if one["window"]["end"] == end), None)
            found.extend(_part(kpi, of, value, end))
        return found


def _part(kpi: str, dims: Mapping[str, str | None], value: Mapping[str, Any] | None, end: str) -> Iterator[Part]:
    if value is None or value["window"]["end"] != end or value["value"] is None:
        return
    against = value["target"] if value["target"] is not None else (value["compare"] or {}).get("value")
    if against is not None:
        yield Part(kpi, dims, Decimal(value["value"]), Decimal(against))
