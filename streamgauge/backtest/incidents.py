"""Labelled incidents: when something really was wrong, as people remember it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml

from engine.catalog.model import Catalog

_KEYS = ("kpi", "from", "to", "comment")


class UnusableIncidents(Exception):
    """The file cannot be used; the message says why, and where."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Microseconds since 1970; ``to_us`` is not included."""

    kpi: str
    from_us: int
    to_us: int
    comment: str = ""


def read_incidents(path: Path, catalog: Catalog) -> list[Incident]:
    """YAML (a list, or a list under ``incidents``) or CSV with a header: kpi, from, to, comment.

    Times without an offset are local to the KPI; a date is its midnight. Raises UnusableIncidents.
    """
    if not path.exists():
        raise UnusableIncidents(f"{path} does not exist")
    try:
        rows = _csv(path) if path.suffix.lower() == ".csv" else _yaml(path)
    except (yaml.YAMLError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableIncidents(f"{path} cannot be read: {error}") from error
    return [_incident(row, f"{path}, incident {number}", catalog) for number, row in enumerate(rows, start=1)]


def _csv(path: Path) -> list[object]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _yaml(path: Path) -> list[object]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if isinstance(found, dict):
        found = found.get("incidents")
    if not isinstance(found, list):
        raise UnusableIncidents(f"{path} is no list of incidents: - {{kpi: ..., from: ..., to: ..., comment: ...}}")
    return found


def _incident(row: object, place: str, catalog: Catalog) -> Incident:
    if not isinstance(row, dict) or not {"kpi", "from", "to"} <= set(row):
        raise UnusableIncidents(f"{place}: an incident has kpi, from and to, and may have a comment")
    unknown = [str(key) for key in row if key not in _KEYS]
    if unknown:
        raise UnusableIncidents(f"{place}: unknown key {', '.join(unknown)}; there are {', '.join(_KEYS)}")
    kpi = catalog.kpis.get(str(row["kpi"]))
    if kpi is None:
        raise UnusableIncidents(f"{place}: the catalog has no KPI {row['kpi']}")
    try:
        first, last = (instant_us(row[key], kpi.calendar.timezone) for key in ("from", "to"))
    except ValueError as error:
        raise UnusableIncidents(f"{place}: {error}") from error
    if first >= last:
        raise UnusableIncidents(f"{place}: from is not before to")
    return Incident(kpi.name, first, last, str(row.get("comment") or ""))


def instant_us(value: object, timezone: str) -> int:
    """Microseconds of a date or a time, as YAML or a text has it. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ValueError("write a time as 2026-03-01T09:00:00Z, or a date as 2026-03-01")
    local = value if value.tzinfo else value.replace(tzinfo=ZoneInfo(timezone))
    return round(local.timestamp() * 1_000_000)
