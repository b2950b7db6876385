"""The bands have the colours of the statuses that the engine gives, to the last digit."""

from __future__ import annotations

import math
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.catalog.model import Calendar, Cumulate, Duration, Hop, Kpi, Objective, Tumble, Window
from engine.targets import with_targets
from sinks.grafana.bands import bands
from sinks.grafana.palette import STATUS_COLORS

HOUR = Duration(1, "h")


def kpi(*objectives: Objective, window: Window = Tumble(size=HOUR)) -> Kpi:  # noqa: B008  # it is frozen
    return Kpi("k", "simple", window, Calendar(), metric="m", objectives=objectives)


def status(judged: Kpi, value: float) -> str:
    row = {"value": [repr(value)], "reason": [None], "window_end": [0], "state": ["closed"]}
    return str(with_targets(pl.DataFrame(row, schema_overrides={"reason": pl.String}), judged)["status"].item())


def colour(judged: Kpi, value: float) -> str:
    """As Grafana chooses it: the last step that is not above the value."""
    found = bands(judged)
    assert found is not None
    assert found.steps[0].value is None
    values = [step.value for step in found.steps[1:]]
    assert values == sorted(set(values))
    return [step for step in found.steps if step.value is None or step.value <= value][-1].color


bounds = st.decimals(min_value=-(10**9), max_value=10**9, places=2)
slacks = st.sampled_from([Decimal("0"), Decimal("0.1"), Decimal("0.25"), Decimal("1")])


@settings(deadline=None)
@given(
    st.sampled_from(["gte", "lte", "between"]), bounds, st.decimals(min_value="0.01", max_value=10**6, places=2), slacks
)
@example("lte", Decimal(110), Decimal(1), Decimal("0.1"))
@example("gte", Decimal(0), Decimal(1), Decimal("0.1"))
@example("between", Decimal("0.01"), Decimal("0.01"), Decimal("0.1"))
def test_colours_are_those_of_the_statuses(op: str, value: Decimal, width: Decimal, slack: Decimal) -> None:
    upper = value + width if op == "between" else None
    judged = kpi(Objective(op, value, upper, warn_within=slack))  # type: ignore[arg-type]
    edges = [
        bound
        for one in (value, upper)
        if one is not None
        for bound in (one, one - abs(one) * slack, one + abs(one) * slack)
    ]
    for edge in map(float, edges):
        for tried in (math.nextafter(edge, -math.inf), edge, math.nextafter(edge, math.inf), edge - 1, edge + 1):
            assert colour(judged, tried) == STATUS_COLORS[status(judged, tried)], tried


@pytest.mark.parametrize(
    "judged",
    [
        kpi(),
        kpi(Objective("gte", Decimal(1), where={"region": "EU"})),
        kpi(Objective("gte", Decimal(1)), Objective("gte", Decimal(2), valid_from="2026-01-01")),
        kpi(Objective("gte", Decimal(1)), window=Tumble(grain="day")),
        kpi(Objective("gte", Decimal(1)), window=Cumulate("month", HOUR)),
    ],
    ids=["no objective", "of some series", "of some time", "judged at the day's end", "judged at the month's end"],
)
def test_no_bands_where_they_would_say_more_than_the_engine(judged: Kpi) -> None:
    assert bands(judged) is None


def test_a_rolling_window_has_bands() -> None:
    assert bands(kpi(Objective("gte", Decimal(1)), window=Hop(HOUR, HOUR))) is not None
