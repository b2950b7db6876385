"""What is to be told to whom now: pure, as a function of alerts, silences, what was told, and the clock.

A receiver is told of an incident once it fires: when that is not long ago by the clock, and nothing mutes or silences
it. What could be muted waits a moment first, since what would mute it may be on its way. What was told stays so, muted
or not, until the incident ends, and its end is told as well, however late that is known.

Receivers to which edges are sent (webhook, Apprise) have what is due in order, to be sent one after the other; those
to which levels are sent (Alertmanager) have what is open and what was over lately, to be sent again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from engine.alerts.muting import Muting, may_be_muted, rule_of
from engine.alerts.silences import silenced_by
from engine.catalog.alerting import Silence
from engine.catalog.model import Catalog
from sinks.alerting.notices import Notice

Place = tuple[str, str]  # receiver, key of the alert
MOST_DUE: Final = 20  # of one alert and receiver


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lengths in microseconds. ``resolved_us``: how long an end is sent again to where levels go."""

    max_age_us: int = 15 * 60_000_000
    group_wait_us: int = 10_000_000
    resolved_us: int = 15 * 60_000_000

    @property
    def contradicted_us(self) -> int:
        """How long an older object than what was told has to stand until it is believed: a replay may still go on."""
        return 4 * self.max_age_us


@dataclass(frozen=True, slots=True)
class Row:
    """What one receiver knows of one alert: ``open`` is the incident that it was told, or is about to be told of.

    ``due`` has what it is still to be told, in order; ``over`` the end of the last incident, known since ``over_us``.
    """

    open: Notice | None = None
    due: tuple[Notice, ...] = ()
    over: Notice | None = None
    over_us: int = 0

    @property
    def empty(self) -> bool:
        return self.open is None and not self.due and self.over is None


@dataclass(frozen=True, slots=True)
class Receiving:
    """A receiver as decisions see it. ``levels``: sent again and again; ``wants``: whether an alert is routed to it."""

    name: str
    levels: bool
    wants: Callable[[Notice], bool]


@dataclass(frozen=True, slots=True)
class Shown:
    """Why nobody is told of an alert, for those who look."""

    muted_by: str | None = None
    silenced_by: str | None = None


@dataclass(slots=True)
class View:
    """All that is known. ``seen_us``: when each present object was first seen, ``clear_us``: since when an incident
    (by its id) has been neither muted nor silenced, both by the clock.
    """

    notices: dict[str, Notice] = field(default_factory=dict)
    seen_us: dict[str, int] = field(default_factory=dict)
    clear_us: dict[str, int] = field(default_factory=dict)

    def take(self, found: Notice, now_us: int) -> bool:
        """False for what is older than what is known, or the same."""
        known = self.notices.get(found.key)
        if known is not None and known.order >= found.order:
            return False
        if known is None or (known.id, known.state) != (found.id, found.state):
            self.seen_us[found.key] = now_us
        self.notices[found.key] = found
        return True

    def drop(self, key: str) -> None:
        self.notices.pop(key, None)
        self.seen_us.pop(key, None)


@dataclass(frozen=True, slots=True)
class Decisions:
    """``rows``: those that change (None: nothing left to remember). ``shown``: of every pending or firing alert.

    ``dropped``: how many messages were given up by receiver; ``wake_us``: when to decide again, unless something comes.
    """

    rows: dict[Place, Row | None]
    shown: dict[str, Shown]
    clear_us: dict[str, int]
    dropped: dict[str, int]
    wake_us: int | None


def decide(
    catalog: Catalog,
    view: View,
    silences: Collection[Silence],
    rows: Mapping[Place, Row],
    receivers: Iterable[Receiving],
    now_us: int,
    bounds: Bounds,
) -> Decisions:
    receivers = list(receivers)
    muting = Muting(view.notices.values(), catalog)
    shown: dict[str, Shown] = {}
    clear_us: dict[str, int] = {}
    changed: dict[Place, Row | None] = {}
    dropped: dict[str, int] = {}
    wakes: list[int] = []
    for key in dict.fromkeys((*view.notices, *(key for _, key in rows))):
        found = view.notices.get(key)
        tellable = False
        if found is not None and found.state in ("pending", "firing"):
            shown[key] = Shown(muting.of(found), silenced_by(found, silences, now_us, catalog.holidays))
            if found.state == "firing" and shown[key] == Shown():
                since = clear_us[found.id] = view.clear_us.get(found.id, now_us)
                waits = bounds.group_wait_us if may_be_muted(found.kpi, found.alert, catalog) else 0
                fresh = now_us - found.at_us <= bounds.max_age_us and _is_declared(found, catalog)
                tellable = fresh and now_us >= since + waits
                if fresh and not tellable:
                    wakes.append(since + waits)
        for receiver in receivers:
            before = rows.get((receiver.name, key), Row())
            after = _with_end(before, found, view.seen_us.get(key), receiver, catalog, now_us, bounds)
            if after.open is None and tellable and found is not None and receiver.wants(found):
                after = _with_begin(after, found, receiver)
            if len(after.due) > MOST_DUE:
                dropped[receiver.name] = dropped.get(receiver.name, 0) + len(after.due) - MOST_DUE
                after = replace(after, due=after.due[-MOST_DUE:])
            if after is not before:
                changed[receiver.name, key] = None if after.empty else after
    return Decisions(changed, shown, clear_us, dropped, min(wakes, default=None))


def _is_declared(found: Notice, catalog: Catalog) -> bool:
    kpi = catalog.kpis.get(found.kpi)
    return kpi is not None and rule_of(kpi, found.alert) is not None


def _with_begin(row: Row, found: Notice, receiver: Receiving) -> Row:
    return Row(open=found) if receiver.levels else Row(open=found, due=(*row.due, found))


def _with_end(
    row: Row,
    found: Notice | None,
    seen_us: int | None,
    receiver: Receiving,
    catalog: Catalog,
    now_us: int,
    bounds: Bounds,
) -> Row:
    if row.over is not None and now_us - row.over_us > bounds.resolved_us:
        row = replace(row, over=None)
    if row.open is None:
        return row
    end = _end(row.open, found, seen_us, catalog, now_us, bounds)
    if end is None:
        return row
    if receiver.levels:
        return Row(over=end, over_us=now_us)
    return Row(due=(*row.due, end))


def _end(
    told: Notice, found: Notice | None, seen_us: int | None, catalog: Catalog, now_us: int, bounds: Bounds
) -> Notice | None:
    """The end of what was told, where it has ended.

    An object of another incident that is older than what was told comes from a replay, which may yet come to the one
    that was told: it counts only once it has stood for long.
    """
    if not _is_declared(told, catalog):
        return told.ended(now_us, "the alert is not in the catalog any more")
    if found is None:
        return None
    if found.id == told.id:
        return found if found.state == "resolved" else None
    if found.at_us >= told.at_us:
        return told.ended(found.at_us, "it has ended, and is judged anew")
    if seen_us is not None and now_us - seen_us > bounds.contradicted_us:
        return told.ended(now_us, "events that came again say otherwise")
    return None
