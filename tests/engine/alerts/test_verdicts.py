"""Verdicts on rows of values, all at once, against what one value at a time says with exact numbers."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alerts.states import BETWEEN, BREACH, RECOVERED, UNKNOWN
from engine.alerts.verdicts import of_burns, of_scores, of_values
from engine.catalog.alerting import Alert, Anomaly, BurnRate, BurnWindow, Change, Condition, PaceBelow, Threshold
from engine.lookback.robust import Scores

numbers = st.decimals(-100, 100, places=2) | st.sampled_from([Decimal("0.1"), Decimal("0.3"), Decimal("10")])
# Next to each other as decimals, and the same as doubles.
close = st.sampled_from([Decimal("0.1"), Decimal("0.10000000000000000001"), Decimal("0.09999999999999999999")])


def rows(
    values: list[Decimal | None], samples: list[int] | None = None, reason: str | None = None, **more: list[object]
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "value": pl.Series([None if value is None else format(value, "f") for value in values], dtype=pl.String),
            "samples": pl.Series(samples or [1] * len(values), dtype=pl.Int64),
            "reason": pl.Series([reason] * len(values), dtype=pl.String),
            "status": pl.Series(["critical"] * len(values), dtype=pl.String),
            **{name: pl.Series(of, dtype=pl.Float64) for name, of in more.items()},
        }
    )


def expected(when: Threshold, value: Decimal) -> int:
    if (when.lower is not None and value < when.lower) or (when.upper is not None and value > when.upper):
        return BREACH
    low = when.lower is None or value >= (when.lower if when.recover_lower is None else when.recover_lower)
    high = when.upper is None or value <= (when.upper if when.recover_upper is None else when.recover_upper)
    return RECOVERED if low and high else BETWEEN


@given(st.lists(numbers | close, min_size=1, max_size=20), numbers | close, st.decimals(0, 50, places=1))
def test_thresholds_are_exact(values: list[Decimal], bound: Decimal, more: Decimal) -> None:
    for when in (
        Threshold(lower=bound, recover_lower=bound + more),
        Threshold(upper=bound, recover_upper=bound - more),
        Threshold(bound, bound + 60, bound + more / 10, bound + 60 - more / 10),
        Threshold(lower=bound),
    ):
        assert of_values(Alert("A", when), rows(list(values))).tolist() == [expected(when, value) for value in values]


def all_verdicts(when: Condition, frame: pl.DataFrame, beside: float, least: int = 0) -> list[int]:
    """Of any condition; ``beside`` is what it looks at beside the value."""
    alert = Alert("A", when, min_sample=least)
    found = np.full(frame.height, beside)
    if isinstance(when, Anomaly):
        return of_scores(alert, Scores(found, found, found, np.full(frame.height, 8)), frame).tolist()
    if isinstance(when, BurnRate):
        return of_burns(alert, when, found[:, None], found[:, None], frame).tolist()
    return of_values(alert, frame).tolist()


CONDITIONS: list[Condition] = [
    Threshold(lower=Decimal(10)),
    Threshold(upper=Decimal(-10)),
    Threshold(Decimal(5), Decimal(6)),
    Change(Threshold(lower=Decimal("-0.1"))),
    Change(Threshold(upper=Decimal("-300")), relative=False),
    PaceBelow(Decimal("0.9"), Decimal("0.9")),
    Anomaly(Decimal(4), Decimal(3)),
    BurnRate((BurnWindow(60, 5, Decimal("14.4")),)),
]


@pytest.mark.parametrize("when", CONDITIONS, ids=lambda when: type(when).__name__)
@pytest.mark.parametrize("samples", [0, 1, 100])
def test_no_verdict_comes_from_a_null_as_if_it_were_0(when: Condition, samples: int) -> None:
    """Nothing is known: neither now, nor of what it is compared with, nor of its pace, nor of its past."""
    nothing = rows(
        [None] * 3, [samples] * 3, "no_data", compare_change=[None] * 3, compare_value=[None] * 3, pace_share=[None] * 3
    )
    assert all_verdicts(when, nothing, float("nan")) == [UNKNOWN] * 3


@pytest.mark.parametrize(
    "when", [when for when in CONDITIONS if isinstance(when, Change | PaceBelow | Anomaly | BurnRate)],
    ids=lambda when: type(when).__name__,
)  # fmt: skip
def test_a_value_without_what_it_is_measured_by_says_nothing(when: Condition) -> None:
    known = rows([Decimal(0)], compare_change=[None], compare_value=[None], pace_share=[None])
    assert all_verdicts(when, known, float("nan")) == [UNKNOWN]


@pytest.mark.parametrize("when", CONDITIONS, ids=lambda when: type(when).__name__)
def test_too_few_samples_say_nothing(when: Condition) -> None:
    few = rows([Decimal(0)] * 2, [4, 5], compare_change=[-0.5] * 2, compare_value=[1.0] * 2, pace_share=[0.1] * 2)
    verdicts = all_verdicts(when, few, 99.0, least=5)
    assert verdicts[0] == UNKNOWN
    assert verdicts[1] == BREACH


@pytest.mark.parametrize(
    "when", [one for one in CONDITIONS if not isinstance(one, BurnRate)], ids=lambda when: type(when).__name__
)
def test_an_incomplete_history_says_nothing(when: Condition) -> None:
    """What burn rates look at has an incomplete history of its own, see `engine.lookback`."""
    half = rows([Decimal(0)], reason="incomplete_history", compare_change=[-0.5], compare_value=[1.0], pace_share=[0.1])
    assert all_verdicts(when, half, 99.0) == [UNKNOWN]
