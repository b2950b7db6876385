"""One run of one contender, and what several runs say: slopes between sizes, medians and ranges, ratios within a
turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.collecting import Checklist, collect
from tests.bench.contenders import Contender, Setting
from tests.bench.loading import make_topics
from tests.bench.orders import Expected
from tests.bench.processes import Group

# Start-up and a slow machine, seconds; then the slowest rate that is waited for, events a second.
_PATIENCE = 90.0
_SLOWEST = 10_000.0


@dataclass(frozen=True)
class Measurement:
    """What one run used until its last result was read: seconds, seconds of CPU, the most bytes resident at a time."""

    events: int
    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True)
class Slope:
    """Microseconds per event between two sizes, start-up not counted."""

    wall_us: float
    cpu_us: float
    memory: int

    @property
    def events_per_second(self) -> float:
        return 1e6 / self.wall_us


class Ended(Exception):
    """A contender ended before it was done."""


def measure(contender: Contender, setting: Setting, expected: Expected, events: int) -> Measurement:
    """Runs ``contender`` once over a filled topic until every expected window is in its output and equal."""
    setting.folder.mkdir(parents=True)
    make_topics(setting.brokers, dict.fromkeys(contender.prepare(setting), setting.partitions))
    checklist = Checklist(expected, contender.parts)
    memory = 0
    with ExitStack() as stack:
        started = time.monotonic()
        groups = []
        for number, (command, environment) in enumerate(contender.commands(setting)):
            group = Group(command, environment, setting.folder / f"process-{number}.log")
            stack.callback(group.stop)
            groups.append(group)

        def watch() -> None:
            nonlocal memory
            memory = max(memory, sum(group.resident_bytes() for group in groups))
            for group in groups:
                if (reason := group.ended()) is not None:
                    raise Ended(f"{contender.name} ended with {reason}")

        collect(
            setting.brokers,
            contender.out(setting),
            setting.partitions,
            contender.decode(setting),
            checklist,
            patience=_PATIENCE + events / _SLOWEST,
            watch=watch,
        )
        wall = time.monotonic() - started
        cpu = sum(group.cpu_seconds() for group in groups)
    return Measurement(events, wall, cpu, memory)


def slope(small: Measurement, large: Measurement) -> Slope:
    events = large.events - small.events
    return Slope((large.wall - small.wall) / events * 1e6, (large.cpu - small.cpu) / events * 1e6, large.memory)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Median and range of the ratios turn by turn: only what ran in the same turn is compared."""
    return spread([a / b for a, b in zip(mine, theirs, strict=True)])


def run_folder(root: Path, *parts: object) -> Path:
    return root / "-".join(str(part) for part in parts)
