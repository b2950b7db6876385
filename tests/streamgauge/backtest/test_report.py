"""What is counted: pages, nights, mutes, silences and incidents; and rules that are tried on recorded values."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.alerts.verdicts import of_values
from engine.catalog.alerting import Threshold
from engine.catalog.loader import parse
from engine.catalog.model import Catalog
from streamgauge.backtest.firings import Change, changes_of, firings
from streamgauge.backtest.incidents import Incident, UnusableIncidents, read_incidents
from streamgauge.backtest.reading import open_files, replay_files
from streamgauge.backtest.replay import Replay
from streamgauge.backtest.report import AlertReport, Span, counted_firings, report_of
from streamgauge.backtest.suggest import Search, UnreadableBudget, budget_of, suggest, yaml_of
from tests.streamgauge.backtest.conftest import CATALOG, catalog_of, lines

HOUR = 3_600_000_000
DAY = 24 * HOUR
JANUARY = 1_767_225_600_000_000  # 2026-01-01, a Thursday


def change(alert: str, state: str, hours: float, *, kpi: str = "revenue_hour", region: str | None = None) -> Change:
    severity = "critical" if (alert, region) == ("Low", None) else "warning"
    dims = {} if region is None else {"region": region}
    return Change(alert, kpi, dims, state, severity, None, None, JANUARY + round(hours * HOUR), "")


@pytest.fixture
def catalog(shop: Path) -> Catalog:
    return catalog_of(shop)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    loaded = parse([("shop.yaml", CATALOG)])
    assert loaded.catalog is not None
    path = tmp_path_factory.mktemp("events") / "orders.jsonl"
    path.write_bytes(b"\n".join(lines(late=0.02)))
    return replay_files(loaded.catalog, open_files(loaded.catalog, [("orders", path)]))


def reported(catalog: Catalog, changes: list[Change], incidents: list[Incident], alert: str) -> AlertReport:
    replay = Replay(catalog, {"orders": 1})
    span = Span(JANUARY, JANUARY + 30 * DAY)
    found = firings(changes, catalog, span.to_us)
    report = report_of(replay, catalog, found, span, incidents)
    return next(one for one in report.alerts if one.alert == alert)


def test_nights_flapping_and_lengths(catalog: Catalog) -> None:
    changes = [
        change("Low", "firing", 23), change("Low", "resolved", 25),
        change("Low", "firing", 25.5), change("Low", "resolved", 32),
        change("Low", "firing", 60),
    ]  # fmt: skip
    found = reported(catalog, changes, [], "Low")
    assert (found.pages, found.at_night, found.flapping, found.still_firing) == (3, 2, 1, 1)
    assert found.longest_seconds == (30 * 24 - 60) * 3600 and found.first == "2026-01-01T23:00:00Z"
    assert found.pages_a_month == 3 and found.detected is None


def test_a_warning_pages_only_once_its_critical_is_over(catalog: Catalog) -> None:
    """Together at one instant, in whichever order they are told."""
    changes = [
        change("Lowish", "firing", 10), change("Low", "firing", 10),
        change("Low", "resolved", 12), change("Lowish", "resolved", 13),
        change("Low", "firing", 20), change("Lowish", "firing", 21),
        change("Lowish", "resolved", 22), change("Low", "resolved", 23),
    ]  # fmt: skip
    lowish = [one for one in firings(changes, catalog, JANUARY + DAY) if one.change.alert == "Lowish"]
    assert [one.paged_us for one in lowish] == [JANUARY + 12 * HOUR, None]
    assert [one.muted_by for one in lowish] == ["Low|revenue_hour|-"] * 2


def test_a_silence_holds_back_until_it_ends(catalog: Catalog) -> None:
    saturday = 48
    changes = [
        change("Few", "firing", saturday + 1, kpi="orders_day"),
        change("Few", "resolved", saturday + 20, kpi="orders_day"),
        change("Few", "firing", saturday + 7 * 24 + 1, kpi="orders_day"),
        change("Few", "resolved", saturday + 7 * 24 + 2, kpi="orders_day"),
    ]
    found = firings(changes, catalog, JANUARY + 14 * DAY)
    assert [one.paged_us for one in found] == [JANUARY + (saturday + 12) * HOUR, None]
    assert {one.silenced_by for one in found} == {"saturdays"}


def test_incidents_are_detected_missed_and_pages_false(catalog: Catalog) -> None:
    changes = [
        change("Low", "firing", 10), change("Low", "resolved", 12),
        change("Low", "firing", 30), change("Low", "resolved", 31),
    ]  # fmt: skip
    incidents = [
        Incident("revenue_hour", JANUARY + 9 * HOUR, JANUARY + 12 * HOUR, "till down"),
        Incident("revenue_hour", JANUARY + 50 * HOUR, JANUARY + 51 * HOUR, "nobody saw it"),
    ]
    found = reported(catalog, changes, incidents, "Low")
    assert (found.detected, found.missed, found.false, found.detect_seconds) == (1, 1, 1, 3600)
    assert [one.detected for one in found.incidents] == [True, False]
    assert [one.false for one in found.firings] == [False, True]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "- {kpi: sales, from: 2026-01-01, to: 2026-01-02}", "the catalog has no KPI sales"),
        ("a.yaml", "- {kpi: orders_day, from: 2026-01-02, to: 2026-01-01}", "from is not before to"),
        ("a.yaml", "- {kpi: orders_day, from: noon, to: 2026-01-01}", "write a time as"),
        ("a.csv", "kpi,from,until\norders_day,2026-01-01,2026-01-02\n", "has kpi, from and to"),
        ("a.yaml", "kpi: orders_day", "is no list of incidents"),
    ],
)
def test_incidents_that_cannot_be_used(catalog: Catalog, tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UnusableIncidents, match=said):
        read_incidents(tmp_path / name, catalog)


def test_incidents_of_yaml_and_csv(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("incidents:\n- {kpi: orders_day, from: 2026-01-01, to: 2026-01-02T12:00:00Z}\n")
    (tmp_path / "a.csv").write_text("kpi,from,to,comment\norders_day,2026-01-01,2026-01-02T12:00Z,\n")
    expected = [Incident("orders_day", JANUARY, JANUARY + 36 * HOUR)]
    assert read_incidents(tmp_path / "a.yaml", catalog) == read_incidents(tmp_path / "a.csv", catalog) == expected


# -- suggestions -------------------------------------------------------------------------------------------------------


def test_a_rule_tried_on_recorded_values_fires_as_it_did(catalog: Catalog, replay: Replay) -> None:
    span = Span(replay.first_us, replay.last_us)
    fired = firings(changes_of(replay.objects), catalog, span.to_us)
    tried = 0
    for kpi in catalog.kpis.values():
        for rule in (rule for rule in kpi.alerts if isinstance(rule.when, Threshold)):
            values = replay.values(kpi.name)
            assert values is not None
            search = Search(kpi, rule, values, catalog, span)
            found = sorted(pair for _, pair in search.firings(rule, of_values(rule, search.frame)))
            mine = [one for one in fired if (one.change.kpi, one.change.alert) == (kpi.name, rule.name)]
            assert found == sorted((one.fired_us, one.ended_us or span.to_us) for one in mine), rule.name
            tried += len(found)
    assert tried > 20


def test_a_suggestion_keeps_the_budget_and_misses_no_more_than_it_must(catalog: Catalog, replay: Replay) -> None:
    kpi = catalog.kpis["revenue_hour"]
    span, values = Span(replay.first_us, replay.last_us), replay.values("revenue_hour")
    assert values is not None
    incidents = [
        Incident("revenue_hour", JANUARY + day * DAY + 9 * HOUR, JANUARY + day * DAY + 12 * HOUR, "slow")
        for day in (3, 8)
    ]
    found = suggest(kpi, kpi.alerts[0], values, catalog, span, incidents, 6.0)
    assert found.labelled and found.within and found.best.pages_a_month <= 6.0
    assert len(found.best.caught) == 2 and not found.best.missed
    pasted = CATALOG.replace(
        "      - {alert: Low, severity: critical, when: {below: 60, recover: 100}}",
        "\n".join(f"      {line}" for line in yaml_of(found).splitlines()),
    )
    loaded = parse([("shop.yaml", pasted)])
    assert loaded.catalog is not None, loaded.problems
    assert loaded.catalog.kpis["revenue_hour"].alerts[0] == found.best.rule
    again = counted_firings(replay, catalog, span)
    assert sum(one.change.alert == "Low" for one in again) >= found.best.pages


def test_no_budget_at_all_is_said(catalog: Catalog, replay: Replay) -> None:
    kpi = catalog.kpis["revenue_hour"]
    span, values = Span(replay.first_us, replay.last_us), replay.values("revenue_hour")
    assert values is not None
    found = suggest(kpi, kpi.alerts[0], values, catalog, span, [], 0.0)
    assert found.within == (found.best.pages == 0)


def test_budgets() -> None:
    assert budget_of("2/month") == 2 and budget_of("7/week") == 30 and budget_of("1/day") == 30
    for wrong in ("2", "two/month", "2/fortnight", "-1/day"):
        with pytest.raises(UnreadableBudget, match="write 2/month"):
            budget_of(wrong)
