"""Orders of five regions, and what comes back of them some days later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from engine.event_time.zones import Zone
from streamgauge.simulate.columns import SENT, Cents, Names, euros, rfc_3339
from streamgauge.simulate.days import (
    BUYING_HOURS,
    BUYING_WEEKDAYS,
    SECOND,
    Day,
    Floats,
    Times,
    by_the_hour,
    growth,
    moments,
    season,
)
from streamgauge.simulate.story import SELLING, Outage, Story

_ORDERS_STREAM, _REFUNDS_STREAM = 2, 3

CAMPAIGN_ORDERS: Final = 1.3
_CAMPAIGN_COST: Final = 0.025  # what a discount adds to the cost's share of the amount
_COST_SHARE, _COST_SPREAD = 0.56, 0.06
_BASKET_SPREAD: Final = 0.55
_REFUSED_IN_OUTAGE: Final = 0.95
_PARTIAL, _SELLABLE = 0.28, 0.85
_DAMAGED: Final = 0.3  # of what cannot be sold again


@dataclass(frozen=True, slots=True)
class Region:
    """``share`` of the orders and mean ``basket`` and ``shipping`` in euros at the end of history."""

    name: str
    share: float
    growth: float
    basket: float
    shipping: float
    refunded: float


REGIONS: Final = (
    Region("Benelux", 0.34, 0.06, 58, 4.10, 0.055),
    Region("DACH", 0.30, 0.09, 66, 5.20, 0.105),
    Region("France", 0.16, 0.10, 61, 5.90, 0.060),
    Region("Nordics", 0.12, 0.30, 79, 8.80, 0.070),
    Region("Iberia", 0.08, 0.24, 52, 7.20, 0.045),
)


@dataclass(frozen=True, slots=True, eq=False)
class Orders:
    """A day's orders: ``events`` as they are sent, and in the same order what refunds and books need of them."""

    events: pl.DataFrame
    ordered_us: Times
    region: Cents  # index into REGIONS
    amount: Cents
    cost: Cents
    shipping: Cents


@dataclass(frozen=True, slots=True, eq=False)
class Refunds:
    """What comes back of a day's orders, on later days."""

    events: pl.DataFrame
    refunded_us: Times
    amount: Cents
    restocked: Cents


def orders_of(
    day: Day, story: Story, names: Names, *, orders_a_day: float, customers: int, outage: Outage | None
) -> Orders:
    """``customers``: how many accounts there are; their numbers count from 1."""
    random = day.random(story.seed, _ORDERS_STREAM)
    level = orders_a_day * season(day) * (CAMPAIGN_ORDERS if story.campaign(day) else 1)
    profile = by_the_hour(day, BUYING_HOURS, BUYING_WEEKDAYS)
    times, regions = [], []
    for number, region in enumerate(REGIONS):
        found = moments(random, day, profile * level * region.share * growth(day, region.growth))
        times.append(found)
        regions.append(np.full(len(found), number, dtype=np.int64))
    ordered, region_of = np.concatenate(times), np.concatenate(regions)
    order = np.argsort(ordered, kind="stable")
    ordered, region_of = ordered[order], region_of[order]
    if outage is not None and outage.service in SELLING:
        kept = ~outage.hit(ordered) | (random.random(len(ordered)) > _REFUSED_IN_OUTAGE)
        ordered, region_of = ordered[kept], region_of[kept]
    count = len(ordered)
    basket = np.array([region.basket for region in REGIONS])[region_of]
    amount = _cents(basket * np.exp(random.normal(-(_BASKET_SPREAD**2) / 2, _BASKET_SPREAD, count)), least=400)
    share = random.normal(_COST_SHARE + (_CAMPAIGN_COST if story.campaign(day) else 0), _COST_SPREAD, count)
    cost = np.round(amount * np.clip(share, 0.3, 0.95)).astype(np.int64)
    base = np.array([region.shipping for region in REGIONS])[region_of] * growth(day, 0.03)
    shipping = _cents(base * (0.85 + 0.3 * random.random(count)) + 0.01 * (amount / 100 - basket), least=150)
    # Few customers order often: the square of an even draw puts half of the orders on the newest third of the accounts.
    customer = customers - (random.random(count) ** 2 * customers).astype(np.int64)
    sent = ordered + (random.exponential(2.0, count) * SECOND).astype(np.int64)
    events = pl.DataFrame(
        {
            "order_id": names.many("o", day, count),
            "ordered_at": rfc_3339(ordered),
            "region": pl.Series([REGIONS[number].name for number in region_of.tolist()], dtype=pl.String),
            "customer_id": customer,
            "items": 1 + random.poisson(np.sqrt(amount / 2500)),
            "amount": euros(amount),
            "cost": euros(cost),
            "shipping_cost": euros(shipping),
            SENT: sent,
        }
    )
    return Orders(events, ordered, region_of, amount, cost, shipping)


def refunds_of(day: Day, story: Story, names: Names, zone: Zone, orders: Orders) -> Refunds:
    """What of the day's orders is refunded: from two days later on, on working days between eight and six."""
    random = day.random(story.seed, _REFUNDS_STREAM)
    likely = np.array([region.refunded for region in REGIONS])[orders.region]
    back = np.flatnonzero(random.random(len(orders.amount)) < likely)
    count = len(back)
    days = 2 + np.floor(random.gamma(2.2, 3.6, count)).astype(np.int64)
    weekday = (day.date.weekday() + days) % 7
    days += np.where(weekday >= 5, 7 - weekday, 0)
    refunded = day.at(zone, days * 24 + 8 + 10 * random.random(count)) // SECOND * SECOND
    part = np.where(random.random(count) < _PARTIAL, 0.3 + 0.6 * random.random(count), 1.0)
    sellable = random.random(count) < _SELLABLE
    amount = np.round(orders.amount[back] * part).astype(np.int64)
    restocked = np.where(sellable, np.round(orders.cost[back] * part), 0).astype(np.int64)
    reason = np.where(sellable, "returned", np.where(random.random(count) < _DAMAGED, "damaged", "lost"))
    events = pl.DataFrame(
        {
            "refund_id": names.many("r", day, count),
            "order_id": orders.events["order_id"].gather(back),
            "refunded_at": rfc_3339(refunded),
            "region": orders.events["region"].gather(back),
            "amount": euros(amount),
            "restocked_cost": euros(restocked),
            "reason": pl.Series(reason.tolist(), dtype=pl.String),
            SENT: refunded + (random.exponential(5.0, count) * SECOND).astype(np.int64),
        }
    )
    return Refunds(events, refunded, amount, restocked)


def _cents(euros_: Floats, *, least: int) -> Cents:
    return np.maximum(least, np.round(euros_ * 100)).astype(np.int64)
