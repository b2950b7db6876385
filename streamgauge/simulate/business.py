"""The whole business, day by day: what each source is sent, in the order in which it is sent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from engine.catalog.model import Catalog, Source
from engine.event_time.zones import Zone, zone
from streamgauge.sending.event_files import json_values
from streamgauge.simulate.books import Books
from streamgauge.simulate.columns import SENT, Names
from streamgauge.simulate.days import MINUTE, SECOND, Day, Times, day_of, growth, local_date
from streamgauge.simulate.marketing import signups_of, spend_of
from streamgauge.simulate.selling import orders_of, refunds_of
from streamgauge.simulate.serving import probes_of, tickets_of
from streamgauge.simulate.story import Story

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Of each source of events: the field of its identity, and that of its time.
SOURCES: Final[Mapping[str, tuple[str, str]]] = {
    "orders": ("order_id", "ordered_at"),
    "refunds": ("refund_id", "refunded_at"),
    "spend": ("spend_id", "spent_at"),
    "signups": ("event_id", "signed_up_at"),
    "tickets": ("event_id", "at"),
    "probes": ("probe_id", "probed_at"),
    "ledger": ("entry_id", "booked_at"),
    "balances": ("snapshot_id", "as_of"),
}
_FIRST_STREAM_OF_REPEATS: Final = 100
_REPEATED: Final = 0.004  # of all events: a producer that heard no acknowledgement sends once more
_CUSTOMERS_AN_ORDER: Final = 70.0  # accounts before the first day, for each order of an average day


class NotThisBusiness(Exception):
    """The catalog has no source for these events; the message says what it needs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``until``: the end of history, an aware instant. ``timezone``: whose days, weeks and hours these are."""

    until: datetime
    timezone: str
    seed: int = 1
    days: int = 400
    orders_a_day: float = 600.0

    @property
    def until_us(self) -> int:
        return (self.until - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """Events of one source in the order in which they are sent: when, and what. ``ids`` are their identities."""

    source: str
    sent_us: Times
    ids: list[bytes]
    values: list[bytes]

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Sent:
        return Sent(self.source, self.sent_us[start:stop], self.ids[start:stop], self.values[start:stop])

    def between(self, after_us: int, upto_us: int) -> Sent:
        """Those sent after the one moment and up to the other."""
        start, stop = np.searchsorted(self.sent_us, [after_us, upto_us], side="right").tolist()
        return self.part(start, max(start, stop))


@dataclass(frozen=True, slots=True, eq=False)
class DaySent:
    """All that is sent on one local day, by source."""

    day: Day
    sources: tuple[Sent, ...]

    @property
    def events(self) -> int:
        return sum(map(len, self.sources))


def sources_of(catalog: Catalog) -> dict[str, Source]:
    """The catalog's sources that these events are for, by name. Raises NotThisBusiness."""
    found = {name: source for name, source in catalog.sources.items() if name in SOURCES}
    wrong = [name for name, source in found.items() if (source.identity, source.event_time) != SOURCES[name]]
    if not found or wrong:
        needed = ", ".join(f"{name} ({identity}, {time})" for name, (identity, time) in SOURCES.items())
        raise NotThisBusiness(
            f"catalog {catalog.name} has no sources for these events, which are, with identity and event_time: {needed}"
        )
    return found


class Business:
    """The same settings give the same events. What is drawn for a day does not depend on where history begins.

    ``wanted``: only the events of these sources are told, of the same business.
    """

    def __init__(self, settings: Settings, wanted: Collection[str] = tuple(SOURCES)) -> None:
        self.settings = settings
        self.wanted = tuple(name for name in SOURCES if name in wanted)
        self._zone: Zone = zone(settings.timezone)
        self._last = local_date(self._zone, settings.until_us)
        self._names = Names.of(settings.seed, settings.until)

    def day(self, number: int) -> Day:
        return day_of(self._zone, number, self._last)

    @property
    def first_day(self) -> int:
        return -self.settings.days

    def days(self) -> Iterator[DaySent]:
        """From the first day of history on, without end."""
        settings, names = self.settings, self._names
        story = Story(settings.seed, self._zone)
        books = Books(settings.seed, names, settings.orders_a_day)
        outbox = _Outbox(settings.seed, self.wanted)
        scale = settings.orders_a_day
        customers = round(_CUSTOMERS_AN_ORDER * scale * growth(self.day(self.first_day), 0.1))
        number = self.first_day
        while True:
            day = self.day(number)
            outage = story.outage(day)
            signups = signups_of(day, story, names, orders_a_day=scale, customers=customers, outage=outage)
            customers += signups.people
            orders = orders_of(day, story, names, orders_a_day=scale, customers=customers, outage=outage)
            refunds = refunds_of(day, story, names, self._zone, orders)
            spend = spend_of(day, story, names, orders_a_day=scale)
            ledger, balances = books.close(day, orders, refunds, spend)
            outbox.put(day, "orders", orders.events)
            outbox.put(day, "refunds", refunds.events)
            outbox.put(day, "spend", spend.events)
            outbox.put(day, "signups", signups.events)
            if "tickets" in self.wanted:
                outbox.put(day, "tickets", tickets_of(day, story, names, self._zone, orders_a_day=scale, outage=outage))
            if "probes" in self.wanted:
                outbox.put(day, "probes", probes_of(day, story, names, outage))
            outbox.put(day, "ledger", ledger)
            outbox.put(day, "balances", balances)
            yield DaySent(day, outbox.take(day))
            number += 1

    def history(self) -> Iterator[DaySent]:
        """What is sent up to the end of history, its last day cut there."""
        for sent in self.days():
            if sent.day.number < 0:
                yield sent
                continue
            upto = self.settings.until_us
            yield DaySent(sent.day, tuple(one.between(-1, upto) for one in sent.sources))
            return


class _Outbox:
    """Holds events until they are sent; some of them are sent again, a little later."""

    def __init__(self, seed: int, wanted: Collection[str]) -> None:
        self._seed = seed
        self._waiting: dict[str, list[pl.DataFrame]] = {name: [] for name in wanted}

    def put(self, day: Day, source: str, events: pl.DataFrame) -> None:
        if source not in self._waiting:
            return
        random = day.random(self._seed, _FIRST_STREAM_OF_REPEATS + list(SOURCES).index(source))
        again = events.filter(pl.Series(random.random(events.height) < _REPEATED))
        after = (SECOND + random.random(again.height) * 20 * MINUTE).astype(np.int64)
        self._waiting[source] += [events, again.with_columns(pl.col(SENT) + pl.Series(after))]

    def take(self, day: Day) -> tuple[Sent, ...]:
        """All that is sent before the day ends."""
        found = []
        for source, frames in self._waiting.items():
            waiting = pl.concat(frames)
            due = waiting.filter(pl.col(SENT) < day.end_us).sort(SENT, maintain_order=True)
            self._waiting[source] = [waiting.filter(pl.col(SENT) >= day.end_us)]
            ids = [text.encode() for text in due[SOURCES[source][0]].to_list()]
            found.append(Sent(source, due[SENT].to_numpy(), ids, json_values(due.drop(SENT))))
        return tuple(found)
