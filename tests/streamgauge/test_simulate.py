"""Simulated events: the same of the same seed, books that add up, and the command that sends or writes them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.loader import parse
from engine.catalog.model import Source
from streamgauge.catalog_files import shipped_catalog
from streamgauge.sending.partitions import partition_ends
from streamgauge.settings import kafka_address
from streamgauge.simulate.business import SOURCES, Business, NotThisBusiness, Settings, sources_of
from tests.streamgauge.conftest import ORDERS, Run

SETTINGS = Settings(datetime(2026, 11, 25, 9, 12, 30, tzinfo=UTC), "Europe/Amsterdam", days=45, orders_a_day=60)
TEXT = shipped_catalog("business").read_text(encoding="utf-8")
Event = dict[str, Any]


def lines(settings: Settings, *wanted: str) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {source: [] for source in wanted or SOURCES}
    for day in Business(settings, wanted or SOURCES).history():
        for sent in day.sources:
            found[sent.source] += sent.values
    return found


@pytest.fixture(scope="module")
def sent() -> dict[str, list[bytes]]:
    return lines(SETTINGS)


@pytest.fixture(scope="module")
def events(sent: dict[str, list[bytes]]) -> dict[str, list[Event]]:
    """By source, each once."""
    return {
        source: list({event[SOURCES[source][0]]: event for event in map(json.loads, values)}.values())
        for source, values in sent.items()
    }


def test_the_same_settings_give_the_same_events(sent: dict[str, list[bytes]]) -> None:
    assert lines(SETTINGS) == sent
    other = lines(replace(SETTINGS, seed=2))
    assert all(set(other[source]).isdisjoint(sent[source]) for source in SOURCES)


def test_a_source_alone_has_the_events_that_it_has_among_others(sent: dict[str, list[bytes]]) -> None:
    assert lines(SETTINGS, "refunds") == {"refunds": sent["refunds"]}


def test_all_sources_of_the_catalog_are_simulated_and_nothing_else() -> None:
    catalog = parse([("business.yaml", TEXT)]).catalog
    assert catalog is not None
    assert set(sources_of(catalog)) == set(catalog.sources) == set(SOURCES)


def test_another_catalog_is_refused() -> None:
    catalog = parse([("orders.yaml", ORDERS.format(name="orders"))]).catalog
    assert catalog is not None
    with pytest.raises(NotThisBusiness, match=r"orders \(order_id, ordered_at\)"):
        sources_of(catalog)


def test_some_events_are_sent_twice_and_nothing_is_sent_before_it_happens(sent: dict[str, list[bytes]]) -> None:
    times = Counter(sent["orders"])
    assert set(times.values()) == {1, 2}
    assert 0.001 < sum(count - 1 for count in times.values()) / len(times) < 0.01
    for day in Business(SETTINGS).history():
        for of_source in day.sources:
            for at, value in zip(of_source.sent_us.tolist(), of_source.values, strict=True):
                happened = datetime.fromisoformat(json.loads(value)[SOURCES[of_source.source][1]])
                assert happened.timestamp() * 1e6 <= at


def test_what_comes_back_was_ordered_before_and_is_no_more_than_was_paid(events: dict[str, list[Event]]) -> None:
    orders = {order["order_id"]: order for order in events["orders"]}
    assert len(events["refunds"]) > 50
    for refund in events["refunds"]:
        order = orders[refund["order_id"]]
        assert order["ordered_at"] < refund["refunded_at"] and order["region"] == refund["region"]
        assert 0 < Decimal(refund["amount"]) <= Decimal(order["amount"])
        assert Decimal(refund["restocked_cost"]) <= Decimal(order["cost"])


def test_a_ticket_is_opened_once_and_resolved_after_the_minutes_it_says(events: dict[str, list[Event]]) -> None:
    opened = {event["ticket_id"]: event for event in events["tickets"] if event["kind"] == "opened"}
    resolved = [event for event in events["tickets"] if event["kind"] == "resolved"]
    assert 0 < len(resolved) <= len(opened)
    for event in resolved:
        began = datetime.fromisoformat(opened[event["ticket_id"]]["at"])
        minutes = (datetime.fromisoformat(event["at"]) - began).total_seconds() // 60
        assert event["minutes_open"] == minutes > 0


def test_the_books_balance_and_equity_moves_by_what_was_earned(events: dict[str, list[Event]]) -> None:
    earned: Counter[str] = Counter()
    for entry in events["ledger"]:
        earned[entry["booked_at"][:10]] += Decimal(entry["amount"])  # type: ignore[assignment]
    sheets = [{name: text if name in ("as_of", "snapshot_id") else Decimal(text) for name, text in sheet.items()}
              for sheet in events["balances"]]  # fmt: skip
    # The last days are not all told: a month's entries come days after it.
    for before, sheet in list(zip(sheets, sheets[1:], strict=False))[:-5]:
        owned = sheet["cash"] + sheet["receivables"] + sheet["inventory"] + sheet["equipment"]
        assert owned == sheet["payables"] + sheet["loan"] + sheet["equity"]
        assert sheet["equity"] - before["equity"] == earned[sheet["as_of"][:10]]


def test_it_writes_files(streamgauge: Run, tmp_path: Path) -> None:
    options = ("--days", 25, "--orders", 30, "--until", "2026-11-01", "--seed", 7)
    ended = streamgauge("simulate", "business", *options, "--out", tmp_path / "a")
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert "to 8 files in" in ended.err
    written = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert set(written) == {f"{source}.jsonl" for source in SOURCES}
    assert all(text.endswith(b"\n") for text in written.values())
    assert streamgauge("simulate", "business", *options, "--out", tmp_path / "b").code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == written


def test_wrong_use_is_told(streamgauge: Run, tmp_path: Path, orders: Path) -> None:
    nowhere = streamgauge("simulate", "business")
    assert nowhere.code == 2 and "--brokers" in nowhere.err and "--out" in nowhere.err
    assert streamgauge("simulate", "business", "--out", tmp_path, "--live").code == 2
    assert streamgauge("simulate", "business", "--out", tmp_path, "--until", "tomorrow").code == 2
    future = streamgauge("simulate", "business", "--brokers", "127.0.0.1:1", "--until", "2999-01-01")
    assert future.code == 2 and "--live" in future.err
    other = streamgauge("simulate", "business", "--out", tmp_path, "--catalog", orders)
    assert other.code == 1 and "has no sources for these events" in other.err
    assert streamgauge("simulate", "business", "--brokers", "127.0.0.1:1").code == 3


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    name = f"sim{uuid.uuid4().hex[:10]}"
    path = tmp_path / "business.yaml"
    path.write_text(TEXT.replace("name: business", f"name: {name}").replace("topic: business.", f"topic: {name}."))
    return path


def held(catalog: Path, kafka: str) -> int:
    """How many events its topics hold."""
    loaded = parse([(catalog.name, catalog.read_text())]).catalog
    assert loaded is not None
    address = kafka_address(kafka)

    async def count(source: Source) -> int:
        return sum(await partition_ends(source.topic, address))

    async def all_() -> int:
        return sum([await count(source) for source in loaded.sources.values()])

    return asyncio.run(all_())


def test_it_makes_topics_and_sends_nothing_twice(streamgauge: Run, kafka: str, catalog: Path) -> None:
    options = ("--catalog", catalog, "--brokers", kafka, "--days", 2, "--orders", 30, "--until", "2026-11-01")
    first = streamgauge("simulate", "business", *options)
    assert first.code == 0, first.err
    there = held(catalog, kafka)
    assert f"sent {there:,} events" in first.err and there > 2_000
    again = streamgauge("simulate", "business", *options)
    assert again.code == 0 and held(catalog, kafka) - there <= len(SOURCES)
    more = streamgauge("simulate", "business", *options[:-1], "2026-11-02", "--rate", 20_000)
    assert more.code == 0, more.err
    assert held(catalog, kafka) > there + 1_000


def test_live_goes_on_until_it_is_told_to_end(streamgauge: Run, kafka: str, catalog: Path) -> None:
    arguments = ["simulate", "business", "--catalog", catalog, "--brokers", kafka, "--days", "1", "--orders", "30"]
    assert streamgauge(*arguments).code == 0
    history = held(catalog, kafka)
    command = [sys.executable, "-m", "streamgauge", *map(str, arguments), "--live", "--speed", "600"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while held(catalog, kafka) < history + 100:
            assert process.poll() is None and time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert f"sent {held(catalog, kafka) - history:,} events" in said and "Traceback" not in said
    assert "goes on as time passes" in said
