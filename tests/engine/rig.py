"""Both stages of the engine on logs held in lists: whatever a broker may do to them, a test can do.

Writes happen step by step, so that a test can stop between any two; what is read back at a restart is what compaction
may have left, and no more.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import numpy as np

from engine.accumulating import Flush, Progress, SourcePartition
from engine.admission import Batch
from engine.catalog.loader import parse
from engine.catalog.model import Catalog
from engine.dead_letters import Reject
from engine.deduplication import Store
from engine.merging import MergePartition, Publication
from engine.plan import Plan, plan_catalog
from engine.records import (
    ASSIGNMENT,
    HEARTBEAT,
    MANIFEST,
    announcement,
    decode_merge_manifest,
    encode,
    record_key,
    record_kind,
    split_key,
)
from engine.values import ValueRows, render

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
T0 = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
AT_END = Progress(at_end=True)

Event = dict[str, object]
Value = dict[str, object]
Record = tuple[bytes, bytes | None]
Step = tuple[Literal["table", "partials", "delete", "windows", "values", "alerts"], int, object]


def load(text: str) -> Catalog:
    loaded = parse([("catalog.yaml", text)])
    assert loaded.catalog is not None, "\n".join(str(problem) for problem in loaded.problems)
    return loaded.catalog


def shop(
    kpis: str,
    *,
    metrics: str = "",
    lateness: str = "24h",
    delay: str = "0s",
    identity: str = "",
    seal_idle_after: str = "24h",
    regions: int = 50,
) -> str:
    """A catalog over one source ``orders``: at (us), region, amount decimal(12,2), ratio number, buyer, id."""
    return f"""
version: 1
name: shop
goals:
  grow: {{title: Grow, owner: ceo}}
sources:
  orders:
    topic: shop.orders
    format: json
    event_time: at
    allowed_lateness: {lateness}
    {identity}
    watermark: {{delay: {delay}, idle_after: 1m, max_future: 1h, seal_idle_after: {seal_idle_after}}}
    fields:
      at: {{type: timestamp, unit: us}}
      region: {{type: string, max_values: {regions}}}
      amount: "decimal(12,2)?"
      ratio: "number?"
      buyer: "integer?"
      id: "{"string" if identity else "string?"}"
metrics:
  revenue: {{source: orders, agg: sum, expr: amount, unit: EUR}}
  orders: {{source: orders, agg: count}}
  buyers: {{source: orders, agg: count_distinct, expr: buyer, accuracy: 2%}}
{metrics}
kpis:
{kpis}
"""


def order(at: int, region: str = "EU", amount: float | None = 1, **more: object) -> Event:
    return {"at": at, "region": region, "amount": amount, **more}


def batch(events: Sequence[Event], first: int, partition: int = 0) -> Batch:
    values: list[bytes | None] = [json.dumps(event).encode() for event in events]
    offsets = np.arange(first, first + len(values), dtype=np.int64)
    timestamps = np.array([int(str(event["at"])) // 1000 for event in events], dtype=np.int64)
    return Batch(
        values=values, offsets=offsets, timestamps=timestamps, partition=partition, next_offset=first + len(values)
    )


class Rig:
    """A source of P partitions, partitions of partials, and the values that came out, newest revision last."""

    def __init__(self, plan: Plan, partitions: int = 2, merges: int = 1, store: Store | None = None) -> None:
        self.plan = plan
        self.store = store  # of ids for deduplication
        self.partitions = partitions
        self.topic: list[list[Event]] = [[] for _ in range(partitions)]
        self.tables: list[list[Record]] = [[] for _ in range(partitions)]  # changelogs
        self.log: list[list[Record]] = [[] for _ in range(merges)]  # partials
        self.windows: list[dict[bytes, bytes]] = [{} for _ in range(merges)]
        self.values: list[Value] = []
        self.alerts: list[Value] = []  # every object, in the order in which they were told
        self.rejects: list[Reject] = []
        self.unannounced: list[Callable[[], None]] = []  # what happens in the next takeovers, before they are announced
        self.unestablished: list[Callable[[], None]] = []  # and then, once the table was read
        self.merges = [MergePartition(plan, p, merges) for p in range(merges)]
        self.sources = [self._owner(p) for p in range(partitions)]

    # -- the first stage

    def _owner(self, partition: int) -> SourcePartition:
        """A new owner: it writes its assignment, announces itself, recovers what is there then, and takes over."""
        table = self.tables[partition]
        epoch = len(table)
        table.append((record_key(ASSIGNMENT, partition, 0, 0, f"owner {epoch}"), b""))
        if self.unannounced:
            self.unannounced.pop(0)()
        self.write([("partials", to, announcement("orders", partition, epoch)) for to in range(len(self.merges))])
        newest = {key: (value, offset) for offset, (key, value) in enumerate(table)}
        owner = SourcePartition(
            self.plan,
            "orders",
            partition,
            partitions=self.partitions,
            merge_partitions=len(self.merges),
            epoch=epoch,
            restored=sorted(
                ((key, value, offset) for key, (value, offset) in newest.items() if value is not None),
                key=lambda record: record[2],
            ),
            store=self.store,
        )
        if self.unestablished:
            self.unestablished.pop(0)()
        if epoch:
            self.write(self.steps(partition, owner.take_over()))
        else:
            self.beat(owner)
        return owner

    def beat(self, owner: SourcePartition, progress: Progress | None = None) -> None:
        """A heartbeat alone."""
        beat = owner.heartbeat(progress or Progress())
        key = record_key(HEARTBEAT, beat.partition, 0, beat.epoch, beat.source)
        self.write([("partials", to, (key, encode(beat))) for to in range(len(self.merges))])

    def send(self, partition: int, events: Sequence[Event], *, fold: bool = True) -> None:
        self.topic[partition].extend(events)
        if fold:
            self.read(partition)

    def read(self, partition: int, upto: int | None = None) -> None:
        """Fold what the owner has not read of the topic, below ``upto``."""
        owner = self.sources[partition]
        events = self.topic[partition][owner.offset : upto]
        if events:
            self.rejects.extend(owner.fold(batch(events, owner.offset, partition)))

    def steps(self, partition: int, flush: Flush) -> list[Step]:
        """What a flush writes, record by record, in an order that the protocol allows."""
        steps: list[Step] = [("table", partition, record) for record in flush.state]
        steps += [("partials", to, (key, value)) for to, key, value in flush.partials]
        steps.append(("table", partition, flush.manifest))
        steps += [("partials", to, (key, value)) for to, key, value in flush.heartbeats(len(self.merges))]
        steps += [("delete", partition, (key, flush.manifest[0])) for key in flush.tombstones]
        return steps

    def flush(self, partition: int, progress: Progress = AT_END) -> None:
        self.write(self.steps(partition, self.sources[partition].flush(progress)))

    def write(self, steps: Iterable[Step]) -> None:
        for kind, to, what in steps:
            if kind == "table":
                self.tables[to].append(what)  # type: ignore[arg-type]  # as `Step` says
            elif kind == "delete":
                assert isinstance(what, tuple)
                key, manifest = what
                if self._is_alone(to, manifest):
                    self.tables[to].append((key, None))
            elif kind == "partials":
                self.log[to].append(what)  # type: ignore[arg-type]
            elif kind == "values":
                assert isinstance(what, ValueRows)
                self.values += [json.loads(value, parse_float=Decimal) for _, value in render(what)]
            elif kind == "alerts":
                assert isinstance(what, tuple)
                self.alerts.append(json.loads(what[1], parse_float=Decimal))
            else:
                assert isinstance(what, tuple)
                key, value = what
                if value is None:
                    self.windows[to].pop(key, None)
                else:
                    self.windows[to][key] = value

    def _is_alone(self, partition: int, manifest: bytes) -> bool:
        """Whether no newer owner was assigned before the last manifest of this key was written."""
        table, epoch = self.tables[partition], split_key(manifest)[3]
        written = max(offset for offset, (key, _) in enumerate(table) if key == manifest)
        since = table[epoch + 1 : written]
        return not any(record_kind(key) == ASSIGNMENT for key, value in since if value is not None)

    def restart(self, partition: int) -> None:
        """The owner of a source partition is gone; another one takes up what is durable."""
        self.sources[partition] = self._owner(partition)

    # -- the second stage

    def publish(self, *, open_windows: bool = True) -> None:
        for partition in range(len(self.merges)):
            self.write(self.publication(partition, open_windows=open_windows))

    def publication(self, partition: int = 0, *, open_windows: bool = True) -> list[Step]:
        """Apply what the log holds; what is to be written then, step by step."""
        merge = self.merges[partition]
        log = self.log[partition]
        merge.apply([(*log[offset], offset) for offset in range(merge.offset, len(log))])
        return self.publication_steps(partition, merge.publish(open_windows=open_windows))

    def publication_steps(self, partition: int, publication: Publication) -> list[Step]:
        steps: list[Step] = [("windows", partition, record) for record in publication.revisions]
        steps += [("partials", to, (key, value)) for to, key, value in publication.shares]
        steps += [("values", partition, rows) for rows in publication.values]
        steps += [("alerts", partition, record) for record in publication.alerts]
        steps.append(("windows", partition, publication.manifest))
        steps += [("partials", partition, (key, None)) for key in publication.tombstones]
        return steps

    def restart_merge(self, partition: int = 0) -> None:
        """The owner of a partition of partials is gone; another one reads what compaction left below the manifest."""
        epoch = self.merges[partition].epoch + 1
        merge = MergePartition(self.plan, partition, len(self.merges), epoch=epoch)
        states = self.windows[partition]
        durable = [decode_merge_manifest(value).offset for key, value in states.items() if record_kind(key) == MANIFEST]
        newest = {key: offset for offset, (key, _) in enumerate(self.log[partition])}
        left = sorted(offset for offset in newest.values() if offset < max(durable, default=0))
        merge.restore(states.items(), [self.log[partition][offset] for offset in left])
        self.merges[partition] = merge

    # -- what came out

    def newest(self, kpi: str, states: Iterable[str] = ("closed", "revised")) -> dict[tuple[str, str], Value]:
        """The last value of each (dimension values, window end)."""
        found = {}
        for value in self.values:
            if value["kpi"] == kpi and str(value["state"]) in states:
                dims, window = value["dims"], value["window"]
                assert isinstance(dims, dict) and isinstance(window, dict)
                found[",".join(map(str, dims.values())), str(window["end"])] = value
        return found

    def answers(self) -> dict[tuple[str, str, str], tuple[object, object]]:
        """(KPI, dimension values, window end) -> (value, samples) of all that has closed with anything in it."""
        return {
            (kpi, *key): (value["value"], value["samples"])
            for kpi in self.plan.catalog.kpis
            for key, value in self.newest(kpi).items()
            if value["samples"]
        }


def run(rig: Rig, events: Sequence[Event], chunk: int = 50) -> None:
    """Spread events over the partitions, with a flush of each and a publication after every chunk."""
    for first in range(0, len(events), chunk):
        part = events[first : first + chunk]
        for p in range(rig.partitions):
            rig.send(p, part[p :: rig.partitions])
            rig.flush(p)
        rig.publish()


def planned(text: str) -> Plan:
    return plan_catalog(load(text))


def orders(count: int, seed: int = 1, hours: int = 60) -> list[Event]:
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


def by_hour(events: Sequence[Event]) -> dict[tuple[str, int], Decimal]:
    sums: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for event in events:
        sums[str(event["region"]), int(str(event["at"])) // HOUR] += Decimal(str(event["amount"]))
    return sums


def iso(hour: float) -> str:
    """Hours since 1970 as values show an instant of UTC."""
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def end(hours: float) -> str:
    """So many hours after T0 as values show it."""
    return iso(T0 / HOUR + hours)
