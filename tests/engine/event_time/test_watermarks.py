"""Watermarks of a source partition (protocol rule 6) and of a source (rule 7)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.event_time import NEVER
from engine.event_time.watermarks import MergedWatermark, running_watermark

TIMES = st.lists(st.integers(-(10**12), 10**15), max_size=30)
DELAYS = st.integers(0, 10**10)
STARTS = st.just(NEVER) | st.integers(-(10**12), 10**15)


def running(times: list[int], start: int, delay: int) -> list[int]:
    return running_watermark(np.array(times, dtype=np.int64), start, delay).tolist()


@given(TIMES, STARTS, DELAYS)
def test_rule_6_the_watermark_is_the_highest_time_at_lower_offsets_less_the_delay(times, start, delay) -> None:
    expected = []
    highest = start
    for time in times:
        expected.append(NEVER if highest == NEVER else highest - delay)
        highest = max(highest, time)
    assert running(times, start, delay) == expected


@given(TIMES, STARTS, DELAYS, st.integers(0, 30))
def test_rule_6_batch_boundaries_change_nothing(times, start, delay, cut) -> None:
    first, second = times[:cut], times[cut:]
    assert running(times, start, delay) == running(first, start, delay) + running(second, max([start, *first]), delay)


@given(TIMES, STARTS, DELAYS)
def test_rule_6_the_watermark_does_not_go_back(times, start, delay) -> None:
    found = running(times, start, delay)
    assert found == sorted(found)


def test_rule_6_timeline() -> None:
    #  offset        0     1     2     3     4
    #  event time   10    30    20    25    40
    #  watermark  never    5    25    25    25     with a delay of 5
    #  late by           no     5     0    no
    assert running([10, 30, 20, 25, 40], NEVER, 5) == [NEVER, 5, 25, 25, 25]


def test_rule_6_the_first_event_is_never_late() -> None:
    (watermark,) = running([-(10**15)], NEVER, 10**9)
    assert watermark == NEVER
    assert watermark - 10**9 <= -(10**15)


# What owners say one after the other: partition, watermark (None: no event yet), how it is; after each what is merged.
IDLE, EMPTY = "idle", "empty"
STORIES = {
    "rule 7: the slowest partition decides": (2, [(0, 50, ""), (1, 20, ""), (1, 70, "")], [None, 20, 50]),
    "rule 7: a partition never heard of holds time": (3, [(0, 50, ""), (1, 60, "")], [None, None]),
    "rule 7: an idle partition holds nobody back": (2, [(0, 50, ""), (1, 20, ""), (1, 20, IDLE)], [None, 20, 50]),
    "rule 7: a partition that has gone silent without a word holds time": (
        2,
        [(0, 50, ""), (1, 20, ""), (0, 60, ""), (0, 90, "")],
        [None, 20, 20, 20],
    ),
    "rule 7: an empty partition is neutral": (2, [(0, 50, ""), (1, None, EMPTY)], [None, 50]),
    "rule 7: all empty is no time at all": (2, [(0, None, EMPTY), (1, None, EMPTY)], [None, None]),
    "rule 7: when all are idle the clock goes on, the slowest decides": (
        2,
        [(0, 50, ""), (1, 20, ""), (0, 50, "idle, clock 80"), (1, 20, "idle, clock 75"), (1, 20, "idle, clock 95")],
        [None, 20, 20, 75, 80],
    ),
    "rule 7: the clock of an idle partition says nothing while another is busy": (
        2,
        [(0, 50, ""), (1, 20, "idle, clock 999")],
        [None, 50],
    ),
    "rule 7: an empty partition has no clock to wait for": (
        2,
        [(0, None, EMPTY), (1, 20, "idle, clock 90")],
        [None, 90],
    ),
    "rule 7: the merged watermark never goes back": (
        2,
        [(0, 50, ""), (1, 20, IDLE), (1, 30, ""), (0, 60, ""), (1, 55, "")],
        [None, 50, 50, 50, 55],
    ),
    "rule 7: an event after the clock went on does not turn it back": (
        1,
        [(0, 50, ""), (0, 50, "idle, clock 80"), (0, 52, ""), (0, 81, "")],
        [50, 80, 80, 81],
    ),
    "rule 7: a new owner that has not read as far does not turn it back": (1, [(0, 50, ""), (0, 40, "")], [50, 50]),
    "rule 7: an idle partition without a clock stands at its watermark": (1, [(0, 50, IDLE)], [50]),
}


@pytest.mark.parametrize("law", STORIES)
def test_merged(law) -> None:
    partitions, said, expected = STORIES[law]
    merged = MergedWatermark()
    found = []
    for partition, watermark, how in said:
        merged.hear(
            partition,
            partitions,
            watermark_us=NEVER if watermark is None else watermark,
            idle=how.startswith(IDLE),
            empty=how == EMPTY,
            clock_us=int(how.split()[-1]) if "clock" in how else None,
        )
        found.append(None if merged.merged() == NEVER else merged.merged())
    assert found == expected


HEARD = st.tuples(st.integers(0, 3), st.integers(0, 100), st.booleans(), st.none() | st.integers(0, 100))


@given(st.lists(HEARD, max_size=30))
def test_rule_7_whatever_is_said_it_never_goes_back_nor_beyond_what_was_said(said) -> None:
    merged = MergedWatermark()
    before = NEVER
    highest = NEVER
    for partition, watermark, idle, clock in said:
        merged.hear(partition, 4, watermark_us=watermark, idle=idle, clock_us=clock)
        highest = max(highest, watermark, NEVER if clock is None else clock)
        assert before <= merged.merged() <= highest
        before = merged.merged()


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_rule_7_the_order_in_which_partitions_are_heard_does_not_matter(watermarks, random) -> None:
    order = list(range(len(watermarks)))
    random.shuffle(order)
    merged = MergedWatermark()
    for partition in order:
        merged.hear(partition, len(watermarks), watermark_us=watermarks[partition])
    assert merged.merged() == min(watermarks)


def test_it_goes_on_from_what_it_had_reached_before_a_restart() -> None:
    merged = MergedWatermark(70)
    merged.hear(0, 1, watermark_us=60)
    assert merged.merged() == 70
