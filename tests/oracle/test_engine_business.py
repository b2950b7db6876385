"""Both stages of the engine over a simulated business, in this process: business.yaml against DuckDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.oracle.answers import Answer
from tests.oracle.business import Simulated, simulated
from tests.oracle.business_by_hand import BY_HAND, ByHand

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OF_A_YEAR = {"return_on_assets_12m", "shipping_cost_monthly_12m"}


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """All sources, over two changes of the month and one of the clocks."""
    return simulated(tmp_path_factory.mktemp("months"), days=60, orders_a_day=100)


@pytest.fixture(scope="module")
def answers(months: Simulated) -> dict[str, list[Answer]]:
    return months.answers()


def test_every_closed_window_of_every_kpi(months: Simulated, answers: dict[str, list[Answer]]) -> None:
    assert set(answers) == set(months.catalog.kpis) and all(answers.values())
    assert [str(one) for one in months.differences(answers, months.published(20))] == []


def test_the_windows_of_a_year(tmp_path: Path) -> None:
    """Until the first days have left them; what belongs to a month is booked days after others were closed."""
    year = simulated(tmp_path, days=400, orders_a_day=10, kpis=OF_A_YEAR)
    answers, found = year.answers(), year.published(130)
    first_us = min(at for partitions in year.sent.values() for lines in partitions for _, at in lines)
    for of_kpi in answers.values():
        assert min(answer.start_us for answer in of_kpi) < first_us < max(answer.start_us for answer in of_kpi)
    assert any(value.revision > 1 for (kpi, *_), value in found.closed.items() if kpi == "return_on_assets_12m")
    assert [str(one) for one in year.differences(answers, found)] == []


def test_every_kpi_is_written_by_hand(months: Simulated) -> None:
    assert set(BY_HAND) == set(months.catalog.kpis)


@pytest.mark.parametrize("kpi", BY_HAND)
def test_the_catalog_says_what_a_controller_would_compute(
    kpi: str, months: Simulated, answers: dict[str, list[Answer]], by_hand: ByHand
) -> None:
    """Of every window that ends at midnight; what the engine publishes of a percentile may be off by its accuracy."""
    zone = ZoneInfo(months.catalog.calendar.timezone)
    expected = {
        (answer.dims[0] if answer.dims else None, answer.start_us, answer.end_us): answer.value
        for answer in answers[kpi]
        if (EPOCH + timedelta(microseconds=answer.end_us)).astimezone(zone).hour == 0
    }
    assert len(expected) > 40
    windows = sorted({(start, end) for _, start, end in expected})
    assert by_hand.values(kpi, windows) == expected


@pytest.fixture(scope="module")
def by_hand(months: Simulated) -> ByHand:
    return ByHand(months.folder)
