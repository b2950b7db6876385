"""Both stages together, without a broker: events in, values out, against sums made by hand."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from engine.accumulating import Progress, SourcePartition
from engine.admission import Batch
from engine.catalog.loader import parse
from engine.catalog.model import Catalog
from engine.merging import MergePartition
from engine.plan import Plan, plan_catalog
from engine.records import HEARTBEAT, record_kind
from engine.values import render

HOUR = 3_600_000_000
T0 = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z

CATALOG = """
version: 1
name: shop
goals:
  grow: {title: Grow, owner: ceo}
sources:
  orders:
    topic: shop.orders
    format: json
    event_time: at
    watermark: {delay: 0s, idle_after: 1m, max_future: 1h}
    fields:
      at: {type: timestamp, unit: us}
      region: {type: string, max_values: 50}
      amount: decimal(12,2)
      buyer: integer
metrics:
  revenue: {source: orders, agg: sum, expr: amount, unit: EUR}
  orders: {source: orders, agg: count}
  buyers: {source: orders, agg: count_distinct, expr: buyer, accuracy: 2%}
kpis:
  revenue_hourly:
    metric: revenue
    group_by: [region]
    window: {type: tumble, size: 1h}
  revenue_day:
    metric: revenue
    group_by: [region]
    window: {type: hop, size: 24h, slide: 1h}
    compare: {offset_window: 24h}
  basket:
    type: ratio
    numerator: revenue
    denominator: orders
    window: {type: cumulate, grain_to_date: day, step: 1h}
  buyers_day:
    metric: buyers
    window: {type: hop, size: 24h, slide: 1h}
"""


def load(text: str) -> Catalog:
    loaded = parse([("catalog.yaml", text)])
    assert loaded.catalog is not None, "\n".join(str(problem) for problem in loaded.problems)
    return loaded.catalog


def batch(events: Sequence[dict[str, object]], first: int, partition: int = 0) -> Batch:
    values: list[bytes | None] = [json.dumps(event).encode() for event in events]
    offsets = np.arange(first, first + len(values), dtype=np.int64)
    timestamps = np.array([int(event["at"]) // 1000 for event in events], dtype=np.int64)  # type: ignore[call-overload]
    return Batch(
        values=values, offsets=offsets, timestamps=timestamps, partition=partition, next_offset=first + len(values)
    )


class Rig:
    """A source of P partitions, partitions of partials, and the values that came out, newest revision last."""

    def __init__(self, plan: Plan, partitions: int = 2, merges: int = 1) -> None:
        self.plan = plan
        self.partitions = partitions
        self.merges = [MergePartition(plan, p, merges) for p in range(merges)]
        self.sources = [self._source(p) for p in range(partitions)]
        self.table: list[dict[bytes, bytes]] = [{} for _ in range(partitions)]
        self.windows: list[dict[bytes, bytes]] = [{} for _ in range(merges)]
        self.log: list[list[tuple[bytes, bytes | None, int]]] = [[] for _ in range(merges)]
        self.values: list[dict[str, object]] = []
        self.next = [0] * partitions

    def _source(self, partition: int, restored: Iterable[tuple[bytes, bytes, int]] = ()) -> SourcePartition:
        return SourcePartition(
            self.plan,
            "orders",
            partition,
            partitions=self.partitions,
            merge_partitions=len(self.merges),
            restored=restored,
        )

    def send(self, partition: int, events: Sequence[dict[str, object]]) -> None:
        self.sources[partition].fold(batch(events, self.next[partition], partition))
        self.next[partition] += len(events)

    def flush(self, partition: int, progress: Progress | None = None) -> None:
        flush = self.sources[partition].flush(progress or Progress(at_end=True))
        self.table[partition].update(flush.state)
        self.table[partition].update([flush.manifest])
        for key in flush.tombstones:
            self.table[partition].pop(key, None)
        self._write([*flush.partials, *flush.heartbeats(len(self.merges))])

    def _write(self, records: Iterable[tuple[int, bytes, bytes]]) -> None:
        for partition, key, value in records:
            self.log[partition].append((key, value, len(self.log[partition])))

    def publish(self, *, open_windows: bool = True) -> None:
        for partition, merge in enumerate(self.merges):
            merge.apply(self.log[partition][merge.offset :])
            publication = merge.publish(open_windows=open_windows)
            for key, value in [*publication.revisions, publication.manifest]:
                if value is None:
                    self.windows[partition].pop(key, None)
                else:
                    self.windows[partition][key] = value
            self._write(publication.shares)
            for rows in publication.values:
                self.values += [json.loads(value, parse_float=Decimal) for _, value in render(rows)]

    def restart(self, partition: int) -> None:
        """The owner of a source partition is gone; another one takes up what is durable."""
        table = [(key, value, at) for at, (key, value) in enumerate(self.table[partition].items())]
        self.sources[partition] = self._source(partition, table)
        self._write(self.sources[partition].resend)
        self.next[partition] = self.sources[partition].offset

    def restart_merge(self, partition: int = 0) -> None:
        """The owner of a partition of partials is gone; another one reads the compacted topic up to the manifest."""
        merge = MergePartition(self.plan, partition, len(self.merges))
        below: dict[bytes, bytes | None] = {}
        for key, value, offset in self.log[partition]:
            if offset < self.merges[partition].offset:
                below[key] = value
        merge.restore(self.windows[partition].items(), below.items())
        self.merges[partition] = merge

    def newest(
        self, kpi: str, states: Iterable[str] = ("closed", "revised")
    ) -> dict[tuple[str, str], dict[str, object]]:
        found = {}
        for value in self.values:
            if value["kpi"] == kpi and value["state"] in states:
                dims = value["dims"]
                window = value["window"]
                assert isinstance(dims, dict) and isinstance(window, dict)
                found[",".join(map(str, dims.values())), str(window["end"])] = value
        return found


def orders(count: int, seed: int = 1, hours: int = 60) -> list[dict[str, object]]:
    rng = random.Random(seed)
    times = sorted(T0 + rng.randrange(hours * HOUR) for _ in range(count))
    return [
        {
            "at": at,
            "region": rng.choice(["EU", "US", "APAC"]),
            "amount": rng.randrange(1, 10_000) / 100,
            "buyer": rng.randrange(40),
        }
        for at in times
    ]


def by_hour(events: Sequence[dict[str, object]]) -> dict[tuple[str, int], Decimal]:
    sums: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for event in events:
        at = event["at"]
        assert isinstance(at, int)
        sums[str(event["region"]), at // HOUR] += Decimal(str(event["amount"]))
    return sums


def iso(hour: int) -> str:
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_catalog(load(CATALOG))


def run(rig: Rig, events: Sequence[dict[str, object]], chunk: int = 50) -> None:
    for first in range(0, len(events), chunk):
        part = events[first : first + chunk]
        for p in range(rig.partitions):
            rig.send(p, part[p :: rig.partitions])
            rig.flush(p)
        rig.publish()


def test_hourly_sums_equal_those_made_by_hand(plan: Plan) -> None:
    rig, events = Rig(plan), orders(2000)
    run(rig, events)
    expected = by_hour(events)
    newest = rig.newest("revenue_hourly")
    closed = {key: value["value"] for key, value in newest.items() if value["samples"]}
    last = max(hour for _, hour in expected)
    assert closed == {(region, iso(hour + 1)): total for (region, hour), total in expected.items() if hour < last}


def test_rolling_day_equals_the_sum_of_its_hours_and_compares_with_the_day_before(plan: Plan) -> None:
    rig, events = Rig(plan), orders(2000)
    run(rig, events)
    hours = by_hour(events)
    newest = rig.newest("revenue_day")
    first = T0 // HOUR
    for end in range(first + 1, first + 59):
        for region in ("EU", "US", "APAC"):
            expected = sum((hours.get((region, hour), Decimal(0)) for hour in range(end - 24, end)), Decimal(0))
            value = newest.get((region, iso(end)))
            if expected:
                assert value is not None
                assert value["value"] == expected
                before = sum((hours.get((region, hour), Decimal(0)) for hour in range(end - 48, end - 24)), Decimal(0))
                compare = value["compare"]
                assert (compare["value"] if isinstance(compare, dict) else None) == (before or None)


def test_distinct_and_ratio(plan: Plan) -> None:
    rig, events = Rig(plan), orders(1500)
    run(rig, events)
    buyers = rig.newest("buyers_day")
    basket = rig.newest("basket")
    first = T0 // HOUR
    for end in range(first + 1, first + 59):
        inside = [event for event in events if end - 24 <= int(str(event["at"])) // HOUR < end]
        assert buyers["", iso(end)]["value"] == len({event["buyer"] for event in inside})
        start = (end - 1) // 24 * 24
        today = [Decimal(str(event["amount"])) for event in events if start <= int(str(event["at"])) // HOUR < end]
        found = basket["", iso(end)]["value"]
        assert isinstance(found, Decimal | int)
        assert abs(Decimal(found) - sum(today) / len(today)) < Decimal("1e-9")


def test_batching_and_restarts_change_no_value(plan: Plan) -> None:
    events = orders(1200)
    plain, cut = Rig(plan), Rig(plan)
    run(plain, events, chunk=1200)
    rng = random.Random(5)
    for first in range(0, len(events), 40):
        part = events[first : first + 40]
        for p in range(2):
            mine = part[p::2]
            cut.send(p, mine)
            fate = rng.randrange(4)
            if fate == 0:  # killed before anything was written: the events come again
                start = cut.next[p] - len(mine)
                durable = cut.sources[p].manifest
                cut.restart(p)
                again = [event for i in range(0, first + 40, 40) for event in events[i : i + 40][p::2]]
                cut.send(p, again[cut.next[p] :])
                assert durable is None or cut.next[p] >= start
            if fate <= 2:
                cut.flush(p)
        cut.publish()
    for p in range(2):
        cut.flush(p)
    cut.publish()
    for kpi in ("revenue_hourly", "revenue_day", "basket", "buyers_day"):
        left, right = plain.newest(kpi), cut.newest(kpi)
        assert {key: (v["value"], v["samples"]) for key, v in left.items()} == {
            key: (v["value"], v["samples"]) for key, v in right.items()
        }


def test_a_late_event_revises_what_was_closed(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(
        0,
        [
            {"at": T0 + 10, "region": "EU", "amount": 1.5, "buyer": 1},
            {"at": T0 + 2 * HOUR, "region": "EU", "amount": 2, "buyer": 1},
        ],
    )
    rig.flush(0)
    rig.publish()
    closed = rig.newest("revenue_hourly")["EU", iso(T0 // HOUR + 1)]
    assert (closed["value"], closed["revision"], closed["state"]) == (Decimal("1.50"), 1, "closed")
    rig.send(0, [{"at": T0 + 20, "region": "EU", "amount": 0.25, "buyer": 2}])
    rig.flush(0)
    rig.publish()
    revised = rig.newest("revenue_hourly")["EU", iso(T0 // HOUR + 1)]
    assert (revised["value"], revised["revision"], revised["state"]) == (Decimal("1.75"), 2, "revised")


def test_windows_close_while_the_source_is_idle(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [{"at": T0 + 10, "region": "EU", "amount": 1.5, "buyer": 1}])
    rig.flush(0)
    rig.publish()
    assert not rig.newest("revenue_hourly")
    rig.flush(0, Progress(at_end=True, silent_us=61_000_000, now_us=T0 + 30 * HOUR))
    rig.publish()
    assert rig.newest("revenue_hourly")["EU", iso(T0 // HOUR + 1)]["value"] == Decimal("1.50")
    after = rig.newest("revenue_hourly")["EU", iso(T0 // HOUR + 2)]
    assert (after["value"], after["samples"]) == (None, 0)
    assert ("EU", iso(T0 // HOUR + 3)) not in rig.newest("revenue_hourly")
    left = [value for key, value in rig.newest("revenue_day").items() if value["samples"] == 0]
    assert len(left) == 1


def test_heartbeats_are_told_apart_from_blocks(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [{"at": T0 + 10, "region": "EU", "amount": 1.5, "buyer": 1}])
    rig.flush(0)
    assert [record_kind(key) == HEARTBEAT for key, _, _ in rig.log[0]].count(True) == 1


def test_a_restarted_merge_goes_on_with_the_same_values_and_revisions(plan: Plan) -> None:
    events = orders(1000)
    plain, cut = Rig(plan), Rig(plan)
    for rig in (plain, cut):
        for first in range(0, len(events), 100):
            for p in range(2):
                rig.send(p, events[first : first + 100][p::2])
                rig.flush(p)
            rig.publish()
            if rig is cut:
                rig.restart_merge()
    for kpi in ("revenue_hourly", "revenue_day", "basket", "buyers_day"):
        assert plain.newest(kpi) == cut.newest(kpi)


CAPPED = """
version: 1
name: shop
sources:
  orders:
    topic: shop.orders
    format: json
    event_time: at
    fields:
      at: {type: timestamp, unit: us}
      buyer: {type: integer, max_values: CAP}
      amount: decimal(12,2)
metrics:
  revenue: {source: orders, agg: sum, expr: amount, unit: EUR}
  p95: {source: orders, agg: percentile, percentile: 0.95, expr: amount, accuracy: 1%}
kpis:
  revenue_by_buyer: {metric: revenue, group_by: [buyer], window: {type: tumble, size: 1h}}
  p95_by_buyer: {metric: p95, group_by: [buyer], window: {type: tumble, size: 1h}}
"""


@pytest.mark.parametrize(("cap", "buckets"), [(50, 1), (4000, 4)])
def test_above_the_cap_series_go_into_other_and_the_total_adds_up(cap: int, buckets: int) -> None:
    """Rule 16."""
    plan = plan_catalog(load(CAPPED.replace("CAP", str(cap))))
    assert plan.views[0].dimensions.buckets == buckets
    rng = random.Random(3)
    series = cap * 2
    events = [
        {"at": T0 + i * HOUR // (series * 2), "buyer": rng.randrange(series), "amount": rng.randrange(1, 1000) / 100}
        for i in range(series * 2)
    ]
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for event in events:
        expected[str(event["buyer"])] += Decimal(str(event["amount"]))
    results = []
    for chunk in (len(events), len(events) // 5):
        rig = Rig(plan, partitions=2, merges=2)
        for first in range(0, len(events), chunk):
            for p in range(2):
                rig.send(p, events[first : first + chunk][p::2])
                rig.flush(p)
            rig.publish()
        for p in range(2):
            rig.send(p, [{"at": T0 + 2 * HOUR, "buyer": 0, "amount": 1}])
            rig.flush(p)
        rig.publish()
        rig.publish()
        found = {
            dims: value["value"]
            for (dims, end), value in rig.newest("revenue_by_buyer").items()
            if end == iso(T0 // HOUR + 1)
        }
        other = found.pop("__other__")
        assert all(found[buyer] == expected[buyer] for buyer in found)
        assert isinstance(other, Decimal)
        assert other + sum(Decimal(str(v)) for v in found.values()) == sum(expected.values())
        assert cap <= len(found) <= cap * 1.3
        results.append((found, other))
        percentiles = {dims for dims, end in rig.newest("p95_by_buyer") if end == iso(T0 // HOUR + 1)}
        assert percentiles == {*found, "__other__"}
    assert results[0] == results[1]
