"""alerts against a real Valkey that holds what delivery writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis
from rich.console import Console

from sinks.names import redis_alerts, redis_key
from streamgauge.active_alerts import Active, alert_table, length, shown_alerts
from streamgauge.services import embedded_services
from tests.alert_objects import alert_object
from tests.streamgauge.conftest import Run

MUTED = alert_object(
    "SalesLow",
    "sales_by_region",
    dims={"region": "EU"},
    severity="warning",
    state="pending",
    muted_by="SalesLow|sales|-",
    silenced_by="stock-count",
)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey of its own, since `alerts` without a name looks at everything in it."""
    with embedded_services(tmp_path_factory.mktemp("valkey"), kafka_port=None, redis_port=0) as services:
        assert services.redis is not None
        yield services.redis


@pytest.fixture
def redis(valkey: str) -> Iterator[Redis]:
    with Redis.from_url(valkey) as client:
        client.flushdb()
        yield client


def hold(redis: Redis, *found: dict[str, bytes]) -> None:
    redis.zadd(redis_key("shop", "sales", "index"), {"-": 1})  # a worker has written values
    for alert in found:
        redis.hset(redis_alerts("shop"), mapping=dict(alert))


def test_what_fires_is_told_with_value_bound_and_reason(streamgauge: Run, valkey: str, redis: Redis) -> None:
    hold(redis, MUTED, alert_object("SalesLow", "sales"))
    shown = streamgauge("alerts", "--redis", valkey)
    assert shown.code == 0, shown.err
    heading, firing, pending = shown.out.splitlines()
    assert heading.split()[:6] == ["state", "severity", "alert", "KPI", "series", "value"]
    assert "▲ firing" in firing and "critical" in firing and "812.50 EUR" in firing and "1,000" in firing
    assert "812.50 EUR is below 1,000 EUR" in firing and "Wed 25 Nov 10:00" in firing  # on the KPI's own clock
    assert "◌ pending" in pending and "region=EU" in pending
    assert "muted by SalesLow of sales, silenced by stock-count" in pending
    assert shown.err == "1 firing, 1 pending\n"


def test_json_has_the_objects_with_all_digits_and_of_one_kpi_alone(streamgauge: Run, valkey: str, redis: Redis) -> None:
    hold(redis, MUTED, alert_object("SalesLow", "sales"))
    listed = streamgauge("alerts", "list", "sales", "--redis", valkey, "--format", "json")
    assert '"value":812.50,' in listed.out
    (only,) = json.loads(listed.out)
    assert (only["kpi"], only["order"]) == ("sales", [4, 7])
    both = json.loads(streamgauge("alerts", "--redis", valkey, "--format", "json").out)
    assert {one["kpi"]: one.get("muted_by") for one in both} == {"sales": None, "sales_by_region": "SalesLow|sales|-"}


def test_nothing_fires_and_nothing_is_known_are_two_answers(streamgauge: Run, valkey: str, redis: Redis) -> None:
    unknown = streamgauge("alerts", "--redis", valkey)
    assert unknown.code == 1 and "Redis holds no values" in unknown.err
    hold(redis)
    quiet = streamgauge("alerts", "--redis", valkey)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "no alert of shop is pending or firing\n")
    assert streamgauge("alerts", "sales", "--redis", valkey).err == "no alert of KPI sales is pending or firing\n"


def test_an_alert_without_a_value_says_so_and_a_share_is_a_share() -> None:
    (silent,) = alert_object("Gone", "sales", value=None, bound=None, reason="no event for 2 h").values()
    (ratio,) = alert_object("Low", "margin", value=0.284, bound=0.3, unit="ratio").values()
    console = Console(width=200, record=True, no_color=True)
    now = datetime(2026, 11, 25, 11, 30, tzinfo=UTC)
    console.print(alert_table([Active.read(json.loads(one)) for one in (silent, ratio)], now))
    first, second = console.export_text().splitlines()[1:]
    assert "28.40 %" in first and "30.00 %" in first and "2 h 30 min" in first
    assert "no event for 2 h" in second and "EUR" not in second


def test_where_a_table_has_no_room_each_alert_has_lines_of_its_own() -> None:
    firing = alert_object("SalesLow", "sales", since="2026-11-25T10:00:00Z")
    alerts = [Active.read(json.loads(text)) for found in (MUTED, firing) for text in found.values()]
    now = datetime(2026, 11, 25, 11, 30, tzinfo=UTC)
    shown = {}
    for width in (80, 200):
        console = Console(width=width, record=True, no_color=True)
        console.print(shown_alerts(alerts, now, width))
        shown[width] = console.export_text().splitlines()
    assert len(shown[200]) == 3  # a heading, and a line for each
    assert shown[80] == [
        "▲ firing  critical  SalesLow  sales",
        "  812.50 EUR is below 1,000 EUR",
        "  812.50 EUR against 1,000, since Wed 25 Nov 11:00 (1 h 30 min)",
        "◌ pending  warning  SalesLow  sales_by_region  region=EU",
        "  812.50 EUR is below 1,000 EUR",
        "  812.50 EUR against 1,000, since Wed 25 Nov 10:00 (2 h 30 min)",
        "  muted by SalesLow of sales, silenced by stock-count",
    ]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "0 s"), (45, "45 s"), (60, "1 min"), (7_800, "2 h 10 min"), (90_000, "1 d 1 h"), (86_405, "1 d")],
)
def test_lengths_of_time_have_two_units_at_most(seconds: int, told: str) -> None:
    assert length(seconds) == told
