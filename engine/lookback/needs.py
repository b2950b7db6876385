"""What the alerts of a KPI look back at, and what follows from it for panes and how long they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.catalog.alerting import Anomaly, BurnRate, NoData
from engine.catalog.model import Kpi, Offset
from engine.event_time.durations import HOUR_US, SECOND_US
from engine.event_time.zones import zone

_HOURS_OF_A_WEEK: Final = 7 * 24
_LONGEST_DAY_US: Final = 25 * HOUR_US


@dataclass(frozen=True, slots=True)
class Needs:
    """``weeks``: the most that an anomaly rule looks back, 0 without one. ``lengths_us``: those of the windows of burn
    rates, in order. ``expected_us``: for how long a silent series is expected, at most.
    """

    weeks: int
    lengths_us: tuple[int, ...]
    expected_us: int = 0

    def offsets(self, timezone: str) -> list[Offset]:
        """What panes must divide (`Windows.align`) for all that is read."""
        found = [Offset(length // SECOND_US, "s") for length in self.lengths_us]
        if self.weeks:
            # Where clocks never change, a week is as long as another, and panes may be as long as windows.
            changing = zone(timezone).spread_us > 0
            found.append(Offset(1, "w") if changing else Offset(_HOURS_OF_A_WEEK, "h"))
        return found

    @property
    def weeks_us(self) -> int:
        """An upper bound of how far back the weeks lead."""
        return self.weeks * 7 * _LONGEST_DAY_US

    @property
    def longest_us(self) -> int:
        """The longest time that is looked back over, weeks aside."""
        return max((self.expected_us, *self.lengths_us))


def needs_of(kpi: Kpi) -> Needs | None:
    """None where no alert of the KPI looks back. What Prometheus evaluates, the engine need not keep."""
    conditions = [alert.when for alert in kpi.alerts if alert.evaluator == "engine"]
    weeks = max((when.weeks for when in conditions if isinstance(when, Anomaly)), default=0)
    lengths = lengths_of([when for when in conditions if isinstance(when, BurnRate)])
    expected = max((when.expected_us for when in conditions if isinstance(when, NoData)), default=0)
    return Needs(weeks, lengths, expected) if weeks or lengths or expected else None


def lengths_of(burns: Sequence[BurnRate]) -> tuple[int, ...]:
    """The lengths of all windows of burn rates, in order, each once."""
    return tuple(
        sorted({length for burn in burns for pair in burn.windows for length in (pair.long_us, pair.short_us)})
    )
