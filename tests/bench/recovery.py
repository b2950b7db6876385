"""How long a worker needs to take up a state of many series-panes, after it was killed."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.collecting import Checklist, collect
from tests.bench.contenders import Setting, Streamgauge
from tests.bench.loading import load
from tests.bench.orders import MINUTE_MS, Orders
from tests.bench.workers import catalog_of

MINUTES = 10


@dataclass(frozen=True)
class Recovery:
    """Seconds from a process's start until it is ready: with nothing to take up, and with `series_panes`; the most
    memory until then in bytes."""

    empty: float
    seconds: float
    series_panes: int
    memory: int
    log: tuple[str, ...]


def measure_recovery(brokers: str, name: str, folder: Path, series_panes: int, turns: int) -> list[Recovery]:
    """Orders of `series_panes` / 10 customers in each of ten minutes, and a worker that is killed again and again."""
    topic, customers = f"{name}.orders", series_panes // MINUTES
    base = (int(time.time() * 1000) - 15 * MINUTE_MS) // MINUTE_MS * MINUTE_MS
    # Three orders each on average: so 95 % of the customers have one in any minute.
    orders = Orders("customer", 3 * series_panes, base, minutes=MINUTES, customers=customers)
    expected = load(brokers, topic, orders)
    catalog = catalog_of("recovery", name, topic, folder, brokers)
    found = []
    with catalog.worker(folder / "worker") as worker:
        empty = worker.until_ready()
        contender = Streamgauge("recovery", parts=("count",))
        setting = Setting(brokers, "", topic, name, "customer", folder)

        def watch() -> None:
            if (reason := worker.group.ended()) is not None:
                raise RuntimeError(f"a worker ended with {reason}")

        collect(
            brokers, contender.out(setting), 2, contender.decode(setting), Checklist(expected, ("count",)),
            patience=300, watch=watch,
        )  # fmt: skip
        time.sleep(3)  # what was folded is durable, and nothing is under way
        worker.group.kill(signal.SIGKILL)
    for _ in range(turns):
        time.sleep(11)  # the session of the one that was killed is over
        with catalog.worker(folder / "worker") as worker:
            seconds = worker.until_ready()
            memory = worker.group.resident_bytes()
            log = tuple(line for line in worker.group.log.read_text().splitlines() if "recovered" in line)
            worker.group.kill(signal.SIGKILL)
        found.append(Recovery(empty, seconds, expected.windows, memory, log))
    return found
