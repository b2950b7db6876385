"""What KPIs were: the past that a target, and the likeness of two KPIs, is measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.catalog.model import Cumulate, Kpi, Tumble
from engine.event_time.calendars import LocalCalendar
from engine.event_time.zones import Times

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Values of one series, of windows that are closed, in order of their ends. ``dims``: as ``where`` writes them."""

    dims: Mapping[str, str]
    end_us: Times
    values: Floats

    def __len__(self) -> int:
        return int(self.end_us.size)

    def whole(self, kpi: Kpi) -> Seen:
        """Those that a target is for: of a grain to date only the ones at the grain's end."""
        if not isinstance(kpi.window, Cumulate):
            return self
        calendar = LocalCalendar(kpi.calendar)
        grains = calendar.grains_of(kpi.window.grain, self.end_us)
        ended = calendar.grain_starts(kpi.window.grain, grains) == self.end_us
        return Seen(self.dims, self.end_us[ended], self.values[ended])


History = Mapping[str, Sequence[Seen]]  # by KPI, its series
NO_HISTORY: Final[History] = MappingProxyType({})


def by_grain(kpi: Kpi) -> bool:
    """Whether there is one whole value a day, week, month, quarter or year."""
    return isinstance(kpi.window, Cumulate) or (isinstance(kpi.window, Tumble) and kpi.window.grain is not None)
