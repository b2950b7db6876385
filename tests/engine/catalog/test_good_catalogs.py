"""Catalogs that load, and what they load to."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from engine.catalog.alerting import MINUTE_US, Alert, Anomaly, Change, Holidays, NoData, PaceBelow, Threshold
from engine.catalog.loader import parse
from engine.catalog.model import (
    Calendar,
    Catalog,
    Cumulate,
    Duration,
    FieldType,
    Hop,
    Objective,
    Offset,
    Review,
    Tumble,
    Watermark,
)

GOOD = sorted((Path(__file__).parent / "good").glob("*.yaml"))
HOUR_US = 3_600_000_000


def load(*texts: str) -> Catalog:
    loaded = parse([(f"{number}.yaml", text) for number, text in enumerate(texts)])
    assert loaded.problems == ()
    assert loaded.catalog is not None
    return loaded.catalog


@pytest.fixture(scope="module")
def everything() -> Catalog:
    return load((Path(__file__).parent / "good" / "everything.yaml").read_text())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_it_loads(path: Path) -> None:
    load(path.read_text())


def test_the_catalog_of_the_design_loads_to_these_values() -> None:
    catalog = load((Path(__file__).parent / "good" / "storefront.yaml").read_text())
    assert catalog.name == "storefront"
    assert catalog.calendar == Calendar("Europe/Amsterdam", 0, 1)
    source = catalog.sources["orders"]
    assert (source.topic, source.format, source.event_time, source.identity) == (
        "shop.orders",
        "json",
        "ordered_at",
        "event_id",
    )
    assert source.dedupe_us == 72 * HOUR_US
    assert source.allowed_lateness_us == 24 * HOUR_US
    assert source.watermark == Watermark(30_000_000, 120_000_000, 300_000_000, 24 * HOUR_US)
    assert source.fields["cost"].optional
    assert source.fields["cost"].type == FieldType("decimal", 12, 2)
    assert source.fields["region"].max_values == 50
    assert catalog.metrics["buyers"].accuracy == Decimal("0.02")
    assert catalog.metrics["basket_p95"].percentile == Decimal("0.95")
    assert catalog.metrics["revenue"].fill_nulls_with == 0
    kpi = catalog.kpis["revenue_by_region_30d"]
    assert kpi.window == Hop(Duration(30, "d"), Duration(1, "h"))
    assert kpi.compare == Offset(30, "d")
    assert kpi.review == Review(Duration(90, "d"), "2026-10-01")
    assert kpi.objectives == (Objective("gte", Decimal(1200000), where={"region": "EU"}, valid_from="2026-01-01"),)
    assert kpi.alerts == (
        Alert(
            "RevenueLow",
            Threshold(lower=Decimal(1000000), recover_lower=Decimal(1050000)),
            severity="critical",
            for_us=15 * MINUTE_US,
            keep_firing_for_us=30 * MINUTE_US,
        ),
    )
    assert catalog.kpis["gross_margin"].window == Cumulate("month", Duration(1, "h"))
    assert catalog.kpis["gross_margin"].type == "derived"


def test_defaults_of_a_source(everything: Catalog) -> None:
    visits = everything.sources["visits"]
    assert visits.timezone == "Asia/Kathmandu"
    assert (visits.event_time, visits.identity, visits.dedupe_us) == (None, None, None)
    assert visits.watermark == Watermark()
    assert visits.allowed_lateness_us == 0


def test_an_identity_without_dedupe_is_remembered_as_long_as_protocol_rule_5_asks() -> None:
    catalog = load(
        "version: 1\nname: a\nsources:\n  s:\n    topic: t\n    event_time: at\n    identity: id\n"
        "    watermark: {delay: 30s}\n    fields: {at: timestamp, id: string}\n"
    )
    assert catalog.sources["s"].dedupe_us == 24 * HOUR_US + 30_000_000


def test_cloudevents_deduplicate_by_their_envelope(everything: Catalog) -> None:
    logins = everything.sources["logins"]
    assert (logins.identity, logins.dedupe_us) == (None, 48 * HOUR_US)
    assert logins.watermark.seal_idle_after_us == 48 * HOUR_US  # the larger of 24h and the lateness


def test_fields(everything: Catalog) -> None:
    fields = everything.sources["orders"].fields
    assert fields["at"].path == ("meta", "time", "ms")
    assert (fields["at"].unit, fields["at"].optional) == ("ms", False)
    assert fields["region"].optional
    assert fields["region"].type == FieldType("string")
    assert fields["amount"].type == FieldType("decimal", 12, 2)
    assert fields["store"].path == ("store",)
    assert "NO" in fields


def test_calendars(everything: Catalog) -> None:
    assert everything.kpis["hourly"].calendar == Calendar("Asia/Kathmandu", 6, 4)
    assert everything.kpis["by_case"].calendar == Calendar("Europe/Dublin", 6, 4)


def test_windows_and_offsets(everything: Catalog) -> None:
    assert everything.kpis["hourly"].window == Tumble(size=Duration(1, "h"))
    assert everything.kpis["weekly"].window == Tumble(grain="week")
    assert everything.kpis["weekly"].compare == Offset(1, "w")
    assert everything.kpis["quarterly"].compare == Offset(4, "quarter")


def test_what_a_kpi_says(everything: Catalog) -> None:
    kpi = everything.kpis["by_case"]
    assert kpi.group_by == ("city", "gift")
    assert kpi.labels == {"team": "finance", "cost_center": "4711", "audited": "true"}
    assert kpi.expires == Duration(3 * 366, "d")
    assert kpi.objectives[0] == Objective("between", Decimal(10), Decimal("20.5"))
    assert kpi.objectives[1].where == {"city": "1040", "gift": "true"}
    assert kpi.objectives[1].warn_within == Decimal("0.25")


def test_a_folder_of_files_is_one_catalog() -> None:
    sources = "version: 1\nsources:\n  s: {topic: t, event_time: at, fields: {at: timestamp}}\n"
    kpis = "version: 1\nkpis:\n  k: {metric: m, window: {type: tumble, grain: day}}\n"
    metrics = "version: 1\nname: split\ndefaults: {timezone: Europe/Paris}\nmetrics:\n  m: {source: s, agg: count}\n"
    catalog = load(sources, kpis, metrics)
    assert (catalog.name, catalog.kpis["k"].calendar.timezone) == ("split", "Europe/Paris")
    assert catalog.text == "\n---\n".join([sources, kpis, metrics])


def test_files_are_taken_in_the_order_of_their_names() -> None:
    parts = [("b.yaml", "version: 1\n"), ("a.yaml", "version: 1\nname: n\n")]
    loaded = parse(parts)
    assert loaded.catalog is not None
    assert loaded.catalog.text == "version: 1\nname: n\n\n---\nversion: 1\n"


def test_names_across_files_are_told_once_and_located() -> None:
    one = "version: 1\nname: n\ngoals:\n  g: {title: G}\n"
    two = "version: 1\nname: m\ndefaults: {}\ngoals:\n  g: {title: H}\n"
    three = "version: 1\ndefaults: {}\n"
    loaded = parse([("1.yaml", one), ("2.yaml", two), ("3.yaml", three)])
    assert [str(problem) for problem in loaded.problems] == [
        "2.yaml:2: name stands in 1.yaml:2 already; keep one of the two",
        '2.yaml:5: goal "g": declared in 1.yaml:4 already; rename or remove one of the two',
        "3.yaml:2: defaults stands in 2.yaml:3 already; keep one of the two",
    ]


def test_a_file_that_is_not_yaml_hides_neither_the_others_nor_adds_what_would_follow_from_it() -> None:
    broken = "version: 1\nmetrics: [x\n"
    kpis = "version: 1\nname: n\nkpis:\n  k: {metric: m, windo: {type: tumble, grain: day}}\n"
    loaded = parse([("1.yaml", broken), ("2.yaml", kpis)])
    assert [(problem.file, problem.message) for problem in loaded.problems] == [
        ("1.yaml", "not YAML: did not find expected ',' or ']' (while parsing a flow sequence)"),
        ("2.yaml", 'unknown key "windo"'),
    ]


def test_no_file_at_all() -> None:
    problems = [problem.message for problem in parse([]).problems]
    assert "there is no YAML file here" in problems


def test_a_place_in_the_catalog_can_be_located() -> None:
    path = Path(__file__).parent / "good" / "storefront.yaml"
    loaded = parse([(path.name, path.read_text())])
    assert loaded.locate(("kpis", "gross_margin")) == "storefront.yaml:49"
    assert loaded.locate(("kpis", "gross_margin", "window", "step")) == "storefront.yaml:53"


def test_a_share_follows_the_kpis_own_objective_until_the_segment_has_another() -> None:
    own = ", ".join(
        (
            "{op: gte, value: 100}",
            *(f"{{op: gte, value: {n}00, valid_from: 2026-0{m}-01}}" for n, m in ((2, 3), (4, 9))),
        )
    )
    segment = "{op: gte, share: 25%, where: {r: EU}, valid_from: 2026-02-01}"
    later = "{op: gte, value: 70, where: {r: EU}, valid_from: 2026-06-01}"
    catalog = load(
        "version: 1\nname: a\nsources:\n  s: {topic: t, event_time: at, fields: {at: timestamp, r: string}}\n"
        "metrics:\n  n: {source: s, agg: count}\nkpis:\n"
        "  k: {metric: n, group_by: [r], window: {type: tumble, size: 1h},\n"
        f"      objectives: [{segment}, {own}, {later}]}}\n"
    )
    held = [(one.value, one.valid_from) for one in catalog.kpis["k"].objectives if one.where]
    assert held == [(25, "2026-02-01"), (70, "2026-06-01"), (50, "2026-03-01")]


def test_conditions_and_silences_are_read_as_they_are_meant(everything: Catalog) -> None:
    alerts = {alert.name: alert for kpi in everything.kpis.values() for alert in kpi.alerts}
    assert alerts["Change"].when == Change(Threshold(*map(Decimal, ("-0.05", "0.5", "-0.04", "0.4"))))
    assert alerts["Unlike"].when == Anomaly(Decimal(4), Decimal(4), 8, 4)
    assert alerts["NoData"].when == NoData(48 * HOUR_US, 14 * 24 * HOUR_US)
    assert [pair.rate for pair in alerts["BurnsFast"].when.windows] == [Decimal("14.4"), 6]  # type: ignore[union-attr]
    assert alerts["Pace"].when == PaceBelow(Decimal("0.9"), Decimal("0.95"))
    assert (alerts["Seen"].evaluate, alerts["Fall"].evaluate) == ("open", "closed")
    night, move, days_off, sundays = everything.silences
    assert (night.start_minute, night.end_minute, night.timezone) == (22 * 60, 6 * 60, "Europe/Dublin")
    assert move.from_us == 1_798_114_500_000_000  # 18:00 in Kathmandu, 12:15 UTC
    assert days_off.holidays and sundays.weekdays == ("sunday",)
    assert everything.holidays == Holidays("DE", "BY")
