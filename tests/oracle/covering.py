"""A catalog over the retail lines in which every aggregation meets every kind of window, every type of value it
takes, and every type of KPI, with time zones, weeks and fiscal years of several kinds.

``python -m tests.oracle.covering`` prints it. Slides are chosen so that the year has fewer than 400,000 closed values.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

_SOURCE: dict[str, Any] = {
    "topic": "covering.lines",
    "format": "json",
    "timezone": "America/New_York",
    "event_time": "sold_at",
    "identity": "line",
    "dedupe": "72h",
    "allowed_lateness": "48h",
    "watermark": {"delay": "30s", "idle_after": "1m", "max_future": "1h"},
    "fields": {
        "line": "integer",
        "sold_at": "timestamp",
        "household": {"type": "integer", "max_values": 5000},
        "store": "string",
        "basket": "integer",
        "product": "integer",
        "department": "string?",
        "private_label": "boolean?",
        "quantity": "integer",
        "sales": "decimal(12,2)",
        "discount": "decimal(12,2)",
        "unit_price": "number?",
        "picked_at": "timestamp",
    },
}

_NUMBERS = {"integer": "quantity", "decimal": "sales - discount", "number": "unit_price"}
_ANYTHING = {
    "integer": "household",
    "string": "department",
    "decimal": "sales",
    "boolean": "private_label",
    "timestamp": "picked_at",
}

# family -> name -> (window, compare, time zone)
_WINDOWS: dict[str, dict[str, tuple[dict[str, str], str | None, str | None]]] = {
    "tumble": {
        "8h": ({"type": "tumble", "size": "8h"}, "24h", None),
        "10d": ({"type": "tumble", "size": "10d"}, "20d", None),
        "2w": ({"type": "tumble", "size": "2w"}, "2w", "Asia/Kathmandu"),
        "1d": ({"type": "tumble", "size": "1d"}, "7d", "America/Sao_Paulo"),
    },
    "calendar": {
        "day": ({"type": "tumble", "grain": "day"}, "1d", "Australia/Lord_Howe"),
        "week": ({"type": "tumble", "grain": "week"}, "1 week", None),
        "month": ({"type": "tumble", "grain": "month"}, "1 month", None),
        "quarter": ({"type": "tumble", "grain": "quarter"}, "1 quarter", None),
        "year": ({"type": "tumble", "grain": "year"}, None, "America/New_York"),
    },
    "hop": {
        "48h_by_12h": ({"type": "hop", "size": "48h", "slide": "12h"}, "48h", None),
        "7d_by_1d": ({"type": "hop", "size": "7d", "slide": "1d"}, "7d", "America/Sao_Paulo"),
        "28d_by_7d": ({"type": "hop", "size": "28d", "slide": "7d"}, "1 month", None),
        "3d_by_12h": ({"type": "hop", "size": "3d", "slide": "12h"}, "3d", "Asia/Kathmandu"),
    },
    "cumulate": {
        "day_by_8h": ({"type": "cumulate", "grain_to_date": "day", "step": "8h"}, "7d", "UTC"),
        "week_by_1d": ({"type": "cumulate", "grain_to_date": "week", "step": "1d"}, "1 week", "Australia/Lord_Howe"),
        "month_by_1d": ({"type": "cumulate", "grain_to_date": "month", "step": "1d"}, "1 month", None),
        "quarter_by_1w": ({"type": "cumulate", "grain_to_date": "quarter", "step": "1w"}, "1 quarter", None),
        "year_by_10d": ({"type": "cumulate", "grain_to_date": "year", "step": "10d"}, None, "America/Sao_Paulo"),
    },
}

# Too many windows a year to divide by department.
_SHORT = ("8h", "48h_by_12h", "3d_by_12h", "day_by_8h")

_RATIOS = [
    ("sum_decimal", "count"),
    ("large_sales", "sum_decimal"),
    ("sum_decimal", "count_distinct_integer"),
    ("average_decimal", "average_number"),
    ("max_decimal", "min_decimal"),
    ("refunds", "large_sales"),
]
_DERIVED = [
    "sum_decimal - sum_integer",
    "(sum_decimal - private_sales) / sum_decimal",
    "sum_decimal / NULLIF(large_sales, 0)",
    "COALESCE(refunds, 0) + count * 2",
    "average_decimal * count_integer - sum_decimal",
]


def metrics() -> dict[str, dict[str, Any]]:
    """Every aggregation over every type of value it takes, and some with filters and fills."""
    named: dict[str, dict[str, Any]] = {"count": {"agg": "count"}}
    for kind, expr in {**_ANYTHING, **_NUMBERS}.items():
        named[f"count_{kind}"] = {"agg": "count", "expr": expr}
    for agg in ("sum", "average", "min", "max", "first", "last", "variance", "stddev"):
        for kind, expr in _NUMBERS.items():
            named[f"{agg}_{kind}"] = {"agg": agg, "expr": expr}
    for kind, expr in _ANYTHING.items():
        named[f"count_distinct_{kind}"] = {"agg": "count_distinct", "expr": expr, "accuracy": "2%", "exact_below": 500}
    named["count_distinct_exact"] = {
        "agg": "count_distinct",
        "expr": "basket",
        "accuracy": "1%",
        "exact_below": 200_000,
    }
    for kind, expr in _NUMBERS.items():
        named[f"percentile_{kind}"] = {"agg": "percentile", "percentile": 0.95, "expr": expr, "accuracy": "1%"}
        named[f"median_{kind}"] = {"agg": "median", "expr": expr, "accuracy": "0.5%"}
    named["rate_events"] = {"agg": "rate", "per": "hour"}
    named["rate_decimal"] = {"agg": "rate", "expr": "sales", "per": "minute"}
    named["private_sales"] = {"agg": "sum", "expr": "sales", "filter": "private_label", "fill_nulls_with": 0}
    named["large_sales"] = {
        "agg": "sum",
        "expr": "CASE WHEN sales >= 10 THEN sales ELSE 0 END",
        "filter": "department IN ('GROCERY', 'MEAT', 'DRUG GM') AND quantity BETWEEN 1 AND 20",
    }
    named["refunds"] = {"agg": "count", "filter": "sales < 0 OR (sales = 0 AND discount = 0)"}
    named["lowest_or_none"] = {
        "agg": "min",
        "expr": "sales",
        "filter": "department LIKE 'FLORAL%'",
        "fill_nulls_with": -1,
    }
    return {name: {"source": "lines", **given} for name, given in named.items()}


def kpis() -> Iterator[tuple[str, dict[str, Any]]]:
    for index, name in enumerate(metrics()):
        for family, windows in _WINDOWS.items():
            kpi: dict[str, Any] = {"metric": name}
            yield _windowed(name, kpi, index, family, windows)
    for index, (numerator, denominator) in enumerate(_RATIOS):
        for family, windows in _WINDOWS.items():
            kpi = {"type": "ratio", "numerator": numerator, "denominator": denominator}
            yield _windowed(f"ratio_{index + 1}", kpi, index, family, windows)
    for index, expr in enumerate(_DERIVED):
        for family, windows in _WINDOWS.items():
            yield _windowed(f"derived_{index + 1}", {"type": "derived", "expr": expr}, index, family, windows)
    day = {"type": "tumble", "grain": "day"}
    yield (
        "growth",
        {"type": "derived", "expr": "sum_decimal / sum_decimal@7d - 1", "group_by": ["private_label"], "window": day},
    )
    month = {"type": "tumble", "grain": "month"}
    yield (
        "rate_growth",
        {
            "type": "derived",
            "expr": "rate_events / rate_events@1 month - 1",
            "window": month,
            "compare": {"offset_window": "1 month"},
        },
    )
    yield (
        "households_by_month",
        {"metric": "sum_decimal", "group_by": ["household"], "window": month},
    )
    yield (
        "stores_and_labels",
        {
            "metric": "average_decimal",
            "group_by": ["store", "private_label"],
            "window": {"type": "tumble", "grain": "quarter"},
        },
    )
    yield (
        "departments_rolling",
        {
            "metric": "sum_decimal",
            "group_by": ["department"],
            "window": {"type": "hop", "size": "30d", "slide": "12h"},
            "compare": {"offset_window": "30d"},
        },
    )
    yield (
        "grocery_rolling",
        {
            "metric": "sum_decimal",
            "where": "department = 'GROCERY'",
            "window": {"type": "hop", "size": "90d", "slide": "1h"},
        },
    )


def _windowed(
    name: str,
    kpi: dict[str, Any],
    index: int,
    family: str,
    windows: dict[str, tuple[dict[str, str], str | None, str | None]],
) -> tuple[str, dict[str, Any]]:
    """One KPI with the family's next window; every third is divided, every fourth compared, some filtered."""
    label = list(windows)[(index + len(family)) % len(windows)]
    window, compare, zone = windows[label]
    kpi = {**kpi, "window": dict(window)}
    if index % 3 == 1:
        kpi["group_by"] = ["private_label"]
    elif index % 9 == 2:
        kpi["group_by"] = ["private_label" if label in _SHORT else "department"]
    if index % 4 == 3 and compare is not None:
        kpi["compare"] = {"offset_window": compare}
    if index % 7 == 6:
        kpi["where"] = "store <> '367'"
    if zone is not None:
        kpi["timezone"] = zone
    return f"{name}_{family}_{label}", kpi


def covering() -> dict[str, Any]:
    return {
        "version": 1,
        "name": "covering",
        "defaults": {"timezone": "Europe/Amsterdam", "week_start": "sunday", "fiscal_year_start": "july"},
        "sources": {"lines": _SOURCE},
        "metrics": metrics(),
        "kpis": dict(kpis()),
    }


def covering_yaml() -> str:
    """The catalog as the YAML document that the engine and the oracle read."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 200
    out = StringIO()
    yaml.dump(covering(), out)
    return out.getvalue()


if __name__ == "__main__":
    sys.stdout.write(covering_yaml())
