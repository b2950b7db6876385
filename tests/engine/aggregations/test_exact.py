"""Sums that would wrap in 128 bits, and doubles outside what they can hold (protocol rule 17)."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from engine.aggregations import States, aggregation_for
from engine.catalog.model import FieldType, Metric


def folded(agg: str, kind: FieldType, values: list[object], dtype: pl.DataType) -> tuple[int, str | None]:
    aggregation = aggregation_for(Metric("m", "s", agg), kind)  # type: ignore[arg-type]
    frame = pl.DataFrame({"g": 0, "v": pl.Series(values, dtype=dtype)})
    rows = frame.group_by("g").agg(aggregation.fold("x", pl.col("v"), None))
    return rows["x.n"].item(), aggregation.result(States(rows, "x")).item()


def test_decimals_of_38_digits_do_not_wrap() -> None:
    most = Decimal("9" * 36 + ".99")
    kind, dtype = FieldType("decimal", 38, 2), pl.Decimal(38, 2)
    n, text = folded("sum", kind, [most] * 1000, dtype)
    assert (n, Decimal(text or "")) == (1000, Decimal("9" * 38 + "0"))
    n, text = folded("sum", kind, [most, most.copy_negate(), most, most.copy_negate(), Decimal("0.01")], dtype)
    assert (n, text) == (5, "0.01")
    assert folded("variance", kind, [most] * 3, dtype) == (3, "0")


def test_integers_do_not_wrap() -> None:
    kind = FieldType("integer")
    assert folded("sum", kind, [2**63 - 1] * 4, pl.Int64()) == (4, str(4 * (2**63 - 1)))
    assert folded("variance", kind, [-(2**63)] * 4, pl.Int64()) == (4, "0")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 2.0**80, -1e300])
@pytest.mark.parametrize("agg", ["sum", "average", "variance", "stddev"])
def test_doubles_out_of_range_are_not_silent(agg: str, bad: float) -> None:
    """No value, although there were events: never a wrong one."""
    kind = FieldType("number")
    assert folded(agg, kind, [1.0, bad, 2.0], pl.Float64()) == (3, None)
    assert folded(agg, kind, [1.0, 2.0**80 - 2.0**30, -(2.0**79), 2.0], pl.Float64())[1] is not None


def test_sums_of_doubles_do_not_depend_on_their_order() -> None:
    kind = FieldType("number")
    values: list[object] = [2.0**79, 0.1, -(2.0**79), 0.2]
    assert folded("sum", kind, values, pl.Float64()) == folded("sum", kind, values[::-1], pl.Float64()) == (4, "0.3")


def test_strings_cannot_be_added() -> None:
    for agg in ("sum", "average", "min", "max", "first", "last", "variance", "percentile", "median"):
        with pytest.raises(ValueError, match="values of type string"):
            aggregation_for(Metric("m", "s", agg, percentile=Decimal("0.5")), FieldType("string"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sum needs an expression"):
        aggregation_for(Metric("m", "s", "sum"), None)
