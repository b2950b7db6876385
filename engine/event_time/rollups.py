"""Roll-ups: which coarse panes, aligned to UTC, together make up a window (protocol rule 10).

A 30-day window over minutes is 43,200 panes, but with hours and days rolled up from them no more than about 190.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.event_time.zones import Times


class Cover(NamedTuple):
    """One row per pane that is read, in window order."""

    window: Times  # position of the window
    level: Times  # 0 for panes, 1 for the first roll-up of them, ...
    coarse: Times  # index of the pane at its level: floor(time / its length)


def cover(start_pane: Times, end_pane: Times, ratios: tuple[int, ...]) -> Cover:
    """The fewest aligned panes of any level that make up each window [start, end), given in pane indices.

    ``ratios[k]`` panes of level k make one of level k + 1: with panes of a minute, ``(60, 24)`` are hours and days.
    Raises ValueError for a ratio below 2.
    """
    if any(ratio < 2 for ratio in ratios):
        raise ValueError(f"a roll-up joins at least two panes, not {ratios}")
    windows = np.arange(start_pane.size, dtype=np.int64)
    starts, ends = start_pane, end_pane
    parts: list[tuple[Times, Times, Times]] = []
    for level, ratio in enumerate(ratios):
        coarse_starts, coarse_ends = -(-starts // ratio), ends // ratio
        fits = coarse_starts < coarse_ends
        parts.append(_panes(windows, level, starts, np.where(fits, coarse_starts * ratio, ends)))
        windows, starts, ends = windows[fits], starts[fits], ends[fits]
        coarse_starts, coarse_ends = coarse_starts[fits], coarse_ends[fits]
        parts.append(_panes(windows, level, coarse_ends * ratio, ends))
        starts, ends = coarse_starts, coarse_ends
    parts.append(_panes(windows, len(ratios), starts, ends))
    window, levels, coarse = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(window, kind="stable")
    return Cover(window[order], levels[order], coarse[order])


def _panes(windows: Times, level: int, starts: Times, ends: Times) -> tuple[Times, Times, Times]:
    """Every pane of [start, end), one window after the other."""
    counts = np.maximum(ends - starts, 0)
    before = np.cumsum(counts) - counts
    panes = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(before - starts, counts)
    return np.repeat(windows, counts), np.full(panes.size, level, dtype=np.int64), panes
