"""Rows of values for the sinks' tests, told by what matters in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import xxhash

from engine.values import KpiFacts, ValueRows, columns

HOUR_US = 3_600_000_000
FIRST_END_US = 1_795_388_400_000_000  # 2026-11-23T00:00:00+01:00
SALES = KpiFacts(
    name="sales",
    dimensions=(("region", "string"),),
    unit="EUR",
    timezone="Europe/Amsterdam",
    definition="9f2c41d07a3e",
    definition_sequence=3,
    favorable="up",
    title='Sales, "all" of them',
    owner="cro",
    goal=None,
    category="strategic",
    indicator="lagging",
    length_us=24 * HOUR_US,
)


def later_definition(sequence: int) -> KpiFacts:
    return replace(SALES, definition_sequence=sequence)


def row(
    region: str | None = "EU",
    *,
    hour: int = 0,
    progress: int = 1,
    revision: int = 0,
    value: str | None = "10.50",
    **changed: Any,
) -> dict[str, Any]:
    """One value of a region; ``hour`` counts windows, and revision 1 and more are closed or revised."""
    end_us = FIRST_END_US + hour * HOUR_US
    return {
        "h": xxhash.xxh64_intdigest(repr(region).encode()),
        "dims": f"region={region}" if region is not None else "region=__null__",
        "dim.region": region,
        "window_start": end_us - 24 * HOUR_US,
        "window_end": end_us,
        "state": ("open", "closed", "revised")[min(revision, 2)],
        "revision": revision,
        "progress": progress,
        "value": value,
        "reason": None if value is not None else "no_data",
        "samples": 3,
        "watermark": end_us - 1_000_000,
        "target": "10",
        "status": "ok",
        "status_reason": "5.0 % above target",
        "compare_value": "9.25",
        "compare_change": 0.135,
        "final_after": end_us + 24 * HOUR_US,
    } | changed


PACE = {
    "pace_share": 0.82,
    "pace_expected": "12.804878",
    "pace_elapsed": 0.333333,
    "pace_forecast": "31.5",
    "pace_low": None,
    "pace_high": None,
    "pace_way": "seasonal",
    "pace_reason": "82 % of the pace for day 10 of 30",
}


def rows(*entries: dict[str, Any], kpi: KpiFacts = SALES) -> ValueRows:
    return ValueRows(kpi, pl.DataFrame(list(entries), schema=columns(tuple(name for name, _ in kpi.dimensions))))
