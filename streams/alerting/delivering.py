"""Delivery while this worker is the one: decisions as alerts, silences and time change, and a task for each receiver.

Each replica of an Alertmanager, and each other receiver, is served by a task of its own, with its own connections and
pauses: one that is dead delays no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from redis.backoff import ExponentialWithJitterBackoff

from engine.catalog.model import Catalog
from sinks.alerting.active import ActiveInRedis, shown_alert
from sinks.alerting.alertmanager import Replica, payload
from sinks.alerting.content import Links, Notification
from sinks.alerting.metrics import AlertMetrics
from sinks.alerting.notices import Notice
from sinks.alerting.opening import Sender
from sinks.alerting.receivers import Receiver, Receivers
from sinks.alerting.silence_records import SilenceRecord
from sinks.errors import SinkError
from streams.alerting.contributing import Contributing
from streams.alerting.decisions import Bounds, Receiving, Row, View, decide
from streams.alerting.told import Told

LOOK_S: Final = 1.0  # silences begin and end by the clock
SETTLE_S: Final = 0.1  # for what comes together
FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 30.0
GIVE_UP_US: Final = 24 * 3600 * 1_000_000  # for a message that the receiver refuses again and again
_log = logging.getLogger(__name__)


def now_us() -> int:
    return time.time_ns() // 1000


def pauses() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(cap=MAX_PAUSE_S, base=FIRST_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Outlets:
    """The receivers, opened: replicas of those of type alertmanager, senders of the others."""

    receivers: Receivers
    replicas: Mapping[str, list[Replica]] = field(default_factory=dict)
    senders: Mapping[str, Sender] = field(default_factory=dict)

    async def close(self) -> None:
        for replica in (one for each in self.replicas.values() for one in each):
            await replica.close()
        for sender in self.senders.values():
            await sender.close()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What delivery works with. ``confirmed`` returns as soon as it is certain that this worker is still the one."""

    catalog: Catalog
    outlets: Outlets
    links: Links
    bounds: Bounds
    metrics: AlertMetrics
    contributing: Contributing
    active: ActiveInRedis | None
    confirmed: Callable[[], Awaitable[None]]


class Delivery:
    """One turn of delivering, from the assignment until it is taken away. Give what is read to `take_...`."""

    def __init__(self, at: Surroundings, told: Told) -> None:
        self._at = at
        self._told = told
        self._view = View()
        self._silences: dict[str, SilenceRecord] = {}
        self._news = asyncio.Event()
        self._changed: dict[str, list[asyncio.Event]] = {}
        self._receiving = [
            Receiving(each.name, each.type == "alertmanager", at.outlets.receivers.wants(each.name))
            for each in at.outlets.receivers.receivers
        ]

    def take_alert(self, found: Notice) -> None:
        if self._view.take(found, now_us()):
            self._news.set()

    def drop_alert(self, key: str) -> None:
        self._view.drop(key)
        self._news.set()

    def take_silence(self, id_: str, found: SilenceRecord | None) -> None:
        if found is None:
            self._silences.pop(id_, None)
        else:
            self._silences[id_] = found
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled; from then on everything that was there at the start is known."""
        work = [self._deciding()]
        for receiver in self._at.outlets.receivers.receivers:
            for replica in self._at.outlets.replicas.get(receiver.name, ()):
                work.append(self._replica(receiver, replica))
            if receiver.name in self._at.outlets.senders:
                work.append(self._sender(receiver, self._at.outlets.senders[receiver.name]))
        if self._at.active is not None:
            work.append(self._at.active.run())
        try:
            async with asyncio.TaskGroup() as group:
                for each in work:
                    group.create_task(each)
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            self._at.metrics.not_delivering()

    # -- deciding ------------------------------------------------------------------------------------------------------

    async def _deciding(self) -> None:
        while True:
            self._news.clear()
            wake_us = await self._decide()
            wait_s = LOOK_S if wake_us is None else max(0.0, min(LOOK_S, (wake_us - now_us()) / 1_000_000))
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(SETTLE_S)

    async def _decide(self) -> int | None:
        at, view, now = self._at, self._view, now_us()
        silences = [*at.catalog.silences, *(record.silence() for record in self._silences.values())]
        await at.confirmed()
        found = decide(at.catalog, view, silences, self._told.rows, self._receiving, now, at.bounds)
        view.clear_us = found.clear_us
        if found.rows:
            await self._told.put(found.rows)
        for receiver, count in found.dropped.items():
            _log.error("receiver %s: %d notifications are given up, since too many wait for it", receiver, count)
            at.metrics.told(receiver, "dropped", count)
        for receiver in {receiver for receiver, _ in found.rows}:
            self._wake(receiver)
        at.metrics.active(view.notices.values())
        if at.active is not None:
            alerts = {
                key: shown_alert(view.notices[key].text, shown.muted_by, shown.silenced_by)
                for key, shown in found.shown.items()
            }
            at.active.show(
                alerts, {id_: record.encode() for id_, record in self._silences.items() if record.until_us > now}
            )
        return found.wake_us

    def _wake(self, receiver: str) -> None:
        for event in self._changed.get(receiver, ()):
            event.set()

    def _listen(self, receiver: str) -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        self._changed.setdefault(receiver, []).append(event)
        return event

    async def _notification(self, notice: Notice) -> Notification:
        return Notification(notice, self._at.links, await self._at.contributing.of(notice))

    # -- levels --------------------------------------------------------------------------------------------------------

    async def _replica(self, receiver: Receiver, replica: Replica) -> None:
        changed, backoff, failures = self._listen(receiver.name), pauses(), 0
        posted: dict[str, tuple[str, str, float]] = {}  # by the alert's key: id, state, when
        clock = asyncio.get_running_loop().time
        while True:
            changed.clear()
            due = self._levels(receiver)
            posted = {key: known for key, known in posted.items() if key in due}
            late = [
                notice
                for key, notice in due.items()
                if key not in posted
                or posted[key][:2] != (notice.id, notice.state)
                or clock() - posted[key][2] >= receiver.resend_s
            ]
            if late:
                await self._at.confirmed()
                bodies = [payload(await self._notification(one), now_us(), receiver.resend_s) for one in late]
                try:
                    await replica.post(bodies)
                except SinkError as error:
                    failures = self._failed(receiver, error, failures)
                    await asyncio.sleep(backoff.compute(failures))
                    continue
                failures = self._succeeded(receiver, failures, len(late))
                posted |= {one.key: (one.id, one.state, clock()) for one in late}
            next_s = min((sent + receiver.resend_s - clock() for _, _, sent in posted.values()), default=LOOK_S)
            try:
                async with asyncio.timeout(max(0.0, min(next_s, LOOK_S))):
                    await changed.wait()
            except TimeoutError:
                continue

    def _levels(self, receiver: Receiver) -> dict[str, Notice]:
        """What an Alertmanager has to be told again and again, as it is now."""
        found: dict[str, Notice] = {}
        for (name, key), row in self._told.rows.items():
            if name != receiver.name:
                continue
            held = row.open or row.over
            newest = self._view.notices.get(key)
            if row.open is not None and newest is not None and (newest.id, newest.state) == (row.open.id, "firing"):
                held = newest
            if held is not None:
                found[key] = held
        return found

    # -- edges ---------------------------------------------------------------------------------------------------------

    async def _sender(self, receiver: Receiver, sender: Sender) -> None:
        changed, backoff, failures = self._listen(receiver.name), pauses(), 0
        refused: dict[str, int] = {}  # messages that the receiver refuses, and since when
        clock = asyncio.get_running_loop().time
        not_before: dict[str, float] = {}  # by the alert's key
        while True:
            changed.clear()
            rows = self._told.rows
            waiting = [key for (name, key), row in rows.items() if name == receiver.name and row.due]
            self._at.metrics.waiting(receiver.name, sum(len(rows[receiver.name, key].due) for key in waiting))
            ready = [key for key in waiting if not_before.get(key, 0.0) <= clock()]
            if not ready:
                wait_s = min((not_before[key] - clock() for key in waiting), default=LOOK_S)
                try:
                    async with asyncio.timeout(max(0.0, min(wait_s, LOOK_S))):
                        await changed.wait()
                except TimeoutError:
                    pass
                continue
            for key in ready:
                notice = rows[receiver.name, key].due[0]
                await self._at.confirmed()
                notification = await self._notification(notice)
                try:
                    await sender.send(notification, now_us())
                except SinkError as error:
                    failures = self._failed(receiver, error, failures)
                    if error.retryable:
                        await asyncio.sleep(backoff.compute(failures))
                        break
                    since = refused.setdefault(notification.message_id, now_us())
                    not_before[key] = clock() + backoff.compute(failures)
                    if now_us() - since < GIVE_UP_US:
                        continue
                    self._at.metrics.told(receiver.name, "dropped")
                else:
                    failures = self._succeeded(receiver, failures, 1)
                not_before.pop(key, None)
                refused.pop(notification.message_id, None)
                await self._done(receiver.name, key, notice)

    async def _done(self, receiver: str, key: str, notice: Notice) -> None:
        row = self._told.rows.get((receiver, key), Row())
        if row.due and row.due[0] is notice:  # else it was given up meanwhile
            after = replace(row, due=row.due[1:])
            await self._told.put({(receiver, key): None if after.empty else after})

    def _failed(self, receiver: Receiver, error: SinkError, failures: int) -> int:
        self._at.metrics.told(receiver.name, "failed")
        if not failures:
            _log.warning("receiver %s: %s; what there is for it waits", receiver.name, error)
        return failures + 1

    def _succeeded(self, receiver: Receiver, failures: int, count: int) -> int:
        self._at.metrics.told(receiver.name, "sent", count)
        if failures:
            _log.info("receiver %s takes notifications again", receiver.name)
        return 0
