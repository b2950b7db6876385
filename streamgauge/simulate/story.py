"""What happens to the business: campaigns each quarter, outages now and then, one of the checkout nine days ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.event_time.zones import Zone
from streamgauge.simulate.days import MINUTE, Day, Times

SERVICES: Final = ("shop", "checkout", "search", "accounts")
SELLING: Final = ("shop", "checkout")  # without these nobody can order

_QUARTER: Final = 91
_CAMPAIGN_BEGINS, _CAMPAIGN_DAYS = 24, 9  # so many days before the end of history, and so long
_TOLD: Final = {-9: ("checkout", 14 + 20 / 60, 70), -19: ("search", 3 + 10 / 60, 40)}  # day: service, hour, minutes
_OUTAGES_A_DAY: Final = 1 / 22
_STREAM: Final = 1


@dataclass(frozen=True, slots=True)
class Outage:
    service: str
    start_us: int
    end_us: int

    def hit(self, times: Times) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (times >= self.start_us) & (times < self.end_us)
        return found


@dataclass(frozen=True)
class Story:
    seed: int
    zone: Zone

    def campaign(self, day: Day) -> bool:
        return (day.number + _CAMPAIGN_BEGINS) % _QUARTER < _CAMPAIGN_DAYS

    def outage(self, day: Day) -> Outage | None:
        """The outage that begins on this day; it ends on it, too."""
        told = _TOLD.get(day.number)
        if told is None:
            random = day.random(self.seed, _STREAM)
            happens, which, hour, length = random.random(4)
            # The month before the end of history is told already.
            if happens > _OUTAGES_A_DAY or -31 < day.number <= 0:
                return None
            told = (SERVICES[int(which * len(SERVICES))], hour * 22, int(8 + 45 * length**2))
        service, hour, minutes = told
        start = int(day.at(self.zone, np.array([hour]))[0]) // MINUTE * MINUTE
        return Outage(service, start, start + minutes * MINUTE)
