"""State does not expire while a window still reads it."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.checks.identities import exact_text
from engine.catalog.drafts import Draft, Finding, Whereabouts
from engine.event_time.durations import DAY_US, nominal_us
from engine.event_time.windows import windows_for


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        if kpi.expires is None:
            continue
        longest = windows_for(kpi.window, kpi.calendar).max_length_us
        if nominal_us(kpi.expires) < longest:
            length = f"{-(-longest // DAY_US)}d" if longest >= DAY_US else exact_text(longest)
            message = f"{kpi.expires} is shorter than the window, which takes up to {length}"
            yield Finding(("kpis", name, "expires"), message, f"write {length} or more")
