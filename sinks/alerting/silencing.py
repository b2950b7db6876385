"""Silences as people ask for them: what is asked is held against the catalog, and has an end that is not far away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from engine.catalog.matching import one_of
from engine.catalog.model import Catalog
from engine.event_time.durations import nominal_us, parse_duration
from sinks.alerting.silence_records import SilenceRecord

LONGEST: Final = timedelta(days=90)
_COMMENT: Final = 500


class NotSilenced(Exception):
    """What was asked for makes no silence: ``member`` of what was asked, and what is wrong with it."""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(message)
        self.member = member


def silence_for(
    catalog: Catalog,
    now: datetime,
    *,
    id: str,
    kpis: Sequence[str],
    comment: str,
    until: datetime | None,
    alerts: Sequence[str] = (),
    where: Mapping[str, str] | None = None,
    by: str | None = None,
) -> SilenceRecord:
    """A silence from ``now`` on. Times have an offset. Raises NotSilenced."""
    _check_names(catalog, kpis, alerts, where or {})
    if not comment.strip():
        raise NotSilenced("comment", "say why, for those who wonder that nothing comes")
    if len(comment) > _COMMENT:
        raise NotSilenced("comment", f"has {len(comment):,} characters; write at most {_COMMENT}")
    if until is None:
        raise NotSilenced("for", "a silence has an end: say for how long, as 2h, or until when")
    if until <= now:
        raise NotSilenced("until", f"{until.isoformat(timespec='seconds')} has passed")
    if until > now + LONGEST:
        raise NotSilenced(
            "until",
            f"a silence lasts at most {LONGEST.days} days; what is not wanted for longer belongs in the catalog",
        )
    return SilenceRecord(
        id=id,
        comment=comment.strip(),
        until=_whole(until),
        from_=_whole(now),
        created=_whole(now),
        by=by,
        kpis=tuple(dict.fromkeys(kpis)),
        alerts=tuple(dict.fromkeys(alerts)),
        where=dict(where or {}),
    )


def after(now: datetime, length: str) -> datetime:
    """The moment so long after ``now``: ``30m``, ``2h``, ``1d`` of 24 hours. Raises NotSilenced."""
    try:
        return now + timedelta(microseconds=nominal_us(parse_duration(length)))
    except ValueError as error:
        raise NotSilenced("for", str(error)) from error


def lasting(found: Mapping[str, SilenceRecord], now: datetime) -> list[SilenceRecord]:
    """Those that have not ended, in the order in which they do."""
    return sorted((one for one in found.values() if one.until > now), key=lambda one: (one.until, one.id))


def silence_object(silence: SilenceRecord) -> dict[str, Any]:
    """The JSON object, with every member."""
    members: dict[str, Any] = msgspec.to_builtins(silence)
    return members


def _check_names(catalog: Catalog, kpis: Sequence[str], alerts: Sequence[str], where: Mapping[str, str]) -> None:
    if not kpis:
        raise NotSilenced("kpis", "name at least one KPI")
    for name in kpis:
        if name not in catalog.kpis:
            raise NotSilenced("kpis", f"there is no KPI {name!r}; {one_of(name, list(catalog.kpis), 'KPIs')}")
        if not catalog.kpis[name].alerts:
            raise NotSilenced("kpis", f"KPI {name} has no alerts, so there is nothing to silence")
    rules = list(dict.fromkeys(rule.name for name in kpis for rule in catalog.kpis[name].alerts))
    for alert in alerts:
        if alert not in rules:
            raise NotSilenced(
                "alerts", f"{' and '.join(kpis)} has no alert {alert!r}; {one_of(alert, rules, 'alerts')}"
            )
    for name in kpis:
        dimensions = catalog.kpis[name].group_by
        for dimension in where:
            if dimension not in dimensions:
                hint = one_of(dimension, dimensions, "dimensions")
                raise NotSilenced("where", f"KPI {name} is not grouped by {dimension!r}; {hint}")


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
