"""Windows: slides divide sizes, steps are shorter than their grain, and no window is made of too many panes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.catalog.alerting import BurnRate
from engine.catalog.checks.identities import exact_text
from engine.catalog.drafts import Draft, Finding, Path, Whereabouts
from engine.catalog.model import Cumulate, Duration, Grain, Hop, Kpi, Offset
from engine.event_time.durations import DAY_US, SECOND_US, nominal_us
from engine.event_time.windows import windows_for

MAX_PANES: Final = 200_000
_SHORTEST_DAYS: Final[dict[Grain, int]] = {"day": 1, "week": 7, "month": 28, "quarter": 90, "year": 365}


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        path: Path = ("kpis", name, "window")
        found = list(_form(kpi, path))
        yield from found or _panes(draft, kpi, path)


def _form(kpi: Kpi, path: Path) -> Iterator[Finding]:
    match kpi.window:
        case Hop(size, slide):
            length, step = nominal_us(size), nominal_us(slide)
            if step > length:
                hint = f"write slide: {size} or less; windows side by side are type: tumble"
                yield Finding(
                    (*path, "slide"), f"{slide} is longer than the size {size}, so events would be left out", hint
                )
            elif length % step:
                hint = f"write a slide that goes into {size} without remainder, as {_dividing(length, slide)}"
                yield Finding((*path, "slide"), f"{slide} does not divide the size {size}", hint)
        case Cumulate(grain, step):
            if nominal_us(step) >= _SHORTEST_DAYS[grain] * DAY_US:
                hint = f"write a shorter step; one value for each {grain} is {{type: tumble, grain: {grain}}}"
                yield Finding((*path, "step"), f"{step} is no shorter than a {grain}", hint)


def _dividing(length: int, slide: Duration) -> str:
    """The longest slide of a round length that divides the size and is no longer than the one that was written."""
    step = nominal_us(slide)
    if slide.unit in ("d", "w") and length % DAY_US == 0:
        days = next(days for days in range(step // DAY_US, 0, -1) if length % (days * DAY_US) == 0)
        return f"{days}d"
    minute = 60_000_000
    rounds = [hours * 60 * minute for hours in (24, 12, 8, 6, 4, 3, 2, 1)]
    rounds += [minutes * minute for minutes in (30, 20, 15, 10, 5, 2, 1)]
    rounds += [seconds * 1_000_000 for seconds in (30, 20, 15, 10, 5, 2, 1)]
    return exact_text(next(size for size in rounds if size <= step and length % size == 0))


def _panes(draft: Draft, kpi: Kpi, path: Path) -> Iterator[Finding]:
    windows = windows_for(kpi.window, kpi.calendar, offsets_of(draft, kpi))
    panes = windows.max_length_us // windows.pane_us
    if panes > MAX_PANES:
        hint = "write a shorter window, or a longer slide or step"
        if any(offset.unit in ("s", "m", "h") for offset in offsets_of(draft, kpi)):
            hint += ", or an offset_window that is a multiple of it"
        pane = exact_text(windows.pane_us)
        yield Finding(path, f"one window would be made of {panes:,} panes of {pane}, more than {MAX_PANES:,}", hint)


def offsets_of(draft: Draft, kpi: Kpi) -> tuple[Offset, ...]:
    offsets = [kpi.compare] if kpi.compare is not None else []
    if kpi.expr is not None:
        offsets += [offset for _, offset in draft.terms(kpi.expr) if offset is not None]
    for alert in kpi.alerts:
        if isinstance(alert.when, BurnRate) and alert.evaluator == "engine":
            lengths = {length for pair in alert.when.windows for length in (pair.long_us, pair.short_us)}
            offsets += [Offset(length // SECOND_US, "s") for length in sorted(lengths)]
    return tuple(offsets)
