"""Windows as the fewest coarse panes (protocol rule 10)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.event_time.rollups import cover

BOUNDS = st.lists(st.tuples(st.integers(-500, 500), st.integers(0, 400)), max_size=6)
RATIOS = st.lists(st.integers(2, 7), max_size=3).map(tuple)


def covered(bounds: list[tuple[int, int]], ratios: tuple[int, ...]) -> list[list[tuple[int, int]]]:
    """Per window the (level, index) read, from [start, start + length)."""
    starts = np.array([start for start, _ in bounds], dtype=np.int64)
    ends = np.array([start + length for start, length in bounds], dtype=np.int64)
    found: list[list[tuple[int, int]]] = [[] for _ in bounds]
    for window, level, coarse in zip(*(column.tolist() for column in cover(starts, ends, ratios)), strict=True):
        found[window].append((level, coarse))
    return found


def lengths(ratios: tuple[int, ...]) -> list[int]:
    return np.cumprod([1, *ratios]).tolist()


@given(BOUNDS, RATIOS)
def test_rule_10_roll_ups_cover_every_pane_of_a_window_once(bounds, ratios) -> None:
    for (start, length), read in zip(bounds, covered(bounds, ratios), strict=True):
        panes = [
            pane
            for level, coarse in read
            for pane in range(coarse * lengths(ratios)[level], (coarse + 1) * lengths(ratios)[level])
        ]
        assert sorted(panes) == list(range(start, start + length))


@given(BOUNDS, RATIOS)
def test_rule_10_no_smaller_cover_exists(bounds, ratios) -> None:
    for (start, length), read in zip(bounds, covered(bounds, ratios), strict=True):
        for level, coarse in read:
            if level < len(ratios):
                parent = coarse // ratios[level]
                size = lengths(ratios)[level + 1]
                assert not (start <= parent * size and (parent + 1) * size <= start + length)


DRAWN = [
    # ratios, start, end, what is read as level:index
    ((), 3, 6, "0:3 0:4 0:5"),
    ((4,), 3, 9, "0:3 0:8 1:1"),
    ((4,), 5, 7, "0:5 0:6"),
    ((4,), 4, 8, "1:1"),
    ((4, 2), 3, 17, "0:3 0:16 1:1 2:1"),
    ((4,), -5, -3, "0:-5 0:-4"),
    ((4,), 7, 7, ""),
]


@pytest.mark.parametrize(("ratios", "start", "end", "read"), DRAWN)
def test_a_window_is_read_as(ratios, start, end, read) -> None:
    (found,) = covered([(start, end - start)], ratios)
    assert " ".join(f"{level}:{coarse}" for level, coarse in sorted(found)) == read


def test_thirty_days_of_minutes_are_read_as_less_than_two_hundred_panes() -> None:
    start = np.arange(1000) * 7 + 17
    found = cover(start, start + 30 * 24 * 60, (60, 24))
    assert (np.diff(found.window) >= 0).all()
    assert np.bincount(found.window).max() < 200


def test_a_roll_up_joins_at_least_two_panes() -> None:
    with pytest.raises(ValueError, match="at least two"):
        cover(np.array([0]), np.array([1]), (4, 1))
