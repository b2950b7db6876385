"""What a notification says: the members of an alert, where to look, and what contributes to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from engine.alerts.contributions import Contribution
from engine.values import NULL
from sinks.alerting.notices import Notice, rfc3339
from sinks.names import dashboard_uid


@dataclass(frozen=True, slots=True)
class Links:
    """Where board and Grafana are for people; None where nobody said."""

    catalog: str
    board_url: str | None = None
    grafana_url: str | None = None

    def board(self, notice: Notice) -> str | None:
        """The page of the KPI's series."""
        if self.board_url is None:
            return None
        query = urlencode({name: NULL if value is None else value for name, value in notice.dims.items()})
        return f"{self.board_url.rstrip('/')}/kpi/{quote(notice.kpi, safe='')}{f'?{query}' if query else ''}"

    def dashboard(self, notice: Notice) -> str | None:
        if self.grafana_url is None:
            return None
        return f"{self.grafana_url.rstrip('/')}/d/{dashboard_uid('kpi', self.catalog, notice.kpi)}"


@dataclass(frozen=True, slots=True)
class Notification:
    """One message: an alert as it was decided, with what belongs to it."""

    notice: Notice
    links: Links
    contributions: Sequence[Contribution] = ()
    drill: bool = False

    @property
    def message_id(self) -> str:
        """The same whenever the same is sent again, so that repeats can be dropped."""
        return f"{self.notice.id}-{self.notice.state}"

    def json(self) -> bytes:
        """The alert's object with ``catalog``, ``contributions``, ``links`` and ``drill`` added."""
        members: dict[str, Any] = msgspec.json.decode(self.notice.text, type=dict[str, msgspec.Raw])
        members |= {
            "catalog": self.links.catalog,
            "contributions": [
                {"kpi": one.kpi, "dims": dict(one.dims), "value": one.value, "against": one.against, "share": one.share}
                for one in self.contributions
            ],
            "links": {
                "board": self.links.board(self.notice),
                "dashboard": self.links.dashboard(self.notice),
                "runbook": self.notice.members.runbook_url,
            },
            "drill": self.drill,
        }
        return _ENCODER.encode(members)

    def title(self) -> str:
        """``FIRING critical SalesLow: Sales (region=EU)``."""
        told = self.notice.members
        where = f" ({_where(self.notice)})" if self.notice.dims else ""
        marked = "DRILL, nothing is wrong: " if self.drill else ""
        return f"{marked}{told.state.upper()} {told.severity} {told.alert}: {told.title or told.kpi}{where}"

    def facts(self) -> dict[str, str]:
        """What there is to say, by what it is, in the order in which it is said."""
        told, window = self.notice.members, self.notice.members.window
        unit = f" {told.unit}" if told.unit else ""
        state = f", window {told.window_state}" if told.window_state else ""
        found: dict[str, str | None] = {
            "reason": told.reason,
            "condition": told.condition,
            "value": None if told.value is None else f"{told.value:f}{unit}",
            "target": None if told.target is None else f"{told.target:f}{unit}",
            "bound": None if told.bound is None else f"{told.bound:f}{unit}",
            "since": None if told.since is None else told.since.isoformat().replace("+00:00", "Z"),
            "window": None if window is None else f"{window.start} to {window.end}",
            "certainty": None if told.samples is None else f"{told.samples} events{state}",
            "contributions": "; ".join(map(str, self.contributions)) or None,
            "owner": told.owner,
            "goal": told.goal,
            "runbook_url": told.runbook_url,
            "board_url": self.links.board(self.notice),
            "dashboard_url": self.links.dashboard(self.notice),
        }
        if told.state == "resolved" and self.notice.resolved_us is not None:
            found["resolved"] = rfc3339(self.notice.resolved_us)
        return {name: text for name, text in found.items() if text}

    def body(self) -> str:
        """Lines for people."""
        own = [text for text in self.notice.members.annotations.values() if text]
        return "\n".join([*own, *(f"{name.replace('_', ' ')}: {text}" for name, text in self.facts().items())])


def _where(notice: Notice) -> str:
    return ", ".join(f"{name}={NULL if value is None else value}" for name, value in notice.dims.items())


_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
