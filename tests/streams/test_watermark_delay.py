"""How far a source's event time is behind the clock: what `streamgauge_watermark_delay_seconds` says."""

from __future__ import annotations

import pytest

from engine.event_time import NEVER
from streams.accumulate import watermark_delays

NOW = 1_000.0
IDLE = True


def at(seconds: float) -> int:
    return round(seconds * 1e6)


@pytest.mark.parametrize(
    ("parts", "delay"),
    [
        ([("orders", at(990), not IDLE)], 10.0),
        ([("orders", at(990), not IDLE), ("orders", at(940), not IDLE)], 60.0),
        ([("orders", at(990), not IDLE), ("orders", at(100), IDLE)], 10.0),
        ([("orders", at(100), IDLE), ("orders", at(990), not IDLE)], 10.0),
        ([("orders", at(100), IDLE), ("orders", NEVER, IDLE)], 0.0),
        ([("orders", NEVER, not IDLE), ("orders", at(940), not IDLE)], 60.0),
        ([("orders", at(1_060), not IDLE)], 0.0),
    ],
    ids=[
        "behind its watermark",
        "the slowest counts",
        "an idle partition holds nothing back",
        "in any order",
        "all idle: no delay",
        "nothing read yet says nothing",
        "ahead of the clock is no delay",
    ],
)
def test_the_slowest_partition_that_is_not_idle_counts(parts: list[tuple[str, int, bool]], delay: float) -> None:
    assert watermark_delays(parts, NOW) == {"orders": delay}


def test_a_source_that_was_never_read_says_nothing_and_others_their_own() -> None:
    found = watermark_delays([("orders", NEVER, not IDLE), ("refunds", at(970), not IDLE)], NOW)
    assert found == {"refunds": 30.0}
