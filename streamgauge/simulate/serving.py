"""Questions that customers ask and get answered, and whether the services answer their probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from engine.event_time.zones import Zone
from streamgauge.simulate.columns import SENT, Names, rfc_3339
from streamgauge.simulate.days import (
    ASKING_HOURS,
    ASKING_WEEKDAYS,
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Day,
    Floats,
    Times,
    by_the_hour,
    growth,
    moments,
    season,
)
from streamgauge.simulate.story import SELLING, SERVICES, Outage, Story

_TICKETS_STREAM, _PROBES_STREAM = 6, 7

_TICKETS_AN_ORDER: Final = 0.085
_YEARLY: Final = 0.08
_IN_OUTAGE: Final = 0.25  # tickets for each order that an average day has in that time, and the hour after
_LATE, _LATEST_HOURS = 0.03, 18.0  # what an agent's device tells only when it has a connection again
_OPEN_FROM, _OPEN_UNTIL = 7, 22


@dataclass(frozen=True, slots=True)
class Priority:
    """Half of the tickets take at most ``hours``; ``spread`` is that of their logarithm."""

    name: str
    share: float
    share_in_outage: float
    hours: float
    spread: float


PRIORITIES: Final = (
    Priority("urgent", 0.06, 0.45, 1.7, 0.8),
    Priority("high", 0.18, 0.35, 6.0, 0.7),
    Priority("normal", 0.54, 0.18, 18.0, 0.75),
    Priority("low", 0.22, 0.02, 40.0, 0.7),
)


def tickets_of(
    day: Day, story: Story, names: Names, zone: Zone, *, orders_a_day: float, outage: Outage | None
) -> pl.DataFrame:
    """The tickets opened on this day, and the resolution of each, then or later."""
    random = day.random(story.seed, _TICKETS_STREAM)
    level = orders_a_day * _TICKETS_AN_ORDER * growth(day, _YEARLY) * season(day)
    opened = moments(random, day, by_the_hour(day, ASKING_HOURS, ASKING_WEEKDAYS) * level)
    hit = np.zeros(len(opened), dtype=np.bool_)
    if outage is not None and outage.service in SELLING:
        lasting = outage.end_us + HOUR - outage.start_us
        more = random.poisson(orders_a_day * _IN_OUTAGE * lasting / DAY)
        told = outage.start_us + (random.random(more) * lasting).astype(np.int64)
        opened, hit = np.concatenate([opened, told // SECOND * SECOND]), np.concatenate([hit, np.ones(more, np.bool_)])
    order = np.argsort(opened, kind="stable")
    opened, hit = opened[order], hit[order]
    count = len(opened)
    priority = _priorities(random, hit)
    median = np.array([one.hours for one in PRIORITIES])[priority]
    spread = np.array([one.spread for one in PRIORITIES])[priority]
    took = np.exp(np.log(median) + spread * random.normal(0, 1, count)) * HOUR
    resolved = _while_open(zone, opened + np.maximum(MINUTE, took).astype(np.int64), random.random(count))
    late = np.where(random.random(count) < _LATE, _LATEST_HOURS * random.random(count) * HOUR, 2 * SECOND)
    ticket = names.many("t", day, count)
    urgency = pl.Series([PRIORITIES[number].name for number in priority.tolist()], dtype=pl.String)
    return pl.concat(
        pl.DataFrame(
            {
                "event_id": ticket + f"-{kind}",
                "at": rfc_3339(at),
                "ticket_id": ticket,
                "kind": pl.Series([kind] * count, dtype=pl.String),
                "priority": urgency,
                "minutes_open": pl.Series(minutes, dtype=pl.Int64),
                SENT: at + delay,
            }
        )
        for kind, at, minutes, delay in (
            ("opened", opened, [None] * count, np.full(count, SECOND, dtype=np.int64)),
            ("resolved", resolved, (resolved - opened) // MINUTE, late.astype(np.int64)),
        )
    )


def _priorities(random: np.random.Generator, hit: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Times:
    usual = np.cumsum([one.share for one in PRIORITIES])
    in_outage = np.cumsum([one.share_in_outage for one in PRIORITIES])
    draw = random.random(len(hit))
    found = np.where(hit, np.searchsorted(in_outage, draw), np.searchsorted(usual, draw))
    return np.minimum(found, len(PRIORITIES) - 1).astype(np.int64)


def _while_open(zone: Zone, times: Times, draw: Floats) -> Times:
    """What would be resolved at night is so within two hours of the morning."""
    wall = zone.to_local(times)
    into = wall % DAY
    morning = wall - into + _OPEN_FROM * HOUR + (draw * 2 * HOUR).astype(np.int64)
    moved = np.where(into >= _OPEN_UNTIL * HOUR, morning + DAY, np.where(into < _OPEN_FROM * HOUR, morning, wall))
    return np.where(moved == wall, times, zone.to_utc(moved)) // SECOND * SECOND


PROBED_EVERY: Final = 5 * MINUTE
_MISSED: Final = 0.0002  # without an outage


def probes_of(day: Day, story: Story, names: Names, outage: Outage | None) -> pl.DataFrame:
    """One probe a service every five minutes; a service that does not answer within ten seconds is down."""
    random = day.random(story.seed, _PROBES_STREAM)
    turns = np.arange(day.start_us, day.end_us, PROBED_EVERY, dtype=np.int64)
    times = (turns[:, None] + np.arange(len(SERVICES), dtype=np.int64) * 15 * SECOND).ravel()
    service = np.tile(np.arange(len(SERVICES)), len(turns))
    ok = random.random(len(times)) >= _MISSED
    if outage is not None:
        ok &= ~(outage.hit(times) & (service == SERVICES.index(outage.service)))
    latency = np.where(ok, np.exp(random.normal(4.6, 0.35, len(times))), 10_000.0)
    return pl.DataFrame(
        {
            "probe_id": names.many("p", day, len(times)),
            "probed_at": rfc_3339(times),
            "service": pl.Series(SERVICES, dtype=pl.String).gather(service),
            "ok": ok,
            "latency_ms": np.round(latency).astype(np.int64),
            SENT: times + np.round(latency).astype(np.int64) * 1000,
        }
    )
