"""A fire drill: an alert that is clearly none goes to real receivers, and what arrived is said."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from engine.alerts.objects import alert_key
from engine.catalog.alerting import Alert
from engine.catalog.model import Catalog, Kpi
from engine.series import dims_text
from sinks.alerting.alertmanager import Replica, labels, payload
from sinks.alerting.content import Links, Notification
from sinks.alerting.notices import Notice, notice, rfc3339
from sinks.alerting.receivers import Receiver
from sinks.errors import SinkError
from streams.alerting.delivering import Outlets

VISIBLE_S: Final = 10.0  # an Alertmanager takes an alert and has it soon after
REASON: Final = "this is a drill: nothing is wrong"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of one message. ``unreachable``: nobody was there to refuse it."""

    receiver: str
    address: str
    step: str
    arrived: bool
    said: str
    unreachable: bool = False


def drill_notice(kpi: Kpi, rule: Alert, dims: Mapping[str, str], state: str, id_: str, began_us: int) -> Notice:
    """The object of such an alert. Dimensions that nobody gave have the value ``drill``."""
    shown = {name: dims.get(name, "drill") for name in kpi.group_by}
    now = rfc3339(time.time_ns() // 1000)
    told = {
        "alert": rule.name, "kpi": kpi.name, "dims": shown, "state": state, "severity": rule.severity, "id": id_,
        "order": [0, 0], "at": now, "since": rfc3339(began_us), "fired": rfc3339(began_us),
        "resolved": now if state == "resolved" else None, "recovering_since": None, "reason": REASON, "condition": "",
        "value": None, "bound": None, "target": None, "samples": 0, "window": None, "window_state": None,
        "compare": None, "pace": None, "unit": kpi.unit, "status": None, "definition": None, "title": kpi.title,
        "owner": kpi.owner, "goal": kpi.goal, "labels": {**kpi.labels, **rule.labels}, "annotations": {"drill": REASON},
        "runbook_url": rule.runbook_url,
    }  # fmt: skip
    key = alert_key(rule.name, kpi.name, dims_text(list(shown), list(shown.values())))
    return notice(key, msgspec.json.encode(told))


async def drill(
    catalog: Catalog,
    kpi: Kpi,
    rule: Alert,
    dims: Mapping[str, str],
    outlets: Outlets,
    chosen: list[Receiver],
    links: Links,
) -> list[Arrival]:
    """Firing, then resolved, to each of these receivers; those to which the first does not come are not told more."""
    id_, began_us = uuid.uuid4().hex[:16], time.time_ns() // 1000

    def made(state: str) -> Notification:
        return Notification(drill_notice(kpi, rule, dims, state, id_, began_us), links, drill=True)

    async def one(receiver: Receiver) -> list[Arrival]:
        if receiver.type != "alertmanager":
            return await _edges(receiver, outlets, made)
        replicas = outlets.replicas[receiver.name]
        found = await asyncio.gather(*(_levels(receiver, replica, made) for replica in replicas))
        return [arrival for each in found for arrival in each]

    try:
        found = await asyncio.gather(*map(one, chosen))
    finally:
        await outlets.close()
    return [arrival for each in found for arrival in each]


async def _edges(receiver: Receiver, outlets: Outlets, made: Callable[[str], Notification]) -> list[Arrival]:
    found: list[Arrival] = []
    for state in ("firing", "resolved"):
        try:
            await outlets.senders[receiver.name].send(made(state), time.time_ns() // 1000)
        except SinkError as error:
            return [*found, Arrival(receiver.name, receiver.type, state, False, str(error), error.retryable)]
        found.append(Arrival(receiver.name, receiver.type, state, True, "it was taken"))
    return found


async def _levels(receiver: Receiver, replica: Replica, made: Callable[[str], Notification]) -> list[Arrival]:
    found: list[Arrival] = []
    wanted = labels(made("firing"))
    for state in ("firing", "resolved"):
        try:
            await replica.post([payload(made(state), time.time_ns() // 1000, receiver.resend_s)])
            active = await _read_back(replica, wanted, state == "firing")
        except SinkError as error:
            return [*found, Arrival(receiver.name, replica.address, state, False, str(error), error.retryable)]
        if bool(active) != (state == "firing"):
            said = "it was taken, but Alertmanager does not show it" if state == "firing" else "it is still active"
            return [*found, Arrival(receiver.name, replica.address, state, False, said)]
        said = _reaches(active) if state == "firing" else "it is active no more"
        found.append(Arrival(receiver.name, replica.address, state, True, said))
    return found


async def _read_back(replica: Replica, wanted: dict[str, str], firing: bool) -> list[dict[str, Any]]:
    deadline = time.monotonic() + VISIBLE_S
    while True:
        active = await replica.active(wanted)
        if bool(active) == firing or time.monotonic() > deadline:
            return active
        await asyncio.sleep(0.1)


def _reaches(active: list[dict[str, Any]]) -> str:
    names = ", ".join(sorted({each["name"] for one in active for each in one.get("receivers", ())}))
    status = active[0].get("status", {})
    held = " and muted there" if status.get("inhibitedBy") or status.get("silencedBy") else ""
    return f"it is active{held}, routed to {names or 'nobody'}"
