"""Spans other than a KPI's own windows, read out of the same panes by the same evaluator."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from engine.event_time.windows import Spans
from engine.finishing import Evaluated
from engine.kpis import KpiEvaluator
from engine.merging import MergePartition
from engine.plan import KpiPlan
from engine.publishing import KpiPublisher
from tests.engine.rig import DAY, HOUR, T0, Event, Rig, orders, planned, run, shop

KPIS = """
  hourly: {metric: revenue, group_by: [region], window: {type: tumble, size: 1h}}
  rolling:
    {metric: revenue, group_by: [region], window: {type: hop, size: 24h, slide: 1h}, compare: {offset_window: 6h}}
  buyers_today: {metric: buyers, window: {type: cumulate, grain_to_date: day, step: 1h}}
  share: {type: ratio, numerator: revenue, denominator: orders, window: {type: hop, size: 12h, slide: 2h}}
"""


def odd_spans(hours: int, seed: int, count: int = 40) -> Spans:
    """Of whole hours, in no order; some twice, some with the same end."""
    rng = random.Random(seed)
    bounds = [sorted(rng.sample(range(-3, hours + 3), 2)) for _ in range(count)]
    bounds += bounds[:3] + [[start - 1, end] for start, end in bounds[:5]]
    start, end = (T0 + HOUR * np.array(bounds, dtype=np.int64)).T
    return Spans(start.copy(), end.copy(), start.copy())


def evaluator_of(merge: MergePartition, kpi: str) -> KpiEvaluator:
    return next(publisher.evaluator for publisher in merge._kpis if publisher.plan.kpi.name == kpi)


def evaluated(evaluator: KpiEvaluator, spans: Spans) -> Evaluated:
    gathered = evaluator.gather(evaluator.reads(spans, compared=False), "all")
    return evaluator.values(evaluator.keys(gathered), gathered, T0 + 100 * DAY)


def sums(events: list[Event], start: int, end: int) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for event in events:
        if start <= int(str(event["at"])) < end:
            found[str(event["region"])] += Decimal(str(event["amount"]))
    return found


@pytest.mark.parametrize("kpi", ["hourly", "rolling"])
def test_any_span_of_whole_panes_has_its_value(kpi: str) -> None:
    rig, events = Rig(planned(shop(KPIS))), orders(900, hours=40)
    run(rig, events)
    spans = odd_spans(40, seed=1)
    rows = evaluated(evaluator_of(rig.merges[0], kpi), spans)
    found: dict[tuple[int, int], dict[str, Decimal]] = defaultdict(dict)
    region = rig.merges[0]._directories[rig.plan.kpis[0].dimensions.id].lookup
    names = region(pl.Series("h", rows.h))["region"].to_list()
    for name, start, end, value in zip(names, rows.start_us.tolist(), rows.end_us.tolist(), rows.value, strict=True):
        found[start, end][name] = Decimal(str(value))
    expected = {
        (start, end): of
        for start, end in zip(spans.start_us.tolist(), spans.end_us.tolist(), strict=True)
        if (of := sums(events, start, end))
    }
    assert len(expected) > 30
    assert found == expected


def test_spans_with_the_same_ends_and_other_starts_are_told_apart() -> None:
    rig, events = Rig(planned(shop(KPIS))), orders(300, hours=10)
    run(rig, events)
    evaluator = evaluator_of(rig.merges[0], "rolling")
    end = np.array([T0 + 9 * HOUR], dtype=np.int64)
    for length in (1, 5, 9, 5):
        start = end - length * HOUR
        total = sum(Decimal(str(value)) for value in evaluated(evaluator, Spans(start, end, start)).value)
        assert total == sum(sums(events, int(start[0]), int(end[0])).values())


class _Asking(KpiPublisher):
    """Asks for odd spans too, whenever something is prepared."""

    def prepare(self, watermark: int, upto: int, since_us: int, *, open_windows: bool) -> None:
        super().prepare(watermark, upto, since_us, open_windows=open_windows)
        reads = self.evaluator.reads(odd_spans(40, seed=watermark % 97), compared=False)
        self.evaluator.ask(reads, "all")


class _AskingPartition(MergePartition):
    def _publisher(self, kpi: KpiPlan) -> KpiPublisher:
        known = super()._publisher(kpi)
        return _Asking(
            known.plan,
            known.partition,
            known.evaluator,
            known.directory,
            known.lateness_us,
            known.shown,
            known.others,
        )


@pytest.mark.parametrize("regions", [50, 2], ids=["", "above the cap"])
def test_what_is_asked_beside_changes_no_value_that_is_published(regions: int) -> None:
    plan = planned(shop(KPIS, regions=regions))
    plain, asking = Rig(plan), Rig(plan)
    asking.merges = [_AskingPartition(plan, 0, 1)]
    events = orders(400, hours=40)
    rng = random.Random(3)
    for at in range(0, len(events), 20):
        late_us = rng.randrange(20 * HOUR) if rng.random() < 0.2 else 0
        part = [event | {"at": int(str(event["at"])) - late_us} for event in events[at : at + 20]]
        for rig in (plain, asking):
            rig.send(at // 20 % 2, part)
            rig.flush(at // 20 % 2)
            rig.publish()
    assert len(plain.values) > 200
    assert asking.values == plain.values
