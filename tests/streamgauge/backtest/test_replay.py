"""A replay decides what a worker would have decided, however its events are read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.accumulating import Progress, SourcePartition
from engine.admission import Batch
from engine.catalog.loader import parse
from engine.catalog.model import Catalog
from engine.merging import MergePartition
from engine.plan import plan_catalog
from engine.records import HEARTBEAT, encode, record_key
from streamgauge.backtest.reading import open_files, replay_files
from streamgauge.backtest.replay import Replay
from tests.streamgauge.backtest.conftest import CATALOG, lines

ON_TIME = lines()
LATE = lines(late=0.03, days=4)


def shop_catalog() -> Catalog:
    loaded = parse([("shop.yaml", CATALOG)])
    assert loaded.catalog is not None
    return loaded.catalog


def batch(values: Sequence[bytes], first: int, partition: int = 0) -> Batch:
    offsets = np.arange(first, first + len(values), dtype=np.int64)
    return Batch(partition, list(values), offsets, np.empty(0, dtype=np.int64), first + len(values))


def replayed(values: Sequence[bytes], sizes: Iterable[int]) -> Replay:
    replay = Replay(shop_catalog(), {"orders": 1})
    first = 0
    for size in sizes:
        replay.take("orders", 0, batch(values[first : first + size], first))
        first += size
        if first >= len(values):
            break
    replay.end("orders", 0)
    replay.finish()
    return replay


def told(objects: Iterable[bytes]) -> list[dict[str, object]]:
    """Without the order of writing, and in that of time."""
    found = [msgspec.json.decode(one) for one in objects]
    for one in found:
        del one["order"]
    return sorted(found, key=lambda one: (one["at"], one["kpi"], one["alert"], str(one["dims"]), one["state"]))


def live(values: Sequence[bytes]) -> list[bytes]:
    """What a worker tells that flushes after every event, and publishes each time."""
    plan = plan_catalog(shop_catalog())
    owner = SourcePartition(plan, "orders", 0, partitions=1, merge_partitions=1)
    merge, objects, offsets = MergePartition(plan, 0), list[bytes](), itertools.count()
    for number, value in enumerate(values):
        one = batch([value], number)
        stamped = Batch(0, one.values, one.offsets, np.array([2_000_000_000_000]), one.next_offset)
        owner.fold(stamped)
        flush = owner.flush(Progress())
        beat = flush.heartbeat
        records = [(key, value) for _, key, value in flush.partials]
        records.append((record_key(HEARTBEAT, beat.partition, 0, beat.epoch, beat.source), encode(beat)))
        merge.apply([(key, value, next(offsets)) for key, value in records])
        objects.extend(value for _, value in merge.publish().alerts)
    return objects


def test_there_is_something_to_tell() -> None:
    states = {(one["alert"], one["state"]) for one in told(replayed(ON_TIME, [len(ON_TIME)]).objects)}
    assert {("Low", "firing"), ("Low", "resolved"), ("Lowish", "firing"), ("Few", "firing")} <= states


@pytest.mark.parametrize("values", [ON_TIME, LATE], ids=["on time", "some late"])
def test_twice_the_same(values: Sequence[bytes]) -> None:
    assert replayed(values, itertools.repeat(5_000)).objects == replayed(values, itertools.repeat(5_000)).objects


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=6))
def test_sizes_of_batches_change_nothing(sizes: list[int]) -> None:
    whole = replayed(LATE, [len(LATE)])
    assert replayed(LATE, itertools.cycle(sizes)).objects == whole.objects


@pytest.mark.slow
def test_as_a_worker_decides_that_flushes_after_each_event() -> None:
    values = ON_TIME[800:1_350]
    decided = told(replayed(values, [len(values)]).objects)
    assert decided and decided == told(live(values))


@pytest.mark.slow
def test_as_a_worker_decides_where_events_correct_windows_that_have_ended() -> None:
    """Up to the minute: what corrections within one say, is judged together."""
    values = LATE[700:1_300]
    decided = told(replayed(values, [len(values)]).objects)
    at_once = told(live(values))
    names = ("kpi", "alert", "dims", "state", "at")

    def fired(found: list[dict[str, object]]) -> list[tuple[object, ...]]:
        return [tuple(str(one[name]) for name in names) for one in found if one["state"] in ("firing", "resolved")]

    assert fired(decided) and fired(decided) == fired(at_once)


def test_partitions_go_on_together() -> None:
    replay = Replay(shop_catalog(), {"orders": 2})
    parts = [ON_TIME[0::2], ON_TIME[1::2]]
    replay.take("orders", 0, batch(parts[0], 0))
    assert not replay.objects  # the other may still have earlier events
    for first in range(0, len(parts[1]), 500):
        replay.take("orders", 1, batch(parts[1][first : first + 500], first, 1))
    for partition in (0, 1):
        replay.end("orders", partition)
    replay.finish()
    assert told(replay.objects) == told(replayed(ON_TIME, [len(ON_TIME)]).objects)


def test_what_ends_early_holds_nobody_up() -> None:
    replay = Replay(shop_catalog(), {"orders": 2})
    replay.take("orders", 1, batch(ON_TIME[:10], 0, 1))
    replay.end("orders", 1)
    replay.take("orders", 0, batch(ON_TIME[10:], 0))
    replay.end("orders", 0)
    replay.finish()
    assert told(replay.objects) == told(replayed(ON_TIME, [len(ON_TIME)]).objects)


def test_a_series_that_is_no_longer_expected_is_over_then_however_much_is_read_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = parse([("shop.yaml", CATALOG.replace("{no_data: 3h}", "{no_data: {after: 1h, expected: 2h}}"))])
    assert loaded.catalog is not None
    found = []
    for most in (10, 150_000):
        monkeypatch.setattr("streamgauge.backtest.replay._MOST_EVENTS", most)
        replay = Replay(loaded.catalog, {"orders": 1})
        replay.take("orders", 0, batch(ON_TIME[:1_400], 0))
        replay.end("orders", 0)
        replay.finish()
        found.append([one for one in told(replay.objects) if one["alert"] == "Quiet"])
    assert any("not expected any more" in str(one["reason"]) for one in found[0])
    assert found[0] == found[1]


def test_time_goes_on_to_the_end_that_was_asked_for(orders: Path) -> None:
    catalog = shop_catalog()
    files = open_files(catalog, [("orders", orders)])
    day_us = 86_400_000_000
    short = replay_files(catalog, files)
    longer = replay_files(catalog, files, until_us=short.last_us + day_us)

    def quiet(replay: Replay) -> int:
        return sum(one["alert"] == "Quiet" and one["state"] == "firing" for one in told(replay.objects))

    assert quiet(longer) == quiet(short) + 3  # regions
