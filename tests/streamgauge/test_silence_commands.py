"""silence against a real Kafka: what is made is a record that delivery reads."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sinks.alerting.silence_records import decode_silence
from sinks.alerting.silencing import NotSilenced, after, silence_for
from sinks.names import silences_topic
from streamgauge.catalog_files import read_catalog
from streams.silences import read_silences, write_silence
from tests.streamgauge.conftest import Run
from tests.streamgauge.test_kafka_commands import name_of, written

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ALERTS = """\
  revenue_by_region:
    metric: revenue
    group_by: [region]
    window: {type: tumble, size: 1h}
    alerts:
      - {alert: RevenueLow, when: {below: 100}}
      - {alert: RevenueGone, when: {no_data: 2h}}
"""


@pytest.fixture
def shop(orders: Path) -> Path:
    """A catalog with alerts."""
    orders.write_text(orders.read_text() + ALERTS)
    return orders


def test_a_silence_is_made_listed_and_ended(streamgauge: Run, shop: Path, kafka: str) -> None:
    streamgauge("topics", shop, "--brokers", kafka)
    began = datetime.now(UTC).replace(microsecond=0)
    made = streamgauge(
        "silence", "revenue_by_region", shop, "--for", "2h", "--comment", "stocktaking", "--alert", "RevenueLow",
        "--where", "region=EU", "--brokers", kafka,
    )  # fmt: skip
    assert made.code == 0, made.err
    id_ = made.out.strip()
    ((_, key, value),) = written(kafka, silences_topic(name_of(shop)))
    assert key == id_.encode() and value is not None
    record = decode_silence(value)
    assert (record.kpis, record.alerts, record.where) == (("revenue_by_region",), ("RevenueLow",), {"region": "EU"})
    assert record.comment == "stocktaking" and record.by
    assert record.until - record.from_ == timedelta(hours=2) and began <= record.from_ <= datetime.now(UTC)
    assert f"until {record.until:%a %d %b %H:%M} UTC" in made.err and f"silence end {id_}" in made.err

    listed = streamgauge("silence", "list", shop, "--brokers", kafka)
    assert id_ in listed.out and "stocktaking" in listed.out and "region=EU" in listed.out
    ended = streamgauge("silence", "end", id_, shop, "--brokers", kafka)
    assert (ended.code, ended.err) == (0, f"silence {id_} has ended\n")
    assert streamgauge("silence", "list", shop, "--brokers", kafka, "--format", "json").out == "[]\n"
    assert written(kafka, silences_topic(name_of(shop)))[-1][1:] == (id_.encode(), None)
    again = streamgauge("silence", "end", id_, shop, "--brokers", kafka)
    assert again.code == 1 and f"no silence {id_} is on" in again.err


def test_until_is_in_the_catalogs_time_zone(streamgauge: Run, shop: Path, kafka: str) -> None:
    shop.write_text(shop.read_text() + "defaults: {timezone: Europe/Amsterdam}\n")
    streamgauge("topics", shop, "--brokers", kafka)
    until = (datetime.now(UTC) + timedelta(days=2)).replace(hour=6, minute=0)
    made = streamgauge(
        "silence", "make", "revenue_by_region", shop, "--until", f"{until:%Y-%m-%dT%H:%M}", "--comment", "x",
        "--brokers", kafka, "--format", "json",
    )  # fmt: skip
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert told["kpis"] == ["revenue_by_region"] and told["alerts"] == [] and told["where"] == {}
    hours = (until.replace(second=0, microsecond=0) - datetime.fromisoformat(told["until"])).total_seconds() / 3600
    assert hours in (1, 2)  # winter, summer


def test_one_that_has_ended_by_itself_is_not_listed(streamgauge: Run, shop: Path, kafka: str) -> None:
    streamgauge("topics", shop, "--brokers", kafka)
    catalog = read_catalog(shop).catalog
    assert catalog is not None
    past = silence_for(
        catalog, NOON - timedelta(days=400), id="old", kpis=["revenue_by_region"], comment="x",
        until=NOON - timedelta(days=399),
    )  # fmt: skip
    asyncio.run(write_silence(catalog.name, past.id, past, kafka))
    assert asyncio.run(read_silences(catalog.name, kafka)) == {"old": past}
    assert streamgauge("silence", "list", shop, "--brokers", kafka).out == ""
    assert streamgauge("silence", "end", "old", shop, "--brokers", kafka).code == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["revenue_by_regoin", "--for", "2h"],
            "KPI: there is no KPI 'revenue_by_regoin'; did you mean \"revenue_by_re",
        ),
        (["revenue_today", "--for", "2h"], "KPI: KPI revenue_today has no alerts"),
        (["revenue_by_region", "--for", "2h", "--alert", "RevenueLo"], "--alert: revenue_by_region has no alert 'Reve"),
        (["revenue_by_region", "--for", "2h", "--where", "shop=1"], "is not grouped by 'shop'; dimensions are: region"),
        (["revenue_by_region", "--for", "2h", "--where", "region"], "write DIMENSION=VALUE"),
        (["revenue_by_region"], "--for: a silence has an end"),
        (["revenue_by_region", "--for", "91d"], "at most 90 days"),
        (["revenue_by_region", "--for", "soon"], "'soon' is not a duration"),
        (["revenue_by_region", "--until", "2020-01-01T00:00"], "--until: 2020-01-01T00:00:00+00:00 has passed"),
        (["revenue_by_region", "--until", "tomorrow"], "write a time, for example"),
        (["revenue_by_region", "--until", "2030-01-01", "--for", "2h"], "are two ends; keep one"),
    ],
)
def test_what_makes_no_silence_is_wrong_use(streamgauge: Run, shop: Path, arguments: list[str], told: str) -> None:
    kpi, *rest = arguments
    ended = streamgauge("silence", kpi, shop, *rest, "--comment", "x", "--brokers", "127.0.0.1:1")
    assert ended.code == 2 and not ended.out
    assert told in ended.err


def test_a_topic_that_is_missing_is_said_so(streamgauge: Run, shop: Path, kafka: str) -> None:
    ended = streamgauge("silence", "revenue_by_region", shop, "--for", "2h", "--comment", "x", "--brokers", kafka)
    assert ended.code == 1 and "streamgauge topics" in ended.err


def test_a_silence_lasts_ninety_days_at_most_and_says_why(shop: Path) -> None:
    catalog = read_catalog(shop).catalog
    assert catalog is not None
    longest = silence_for(catalog, NOON, id="a", kpis=["revenue_by_region"], comment=" x ", until=after(NOON, "90d"))
    assert (longest.comment, longest.until) == ("x", NOON + timedelta(days=90))
    for comment in (" ", "x" * 501):
        with pytest.raises(NotSilenced) as refused:
            silence_for(catalog, NOON, id="a", kpis=["revenue_by_region"], comment=comment, until=after(NOON, "1h"))
        assert refused.value.member == "comment"
