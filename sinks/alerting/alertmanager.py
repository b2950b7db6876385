"""Alertmanager's API v2: labels are the identity, everything that changes is an annotation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.values import NULL
from sinks.alerting.content import Notification
from sinks.alerting.http import Http, host_of
from sinks.alerting.notices import rfc3339
from sinks.names import KPI_LABEL

# An alert that is not sent again ends by itself: after so long at least, which a worker's recovery does not take.
LEAST_LIFE_S: Final = 300.0
_AT_ONCE: Final = 500


def life_s(resend_s: float) -> float:
    """For how long an alert lasts that is sent every so many seconds: it may be missed three times."""
    return max(4 * resend_s, LEAST_LIFE_S)


def labels(notification: Notification) -> dict[str, str]:
    """What tells alerts apart, and what routes go by. None of it changes while an incident lasts."""
    told = notification.notice.members
    dims = {name: NULL if value is None else value for name, value in notification.notice.dims.items()}
    found = {**told.labels, "owner": told.owner or "", "goal": told.goal or "", "catalog": notification.links.catalog}
    found |= dims | {"alertname": told.alert, KPI_LABEL: told.kpi, "severity": told.severity}
    if notification.drill:
        found["drill"] = "true"
    return {name: text for name, text in found.items() if text}


def payload(notification: Notification, now_us: int, resend_s: float) -> dict[str, Any]:
    """One alert of the body. Firing, it ends by itself after `life_s`; resolved, it ended when it did."""
    notice = notification.notice
    starts_us = notice.fired_us or notice.at_us
    if notice.state == "resolved":
        ends_us = max(starts_us, notice.resolved_us or notice.at_us)
    else:
        ends_us = now_us + round(life_s(resend_s) * 1_000_000)
    annotations = {**notification.facts(), **notice.members.annotations}
    annotations.setdefault("summary", notification.title())
    sent: dict[str, Any] = {
        "labels": labels(notification),
        "annotations": annotations,
        "startsAt": rfc3339(starts_us),
        "endsAt": rfc3339(ends_us),
    }
    if (board := notification.links.board(notice)) is not None:
        sent["generatorURL"] = board
    return sent


class Replica:
    """One of the Alertmanagers of a receiver; each has to be told by itself."""

    def __init__(self, url: str, http: Http) -> None:
        self.address = host_of(url)  # to be shown
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._http = http

    async def post(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Raises SinkError."""
        for start in range(0, len(alerts), _AT_ONCE):
            body = msgspec.json.encode(alerts[start : start + _AT_ONCE])
            await self._http.request("POST", self._url, data=body, headers={"Content-Type": "application/json"})

    async def active(self, wanted: dict[str, str]) -> list[dict[str, Any]]:
        """The alerts with exactly these labels that it takes for active. Raises SinkError."""
        found = await self._http.request("GET", self._url, params={"active": "true"})
        alerts: list[dict[str, Any]] = msgspec.json.decode(found)
        return [one for one in alerts if one["labels"] == wanted]

    async def close(self) -> None:
        await self._http.close()
