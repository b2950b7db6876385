"""Both stages of the engine over a thin retail year, in this process: retail.yaml against DuckDB, in any order."""

from __future__ import annotations

import pytest

from tests.oracle.comparing import compare
from tests.oracle.deliveries import HOUR_US, Deliveries
from tests.oracle.in_process import published
from tests.oracle.retail_year import Year, demo_year


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Year:
    return demo_year(tmp_path_factory.mktemp("till-lines")).thinned(20)


def differences(year: Year, given: Deliveries, *, chunk: int) -> list[str]:
    upto = given.closed_upto_us()
    expected = list(year.oracle(given).answers(closed_upto_us=upto))
    assert {answer.kpi for answer in expected} == set(year.catalog.kpis)
    return [str(one) for one in compare(expected, published(year.catalog, given, chunk=chunk), closed_upto_us=upto)]


def test_lines_in_order(thin: Year) -> None:
    assert differences(thin, thin.delivered(3), chunk=20_000) == []


def test_lines_out_of_order_and_every_tenth_twice(thin: Year) -> None:
    """In small chunks, so that much of what comes late changes windows that were closed and published."""
    given = thin.thinned(2).delivered(3, disorder_us=20 * HOUR_US, twice=True)
    assert differences(thin.thinned(2), given, chunk=4_000) == []
