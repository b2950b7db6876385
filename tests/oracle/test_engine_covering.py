"""Both stages of the engine over thin retail lines, in this process: the covering catalog against DuckDB.

Every third KPI meets the lines in order, every third out of order, every third both out of order and with duplicates;
so each aggregation meets several of them. The whole year, with every third line, goes through Kafka in `tests/system`.
"""

from __future__ import annotations

import pytest

from tests.oracle.comparing import compare
from tests.oracle.deliveries import HOUR_US
from tests.oracle.in_process import published
from tests.oracle.retail_year import Year, covering_year

WAYS = 3
# Of the lines in order of time; the fiscal year ends with June, in both.
SPRING, AUTUMN = slice(0.0, 0.55), slice(0.45, 1.0)


@pytest.fixture(scope="module")
def thin() -> Year:
    return covering_year().thinned(30)


@pytest.mark.parametrize(
    ("way", "months", "disorder_us", "twice"),
    [(0, SPRING, 0, False), (1, AUTUMN, 40 * HOUR_US, False), (2, SPRING, 40 * HOUR_US, True)],
    ids=["in order", "out of order", "out of order and twice"],
)
def test_every_aggregation_window_and_type(thin: Year, way: int, months: slice, disorder_us: int, twice: bool) -> None:
    year = thin.narrowed(lambda number: number % WAYS == way).part(months)
    given = year.delivered(3, disorder_us=disorder_us, twice=twice)
    upto = given.closed_upto_us()
    expected = list(year.oracle(given).answers(closed_upto_us=upto))
    assert {answer.kpi for answer in expected} == set(year.catalog.kpis)
    found = published(year.catalog, given, chunk=10_000)
    assert [str(one) for one in compare(expected, found, closed_upto_us=upto)] == []
