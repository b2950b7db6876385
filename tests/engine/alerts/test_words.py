"""What is said of rules and verdicts."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.alerts.states import BETWEEN, BREACH, RECOVERED, UNKNOWN, Verdict
from engine.alerts.words import because, condition, length, short
from engine.catalog.alerting import (
    Alert,
    Anomaly,
    BurnRate,
    BurnWindow,
    Change,
    Condition,
    NoData,
    PaceBelow,
    Threshold,
)

HOUR_US = 3_600_000_000


def of(number: str) -> Decimal:
    return Decimal(number)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (Threshold(lower=of("1000"), recover_lower=of("1050")), "below 1000, ends at 1050"),
        (Threshold(upper=of("0.5")), "above 0.5"),
        (Threshold(of("5"), of("9"), of("6"), of("8")), "outside 5 to 9, ends within 6 to 8"),
        (PaceBelow(of("0.9"), of("0.95")), "below 90 % of the pace, ends at 95 %"),
        (Change(Threshold(lower=of("-0.2"))), "change against the compared window below -20 %"),
        (Change(Threshold(upper=of("300")), relative=False), "change against the compared window above 300"),
        (
            Anomaly(of("4"), of("3"), direction="down"),
            "unlike the same time of the last 8 weeks: a score above 4 downwards",
        ),
        (NoData(HOUR_US // 2), "no event for 30m"),
        (
            BurnRate((BurnWindow(HOUR_US, HOUR_US // 12, of("14.4")),)),
            "error budget burns at more than 14.4 over 1h and 5m",
        ),
    ],
)
def test_what_a_rule_says(when: Condition, said: str) -> None:
    assert condition(when) == said


@pytest.mark.parametrize(
    ("when", "verdict", "value", "detail", "said"),
    [
        (Threshold(lower=of("10"), recover_lower=of("15")), BREACH, "5.00", "", "5.00 EUR is below 10"),
        (Threshold(lower=of("10"), recover_lower=of("15")), BETWEEN, "12", "", "12 EUR is not yet at or above 15"),
        (Threshold(lower=of("10"), recover_lower=of("15")), RECOVERED, "15", "", "15 EUR is at or above 15"),
        (Threshold(lower=of("10"), upper=of("20")), BREACH, "21", "", "21 EUR is above 20"),
        (Threshold(lower=of("10")), UNKNOWN, None, "zero_denominator", "no value (zero_denominator)"),
        (Threshold(lower=of("10")), UNKNOWN, "3", "", "only 4 samples, fewer than 5"),
        (
            Change(Threshold(lower=of("-0.2"))),
            BREACH,
            "70",
            "-0.3",
            "70 EUR: the change of -30 % against the compared window is below -20 %",
        ),
        (PaceBelow(of("0.9"), of("0.9")), BREACH, "70", "82 % of the pace for day 10 of 30",
         "70 EUR: 82 % of the pace for day 10 of 30, below 90 %"),
    ],
)  # fmt: skip
def test_why(when: Condition, verdict: Verdict, value: str | None, detail: str, said: str) -> None:
    rule = Alert("A", when, min_sample=5)
    assert because(rule, verdict, value, "EUR", 4, detail) == said


@pytest.mark.parametrize(
    ("number", "bounds", "shown"),
    [
        ("812.55", [], "812.55"),
        ("0.0205113942533", [], "0.0205114"),
        ("10.9333333333", [], "10.9333"),
        ("0.0205000012345", ["0.0205"], "0.020500001"),
        ("123456789.123456", [], "123456789"),
        ("123456789", [], "123456789"),
    ],
)
def test_numbers_for_people_never_look_like_a_bound_that_they_are_not(
    number: str, bounds: list[str], shown: str
) -> None:
    assert short(number, [of(bound) for bound in bounds]) == shown


@pytest.mark.parametrize(
    ("us", "said"), [(HOUR_US, "1h"), (90 * 60_000_000, "90m"), (7 * 24 * HOUR_US, "1w"), (0, "0s")]
)
def test_lengths(us: int, said: str) -> None:
    assert length(us) == said
