"""``/metrics`` shows the present of what this worker owns, in a text that Prometheus reads."""

from __future__ import annotations

import asyncio
import gzip
import math
import subprocess
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.catalog.loader import parse
from sinks import names
from sinks.prometheus import EngineMetrics, PrometheusSink
from tests.programs import program
from tests.sinks.values import FIRST_END_US, PACE, SALES, row, rows

CATALOG = """\
version: 1
name: shop
sources: {orders: {topic: shop.orders, event_time: at, identity: id, dedupe: 48h, fields: {id: string, at: timestamp}}}
metrics: {orders: {source: orders, agg: count}}
kpis: {count: {metric: orders, window: {type: tumble, size: 1h}}}
"""


@pytest.fixture
def engine() -> EngineMetrics:
    return EngineMetrics()


@pytest.fixture
def sink(engine: EngineMetrics) -> PrometheusSink:
    return PrometheusSink(engine.registry)


async def exposed(sink: PrometheusSink) -> dict[tuple[str, str | None], float]:
    """Samples by (name, region)."""
    text = (await sink.exposition()).decode()
    return {
        (sample.name, sample.labels.get("region")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_each_series_has_its_companions(sink: PrometheusSink) -> None:
    sink.offer(rows(row("EU", value="1213440.55", status="warning", **PACE)))
    found = await exposed(sink)
    assert {name: found[name, "EU"] for name, region in found if region == "EU"} == {
        "streamgauge_kpi_value": 1213440.55,
        "streamgauge_kpi_target": 10,
        "streamgauge_kpi_status": 1,
        "streamgauge_kpi_pace": 0.82,
        "streamgauge_kpi_expected": 12.804878,
        "streamgauge_kpi_forecast": 31.5,
        "streamgauge_kpi_samples": 3,
        "streamgauge_kpi_revision": 0,
        "streamgauge_kpi_compare_value": 9.25,
        "streamgauge_kpi_compare_change": 0.135,
        "streamgauge_kpi_window_end_timestamp_seconds": FIRST_END_US / 1e6,
        "streamgauge_kpi_watermark_timestamp_seconds": FIRST_END_US / 1e6 - 1,
    }


async def test_what_is_null_is_absent_not_zero(sink: PrometheusSink) -> None:
    nothing = {"value": None, "target": None, "status": None, "compare_value": None, "compare_change": None}
    sink.offer(rows(row("EU", **nothing, watermark=-(2**62))))
    shown = {name for name, region in await exposed(sink) if region == "EU"}
    assert shown == {names.KPI_SAMPLES, names.KPI_REVISION, names.KPI_WINDOW_END}


@pytest.mark.parametrize("value", ['"text"', "true", '"1"', '"2026-01-01T00:00:00Z"'])
async def test_a_value_that_is_no_number_is_absent(sink: PrometheusSink, value: str) -> None:
    sink.offer(rows(row("EU", value=value), row("US")))
    assert {region for name, region in await exposed(sink) if name == names.KPI_VALUE} == {"US"}


@pytest.mark.parametrize("text", ['say "hi"', "back\\slash", "line\nbreak", "\\n", "é €", "", "a,b}"])
async def test_label_values_survive(sink: PrometheusSink, text: str) -> None:
    sink.offer(rows(row(text), row(None)))
    assert {region for name, region in await exposed(sink) if name == names.KPI_VALUE} == {text, "__null__"}


async def test_info_says_what_the_kpi_is_once(sink: PrometheusSink) -> None:
    sink.offer(rows(row("EU")), 0)
    sink.offer(rows(row("US")), 1)
    families = text_string_to_metric_families((await sink.exposition()).decode())
    [info] = [sample for family in families for sample in family.samples if sample.name == names.KPI_INFO]
    assert info.value == 1
    assert info.labels == {
        "kpi": "sales",
        "title": SALES.title,
        "owner": "cro",
        "goal": "",
        "category": "strategic",
        "indicator": "lagging",
        "unit": "EUR",
        "favorable": "up",
        "definition": "9f2c41d07a3e",
    }


async def test_only_the_newest_value_of_a_series_is_shown(sink: PrometheusSink) -> None:
    sink.offer(rows(row("EU", hour=1, value="2"), row("EU", value="1", revision=1)))
    sink.offer(rows(row("EU", hour=0, revision=2, progress=99, value="3")))
    assert (await exposed(sink))[names.KPI_VALUE, "EU"] == 2
    sink.offer(rows(row("EU", hour=1, progress=2, value="4")))
    assert (await exposed(sink))[names.KPI_VALUE, "EU"] == 4


async def test_series_of_a_moved_partition_are_gone_at_once(sink: PrometheusSink) -> None:
    sink.offer(rows(row("A")), 0)
    sink.offer(rows(row("B")), 1)
    assert {region for name, region in await exposed(sink) if name == names.KPI_VALUE} == {"A", "B"}
    sink.drop(1)
    assert {region for name, region in await exposed(sink) if name == names.KPI_VALUE} == {"A"}
    sink.drop(0)
    assert not [name for name, _ in await exposed(sink) if name.startswith("streamgauge_kpi")]


async def test_a_silent_series_is_shown_for_one_window_more(sink: PrometheusSink) -> None:
    sink.offer(rows(row("A"), row("B")))
    for hour, shown in ((1, {"A", "B"}), (2, {"A"})):
        sink.offer(rows(row("A", hour=hour)))
        assert {region for name, region in await exposed(sink) if name == names.KPI_VALUE} == shown


async def test_gzip_holds_the_same(sink: PrometheusSink) -> None:
    sink.offer(rows(row("EU")))
    assert gzip.decompress(await sink.exposition(gzipped=True)) == await sink.exposition()


async def test_scrapes_at_the_same_time_agree(sink: PrometheusSink) -> None:
    sink.offer(rows(row("EU")))
    texts = await asyncio.gather(*(sink.exposition() for _ in range(5)))
    assert len(set(texts)) == 1


@pytest.mark.parametrize("change", [math.inf, -math.inf, math.nan])
async def test_a_change_that_is_no_number_is_absent(sink: PrometheusSink, change: float) -> None:
    sink.offer(rows(row("EU", compare_change=change)))
    assert (names.KPI_COMPARE_CHANGE, "EU") not in await exposed(sink)
    assert (names.KPI_COMPARE_VALUE, "EU") in await exposed(sink)


async def test_the_process_shows_what_it_needs(sink: PrometheusSink, engine: EngineMetrics) -> None:
    engine.watch_process()
    assert (await exposed(sink))["process_resident_memory_bytes", None] > 1e6


@dataclass
class Counted:
    written: int = 5
    failed: int = 2
    dropped: int = 1


@dataclass
class Counting:
    counts: Counted
    queue_rows: int = 7


async def test_the_engine_says_how_it_does(sink: PrometheusSink, engine: EngineMetrics) -> None:
    engine.events("orders", "accepted", 10)
    engine.events("orders", "late", 1)
    engine.lag("shop.orders", 0, 12)
    engine.lag("shop.orders", 1, 13)
    engine.no_lag("shop.orders", 1)
    engine.watermark_delay("orders", 1.5)
    engine.series("sales", 3)
    engine.folded("sales", 2)
    engine.published("sales", "revised", 4)
    engine.batch_seconds.observe(0.002)
    engine.flush_seconds.observe(0.1)
    engine.watch("redis", Counting(Counted()))
    text = (await sink.exposition()).decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    assert ({"source": "orders", "outcome": "accepted"}, 10) in found[names.EVENTS]
    assert found[names.CONSUMER_LAG] == [({"topic": "shop.orders", "partition": "0"}, 12)]
    assert found[names.WATERMARK_DELAY] == [({"source": "orders"}, 1.5)]
    assert found[names.SERIES] == [({"kpi": "sales"}, 3)]
    assert found[names.SERIES_FOLDED] == [({"kpi": "sales"}, 2)]
    assert found[names.VALUES] == [({"kpi": "sales", "state": "revised"}, 4)]
    assert found[names.SINK_QUEUE] == [({"sink": "redis"}, 7)]
    assert sorted(value for _, value in found[names.SINK_WRITES]) == [1, 2, 5]
    assert found[names.BUILD_INFO][0][1] == 1
    assert found["streamgauge_batch_seconds_count"] == [({}, 1)]
    assert math.isclose(found["streamgauge_flush_seconds_sum"][0][1], 0.1)
    assert not any(name.endswith("_created") for name in found)


async def test_counters_begin_at_zero(sink: PrometheusSink, engine: EngineMetrics) -> None:
    catalog = parse([("shop.yaml", CATALOG)]).catalog
    assert catalog is not None
    engine.begin(catalog)
    shown = (await sink.exposition()).decode()
    for outcome in ("accepted", "duplicate", "late", "invalid"):
        assert f'streamgauge_events_total{{outcome="{outcome}",source="orders"}} 0.0' in shown
    for state in ("open", "closed", "revised"):
        assert f'streamgauge_values_total{{kpi="count",state="{state}"}} 0.0' in shown
    assert 'streamgauge_series_folded_total{kpi="count"} 0.0' in shown


async def test_promtool_has_nothing_to_say(sink: PrometheusSink, engine: EngineMetrics) -> None:
    engine.events("orders", "accepted", 10)
    engine.watch("redis", Counting(Counted()))
    sink.offer(rows(row("EU"), row('say "hi"\n')))
    command = [program("promtool"), "check", "metrics"]
    said = subprocess.run(command, input=await sink.exposition(), capture_output=True, check=False)
    assert (said.returncode, said.stderr, said.stdout) == (0, b"", b"")
