"""A comparison leads to another window: it goes back at least one slide, step or size."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.drafts import Draft, Finding, Whereabouts
from engine.catalog.model import Cumulate, Grain, Hop, Offset, Tumble
from engine.event_time.durations import DAY_US, nominal_us

_LONGEST_DAYS: dict[Grain, int] = {"day": 1, "week": 7, "month": 28, "quarter": 90, "year": 365}
_CALENDAR_DAYS = {"month": 28, "quarter": 90, "year": 365}


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        if kpi.compare is None:
            continue
        match kpi.window:
            case Tumble(size=None, grain=grain) if grain is not None:
                least, what = _LONGEST_DAYS[grain] * DAY_US, f"a {grain}"
            case Tumble(size=size) if size is not None:
                least, what = nominal_us(size), f"its size {size}"
            case Hop(slide=slide):
                least, what = nominal_us(slide), f"its slide {slide}"
            case Cumulate(grain=grain):
                least, what = _LONGEST_DAYS[grain] * DAY_US, f"a {grain}"
            case _:
                continue
        if _nominal_us(kpi.compare) < least:
            message = f"{kpi.compare} is shorter than {what}, so a window would be compared with a part of itself"
            yield Finding(("kpis", name, "compare", "offset_window"), message, "write a longer one")


def _nominal_us(offset: Offset) -> int:
    days = _CALENDAR_DAYS.get(offset.unit)
    if days is not None:
        return offset.amount * days * DAY_US
    sizes = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": DAY_US, "w": 7 * DAY_US}
    return offset.amount * sizes[offset.unit]
