"""What contributes most to an alert, as Redis has it: finer series of the same, or drivers, at its window's end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
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
LOOKS: Final = 3  # series of the same moment come to Redis one after the other
LOOK_S: Final = 0.3
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
        end = datetime.fromisoformat(window.end)
        try:
            async with asyncio.timeout(WAIT_S):
                finer = await self._fewest([each.name for each, _ in siblings(kpi, self._catalog)])
                for names in ([finer] if finer else [], kpi.drivers):
                    if found := ranked(await self._complete(names, notice, end), wrong):
                        return found
        except (TimeoutError, RedisError, OSError):
            pass
        return []

    async def _complete(self, kpis: Sequence[str], notice: Notice, end: datetime) -> list[Part]:
        """The parts, once no series is behind any more, or as they are after a moment."""
        for look in range(LOOKS):
            if look:
                await asyncio.sleep(LOOK_S)
            asked = [await self._parts(kpi, notice, end) for kpi in kpis]
            if not any(behind for _, behind in asked):
                break
        return [part for parts, _ in asked for part in parts]

    async def _fewest(self, kpis: list[str]) -> str | None:
        """Of these KPIs the one with the fewest series."""
        assert self._redis is not None
        counts = {kpi: await self._redis.zcard(redis_key(self._catalog.name, kpi, "index")) for kpi in kpis}
        return min((kpi for kpi in counts if counts[kpi]), key=lambda kpi: (counts[kpi], kpi), default=None)

    async def _parts(self, kpi: str, notice: Notice, end: datetime) -> tuple[list[Part], bool]:
        """What the KPI's series were at that window's end, and whether any has not come so far."""
        assert self._redis is not None
        name, group_by = self._catalog.name, self._catalog.kpis[kpi].group_by
        members = {
            dims: of
            for dims in await reading.members(self._redis, name, kpi)
            for of in (dimensions(dims),)
            if all(of.get(dimension) == notice.dims[dimension] for dimension in group_by if dimension in notice.dims)
        }
        found: list[Part] = []
        passed: list[str] = []
        behind = False
        async for dims, _, text in reading.current_texts(self._redis, name, kpi, list(members)):
            value = reading.parse(text)
            at = _end(value)
            if at == end:
                found.extend(_part(kpi, members[dims], value))
            behind = behind or at < end
            if at > end:
                passed.append(dims)
        for dims in passed[:_MOST_HISTORIES]:
            past = await reading.history(self._redis, name, kpi, dims, since=end, until=end)
            found.extend(part for value in past for part in _part(kpi, members[dims], value))
        return found, behind


def _end(value: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(value["window"]["end"])


def _part(kpi: str, dims: Mapping[str, str | None], value: Mapping[str, Any]) -> Iterator[Part]:
    against = value["target"] if value["target"] is not None else (value["compare"] or {}).get("value")
    if against is not None and value["value"] is not None:
        yield Part(kpi, dims, Decimal(value["value"]), Decimal(against))
