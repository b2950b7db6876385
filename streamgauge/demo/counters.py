"""What the demo's worker counted, read off its metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from sinks.names import CONSUMER_LAG, EVENTS


@dataclass
class Counters:
    """What the worker counted, read off its metrics, and the pace between two looks."""

    accepted: int = 0
    refused: int = 0
    lag: int | None = None
    pace: float | None = None
    _looks: list[tuple[float, int]] = field(default_factory=list)

    def read(self, metrics: str, at: float) -> None:
        """Takes in one scrape; the pace is that of the last five seconds."""
        self.accepted = self.refused = 0
        lag: int | None = None
        for line in metrics.splitlines():
            if line.startswith(f"{EVENTS}{{"):
                count = int(float(line.rsplit(" ", 1)[1]))
                if 'outcome="accepted"' in line:
                    self.accepted += count
                elif 'outcome="duplicate"' not in line:
                    self.refused += count
            elif line.startswith(f"{CONSUMER_LAG}{{"):
                lag = (lag or 0) + int(float(line.rsplit(" ", 1)[1]))
        self.lag = lag
        self._looks = [*(look for look in self._looks if look[0] > at - 5), (at, self.accepted)]
        first = self._looks[0]
        if at > first[0]:
            self.pace = (self.accepted - first[1]) / (at - first[0])
