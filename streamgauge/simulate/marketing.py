"""What is spent on being known, hour by hour, and who signs up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streamgauge.simulate.columns import SENT, Cents, Names, euros, rfc_3339
from streamgauge.simulate.days import (
    BUYING_HOURS,
    BUYING_WEEKDAYS,
    HOUR,
    MINUTE,
    SECOND,
    Day,
    by_the_hour,
    growth,
    moments,
    season,
)
from streamgauge.simulate.selling import REGIONS
from streamgauge.simulate.story import Outage, Story

_SPEND_STREAM, _SIGNUPS_STREAM = 4, 5

SPEND_AN_ORDER: Final = 3.35  # euros, for each order of an average day
CHANNELS: Final = (("search_ads", 0.5), ("social", 0.32), ("partners", 0.18))
_EUROS_A_CLICK: Final = 0.62
_CAMPAIGN_SPEND, _CAMPAIGN_SIGNUPS = 2.0, 1.75
_YEARLY: Final = 0.1

_SIGNUPS_AN_ORDER: Final = 0.102
_CAME_BY: Final = (("direct", 0.3), ("search_ads", 0.34), ("social", 0.24), ("partners", 0.12))
_SECOND_DEVICE: Final = 0.05  # tells of the same person again


@dataclass(frozen=True, slots=True, eq=False)
class Spend:
    events: pl.DataFrame
    cents: Cents


def spend_of(day: Day, story: Story, names: Names, *, orders_a_day: float) -> Spend:
    """One event a channel and hour; the platforms tell it within the next one."""
    random = day.random(story.seed, _SPEND_STREAM)
    budget = orders_a_day * SPEND_AN_ORDER * growth(day, _YEARLY) * (_CAMPAIGN_SPEND if story.campaign(day) else 1)
    hours = len(day.hours_us)
    shares = np.repeat([share for _, share in CHANNELS], hours)
    profile = np.tile(by_the_hour(day, BUYING_HOURS, BUYING_WEEKDAYS), len(CHANNELS))
    cents = np.round(100 * budget * shares * profile * np.exp(random.normal(0, 0.15, len(shares)))).astype(np.int64)
    spent = np.tile(day.hours_us, len(CHANNELS))
    late = (10 + 45 * random.random(len(spent))) * MINUTE
    events = pl.DataFrame(
        {
            "spend_id": names.many("s", day, len(spent)),
            "spent_at": rfc_3339(spent),
            "channel": pl.Series([name for name, _ in CHANNELS for _ in range(hours)], dtype=pl.String),
            "campaign": pl.Series(["quarterly" if story.campaign(day) else "always_on"] * len(spent), dtype=pl.String),
            "clicks": np.floor(cents / 100 / _EUROS_A_CLICK).astype(np.int64),
            "amount": euros(cents),
            SENT: spent + HOUR + late.astype(np.int64),
        }
    )
    return Spend(events, cents)


@dataclass(frozen=True, slots=True, eq=False)
class Signups:
    """``people``: how many new accounts; the events tell of some of them twice."""

    events: pl.DataFrame
    people: int


def signups_of(
    day: Day, story: Story, names: Names, *, orders_a_day: float, customers: int, outage: Outage | None
) -> Signups:
    """``customers``: how many accounts there were before."""
    random = day.random(story.seed, _SIGNUPS_STREAM)
    level = orders_a_day * _SIGNUPS_AN_ORDER * growth(day, _YEARLY) * season(day, 0.05)
    level *= _CAMPAIGN_SIGNUPS if story.campaign(day) else 1
    times = moments(random, day, by_the_hour(day, BUYING_HOURS, BUYING_WEEKDAYS) * level)
    if outage is not None and outage.service in ("shop", "accounts"):
        times = times[~outage.hit(times)]
    people = len(times)
    again = np.flatnonzero(random.random(people) < _SECOND_DEVICE)
    who = np.concatenate([np.arange(people), again])
    at = times[who]
    at[people:] += (1 + 25 * random.random(len(again)) * 60).astype(np.int64) * SECOND
    came_by = random.choice(len(_CAME_BY), people, p=[share for _, share in _CAME_BY])[who]
    region = random.choice(len(REGIONS), people, p=[region.share for region in REGIONS])[who]
    first_device = random.random(people) < 0.6
    on_web = np.concatenate([first_device, ~first_device[again]])
    events = pl.DataFrame(
        {
            "event_id": names.many("n", day, len(who)),
            "signed_up_at": rfc_3339(at),
            "customer_id": customers + 1 + who,
            "region": pl.Series([REGIONS[number].name for number in region.tolist()], dtype=pl.String),
            "channel": pl.Series([_CAME_BY[number][0] for number in came_by.tolist()], dtype=pl.String),
            "device": pl.Series(np.where(on_web, "web", "app").tolist(), dtype=pl.String),
            SENT: at + (random.exponential(2.0, len(who)) * SECOND).astype(np.int64),
        }
    )
    return Signups(events, people)
