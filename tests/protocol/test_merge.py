"""Protocol rules 12 to 16: what merge applies, where series live, the order of values, and what is above a cap."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.blocks import BLOCK, BlockKey, stamp_of
from engine.plan import DimensionSet, Plan
from engine.records import MANIFEST, SENT, WINDOWS, decode_merge_manifest, record_kind
from engine.series import buckets_of, series_hash
from tests.engine.rig import HOUR, T0, Event, Rig, end, order, orders, planned, run, shop

KPIS = """
  by_region: {metric: revenue, group_by: [region], window: {type: tumble, size: 1h}}
  rolling: {metric: revenue, window: {type: hop, size: 3h, slide: 1h}, compare: {offset_window: 3h}}
  basket:
    {type: ratio, numerator: revenue, denominator: orders, window: {type: cumulate, grain_to_date: day, step: 1h}}
"""

GOLDEN_HASHES = [16171337414856706655, 3569224950158953636, 3265395221259543513, 10399980273579874168]
GOLDEN_PLACE = ("c125fde0b3c6d00f", [2, 3, 4, 0])


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(shop(KPIS))


# -- rule 12


def test_rule_12_a_block_replaces_the_one_before_by_its_stamp_whatever_the_order(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    for hour in (0, 0, 0, 1):
        rig.send(0, [order(T0 + hour * HOUR, amount=2)])
        rig.flush(0)
    blocks = [record for record in rig.log[0] if record_kind(record[0]) == BLOCK]
    assert {stamp_of(value) for _, value in blocks if value is not None} == {1, 2, 3, 4}
    beats = [record for record in rig.log[0] if record not in blocks]
    random.Random(1).shuffle(blocks)
    rig.log[0][:] = [*blocks, *blocks, *beats]
    rig.publish()
    assert rig.newest("by_region")["EU", end(1)]["value"] == 6


def test_rule_12_blocks_of_a_newer_catalog_are_passed_over_and_left_where_they_are(plan: Plan) -> None:
    newer = planned(shop(KPIS + "  more: {metric: orders, group_by: [buyer], window: {type: tumble, size: 5m}}\n"))
    rig = Rig(newer, partitions=1)
    rig.send(0, [order(T0), order(T0 + HOUR)])
    rig.flush(0)
    old = Rig(plan, partitions=1)
    old.log = rig.log
    old.publish()
    assert old.newest("by_region")["EU", end(1)]["value"] == 1
    assert all(value is not None for _, value in rig.log[0])


def test_rule_12_the_manifest_is_written_last_and_says_up_to_where_partials_are_in(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, orders(20))
    rig.flush(0)
    steps = rig.publication()
    last_value = max(at for at, (kind, _, _) in enumerate(steps) if kind == "values")
    record = steps[last_value + 1][2]
    assert isinstance(record, tuple)
    key, value = record
    assert record_kind(key) == MANIFEST
    assert decode_merge_manifest(value).offset == len(rig.log[0])


# -- rule 13


def test_rule_13_hashes_buckets_and_partitions_are_fixed_for_ever() -> None:
    """Golden: another value here would leave what is stored where nobody looks for it."""
    assert [
        series_hash(("string", "integer", "boolean"), values)
        for values in [("EU", 7, True), (None, None, None), ("", 0, False), ("Zürich", -1, None)]
    ] == GOLDEN_HASHES
    caps = {1: 1, 50: 1, 3_200: 1, 3_201: 4, 20_000: 16, 100_000: 64, 1_000_000: 1024}
    assert {cap: DimensionSet(("a",), ("string",), cap).buckets for cap in caps} == caps
    names = DimensionSet(("region",), ("string",), 100_000)
    assert (names.id, [names.partition(bucket, 5) for bucket in range(4)]) == GOLDEN_PLACE


def test_rule_13_another_cap_is_another_set_of_dimensions() -> None:
    """Its series lie in other buckets, and other ones are shown."""
    assert DimensionSet(("a",), ("string",), 50).id != DimensionSet(("a",), ("string",), 5_000).id


def test_rule_13_all_views_of_a_set_of_dimensions_have_a_series_in_the_same_partition() -> None:
    text = shop(
        "  hourly: {metric: revenue, group_by: [buyer], max_series: 20000, window: {type: tumble, size: 1h}}\n"
        "  minutely: {metric: orders, group_by: [buyer], max_series: 20000, window: {type: tumble, size: 1m}}\n"
    ).replace('buyer: "integer?"', 'buyer: {type: "integer?", max_values: 20000}')
    rig = Rig(planned(text), partitions=2, merges=3)
    for p in range(2):
        rig.send(p, [order(T0, buyer=buyer) for buyer in range(200)])
        rig.flush(p)
    places: dict[int, set[int]] = defaultdict(set)
    for partition, log in enumerate(rig.log):
        for key, _ in log:
            if record_kind(key) == BLOCK:
                places[BlockKey.unpack(key).bucket].add(partition)
    assert len(places) == 16
    assert all(len(partitions) == 1 for partitions in places.values())


# -- rule 14


def key_of(value: dict[str, object]) -> tuple[object, ...]:
    return value["kpi"], str(value["dims"]), str(value["window"])


def order_of(value: dict[str, object]) -> tuple[int, int]:
    progress, revision = value["progress"], value["revision"]
    assert isinstance(progress, int) and isinstance(revision, int)
    return progress, revision


@settings(max_examples=5)
@given(st.integers(0, 1000), st.integers(1, 30))
def test_rule_14_progress_only_grows_and_a_value_with_the_same_progress_has_the_same_revision(
    seed: int, chunk: int
) -> None:
    rig = Rig(planned(shop(KPIS)), partitions=3)
    events = orders(60, seed=seed, hours=8)
    random.Random(seed).shuffle(events)
    run(rig, events, chunk)
    last: dict[tuple[object, ...], dict[str, object]] = {}
    for value in rig.values:
        before = last.get(key_of(value))
        if before is not None:
            assert order_of(before) <= order_of(value)
            if before["value"] != value["value"]:
                assert order_of(before) < order_of(value)
        last[key_of(value)] = value


def republished(plan: Plan, steps: int) -> tuple[Rig, int]:
    """The second of three publications stops after so many steps, and another owner goes on."""
    rig = Rig(plan, partitions=2)
    for part in range(3):
        for p in range(2):
            late = [order(T0 + 30, amount=10)] if part else []
            rig.send(p, [*late, order(T0 + (2 * part + 1) * HOUR, "US"), order(T0 + 2 * part * HOUR)])
            rig.flush(p)
        if part == 1:
            found = rig.publication()
            rig.write(found[:steps])
            rig.restart_merge()
        rig.publish()
    return rig, len(found)


def test_rules_12_and_14_a_crash_of_merge_between_any_two_steps_loses_no_value_and_no_order(plan: Plan) -> None:
    expected, steps = republished(plan, 99)
    for count in range(steps + 1):
        rig, _ = republished(plan, count)
        assert rig.answers() == expected.answers(), f"after {count} of {steps} steps"
        last: dict[tuple[object, ...], tuple[int, int]] = {}
        for value in rig.values:
            assert last.get(key_of(value), (0, 0)) <= order_of(value)
            last[key_of(value)] = order_of(value)


def test_rule_14_a_revision_is_kept_before_it_is_published(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    run(rig, [order(T0), order(T0 + 2 * HOUR)])
    rig.send(0, [order(T0)])
    rig.flush(0)
    steps = rig.publication()
    kinds = [kind if kind != "windows" else record_kind(what[0]) for kind, _, what in steps]  # type: ignore[index]
    assert WINDOWS in kinds and max(i for i, k in enumerate(kinds) if k == WINDOWS) < kinds.index("values")


def test_rule_14_sealing_keeps_the_progress_of_values() -> None:
    rigs = []
    for lateness in ("1h", "48h"):  # sealed and not
        rig = Rig(
            planned(shop("  all: {metric: revenue, window: {type: hop, size: 24h, slide: 1h}}\n", lateness=lateness))
        )
        run(rig, orders(100, hours=30), chunk=20)
        rigs.append({key: value["progress"] for key, value in rig.newest("all").items()})
    assert rigs[0] == rigs[1]


# -- rule 15


def test_rule_15_all_that_closes_is_published_even_when_open_windows_wait(plan: Plan) -> None:
    events = orders(200, hours=30)
    plain, behind = Rig(plan), Rig(plan)
    for rig in (plain, behind):
        for first in range(0, len(events), 40):
            for p in range(2):
                rig.send(p, events[first : first + 40][p::2])
                rig.flush(p)
            rig.publish(open_windows=rig is plain)
    assert behind.answers() == plain.answers()
    assert not [value for value in behind.values if value["state"] == "open"]
    before = len(behind.values)
    behind.publish()
    shown = {(value["kpi"], str(value["dims"])) for value in behind.values[before:]}
    assert {("by_region", "{'region': 'EU'}"), ("rolling", "{}"), ("basket", "{}")} <= shown


def test_rule_15_a_new_owner_shows_what_is_open_once_more(plan: Plan) -> None:
    """Also what its predecessor held back while it was behind."""
    rig = Rig(plan, partitions=1)
    run(rig, [order(T0)])
    rig.send(0, [order(T0 + 1)])
    rig.flush(0)
    rig.publish(open_windows=False)
    rig.restart_merge()
    before = len(rig.values)
    rig.merges[0].republish()
    rig.publish()
    again = {value["kpi"]: (value["state"], value["value"]) for value in rig.values[before:]}
    assert again == {"by_region": ("open", 2), "rolling": ("open", 2), "basket": ("open", 1)}
    rig.publish()
    assert len(rig.values) == before + 3


# -- rule 16


@settings(max_examples=20)
@given(st.data())
def test_rule_16_the_n_smallest_hashes_are_shown_and_the_total_adds_up(data: st.DataObject) -> None:
    """Independent of order, batches and partitions."""
    text = shop("  by_region: {metric: revenue, group_by: [region], window: {type: tumble, size: 1h}}\n", regions=3)
    regions = data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30))
    chunk = data.draw(st.integers(1, 30))
    rig = Rig(planned(text), partitions=2)
    run(rig, [order(T0 + at, region, amount=at + 1) for at, region in enumerate(regions)], chunk)
    for p in range(2):
        rig.send(p, [order(T0 + 2 * HOUR)])
        rig.flush(p)
    rig.publish()
    shown = sorted(set(regions), key=lambda region: series_hash(("string",), (region,)))[:3]
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for at, region in enumerate(regions):
        expected[region if region in shown else "__other__"] += at + 1
    found = {key[0]: value["value"] for key, value in rig.newest("by_region").items() if key[1] == end(1)}
    assert found == expected


SEVERAL = shop("  by_buyer: {metric: orders, group_by: [buyer], window: {type: tumble, size: 1h}}\n").replace(
    'buyer: "integer?"', 'buyer: {type: "integer?", max_values: 3201}'
)


def test_rules_03_and_16_a_superseded_owner_of_a_bucket_takes_nothing_from_what_its_successor_sent_on() -> None:
    """Compaction keeps what either of them sent."""
    rig = Rig(planned(SEVERAL), partitions=1, merges=2)
    by_buyer = rig.plan.kpis[0].dimensions
    home = by_buyer.partition(0, 2)

    def send(*events: Event) -> None:
        rig.send(0, events)
        rig.flush(0)
        rig.publish()
        rig.publish()  # of what the first one sent on

    assert by_buyer.buckets > 1
    buyers = [order(T0, buyer=buyer) for buyer in range(6_000)]
    send(*buyers)
    former = rig.merges[1 - home]
    rig.restart_merge(1 - home)
    send(*buyers, order(T0 + 2 * HOUR))
    former.republish()
    rig.write(step for step in rig.publication_steps(1 - home, former.publish()) if step[0] == "partials")
    rig.publish()
    rig.restart_merge(home)
    of_home = next(b for b in range(6_000) if _bucket(by_buyer, b) == 0)
    send(order(T0, buyer=of_home))
    closed = [value["value"] for (_, ending), value in rig.newest("by_buyer").items() if ending == end(1)]
    assert sum(map(int, closed)) == 2 * 6_000 + 1


class Buckets:
    """Four buckets of buyers, two in each of two partitions of partials; ``home`` is where `__other__` is added up."""

    def __init__(self) -> None:
        self.rig = Rig(planned(SEVERAL), partitions=1, merges=2)
        self.names = self.rig.plan.kpis[0].dimensions
        self.home = self.names.partition(0, 2)
        h = pl.DataFrame({"h": [series_hash(("integer",), (buyer,)) for buyer in range(6_000)]}, {"h": pl.UInt64})
        bucket = h.select(buckets_of(pl.col("h"), self.names.buckets)).to_series().to_list()
        self.of = {at: [buyer for buyer in range(6_000) if bucket[buyer] == at] for at in range(self.names.buckets)}
        assert all(len(of) > self.names.series_per_bucket for of in self.of.values())

    def beyond_the_cap(self, bucket: int) -> int:
        return len(self.of[bucket]) - self.names.series_per_bucket

    def send(self, *events: Event) -> None:
        self.rig.send(0, events)
        self.rig.flush(0)

    def publish(self, *partitions: int) -> list[tuple[str, int, int]]:
        """(state, revision, value) of `__other__` in the first hour, as these partitions publish one after another."""
        before = len(self.rig.values)
        for partition in partitions:
            self.rig.write(self.rig.publication(partition))
        return [
            (str(value["state"]), int(str(value["revision"])), int(str(value["value"])))
            for value in self.rig.values[before:]
            if value["dims"] == {"buyer": "__other__"} and str(value["window"]).count(end(1))
        ]


def test_rule_16_other_closes_once_all_buckets_have_also_those_that_have_nothing_above_the_cap() -> None:
    shop_of = Buckets()
    home, away = shop_of.home, 1 - shop_of.home
    count = shop_of.beyond_the_cap(0)
    shop_of.send(*(order(T0, buyer=buyer) for buyer in shop_of.of[0]))  # bucket 0 is at home, the others have none
    assert shop_of.publish(home, home) == [("open", 0, count)]
    shop_of.send(order(T0 + 2 * HOUR))
    assert shop_of.publish(home, home, home) == []
    assert shop_of.publish(away, home) == [("closed", 1, count)]
    assert shop_of.publish(home, away, home) == []


def test_rule_16_other_is_not_closed_before_the_share_of_a_bucket_that_is_behind() -> None:
    shop_of = Buckets()
    home, away = shop_of.home, 1 - shop_of.home
    shop_of.send(*(order(T0, buyer=buyer) for bucket in (0, 1) for buyer in shop_of.of[bucket]), order(T0 + 2 * HOUR))
    alone, both = shop_of.beyond_the_cap(0), shop_of.beyond_the_cap(0) + shop_of.beyond_the_cap(1)
    assert shop_of.names.partition(1, 2) == away
    assert shop_of.publish(home, home, home) == [("open", 0, alone)]
    shop_of.rig.restart_merge(home)
    assert shop_of.publish(home, home) == []
    assert shop_of.publish(away, home) == [("closed", 1, both)]
    shop_of.rig.restart_merge(home)
    shop_of.rig.restart_merge(away)
    assert shop_of.publish(away, home, home) == []
    shop_of.send(order(T0, buyer=max(shop_of.of[1], key=lambda buyer: series_hash(("integer",), (buyer,)))))
    assert shop_of.publish(away, home) == [("revised", 2, both + 1)]


def test_rule_16_what_says_how_far_the_buckets_are_does_not_pile_up() -> None:
    """Every owner of a partition has a record of its own."""
    shop_of = Buckets()
    rig = shop_of.rig
    for hour in range(6):
        shop_of.send(order(T0 + hour * HOUR))
        shop_of.publish(0, 1, 0, 1)
        rig.restart_merge(hour % 2)
    shop_of.send(order(T0 + 6 * HOUR))
    shop_of.publish(0, 1, 0, 1, 0, 1)
    newest = {key: value for key, value in rig.log[shop_of.home] if record_kind(key) == SENT}
    assert len(newest) > 2
    assert sum(value is not None for value in newest.values()) == 2  # one of each partition


def test_rule_16_series_that_merge_folds_are_counted_once_for_a_window_that_closes() -> None:
    """No block has more than three; together they have six."""
    text = shop("  by_region: {metric: orders, group_by: [region], window: {type: tumble, size: 1h}}\n", regions=3)
    rig = Rig(planned(text), partitions=2)
    for again in range(3):
        for p, regions in enumerate(("abc", "def")):
            rig.send(p, [order(T0 + again, region) for region in regions])
            rig.flush(p)
            assert rig.sources[p].take_folded() == {}
        rig.publish()
        assert rig.merges[0].take_folded() == {}
    for p in range(2):
        rig.send(p, [order(T0 + 2 * HOUR)])
        rig.flush(p)
    rig.publish()
    assert rig.merges[0].take_folded() == {"by_region": 3}
    rig.publish()
    assert rig.merges[0].take_folded() == {}


def _bucket(names: DimensionSet, buyer: int) -> int:
    h = pl.DataFrame({"h": [series_hash(("integer",), (buyer,))]}, schema={"h": pl.UInt64})
    bucket: int = h.select(buckets_of(pl.col("h"), names.buckets)).item()
    return bucket


def test_rule_16_literal_markers_and_nulls_are_told_apart() -> None:
    text = shop("  by_region: {metric: orders, group_by: [region], window: {type: tumble, size: 1h}}\n").replace(
        "region: {type: string", 'region: {type: "string?"'
    )
    rig = Rig(planned(text), partitions=1)
    events = [order(T0, region) for region in ("__other__", "__null__", "\\__null__", "")]
    run(rig, [*events, {"at": T0, "amount": 1}, order(T0 + HOUR)])
    shown = {key[0]: value["value"] for key, value in rig.newest("by_region").items() if key[1] == end(1)}
    assert shown == dict.fromkeys(["\\__other__", "\\__null__", "\\\\__null__", "", "None"], 1)
