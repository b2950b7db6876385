"""Percentiles and distinct counts: within the accuracy they state (protocol rule 18)."""

from __future__ import annotations

from decimal import Decimal
from math import ceil

import numpy as np
import polars as pl
import pytest

from engine.aggregations import States, aggregation_for
from engine.aggregations.hashing import mixed, value_hashes
from engine.aggregations.log_buckets import LogBuckets
from engine.aggregations.registers import estimate, index_bits, registers
from engine.catalog.model import FieldType, Metric

INTEGER, STRING, NUMBER = FieldType("integer"), FieldType("string"), FieldType("number")


@pytest.mark.parametrize("accuracy", ["0.001", "0.01", "0.05", "0.5"])
def test_a_bucket_is_near_all_in_it(accuracy: str) -> None:
    buckets = LogBuckets.of(Decimal(accuracy))
    sizes = np.exp(np.random.default_rng(3).uniform(-690, 690, 20_000))
    sizes = np.concatenate(
        (sizes, buckets.bounds, np.nextafter(buckets.bounds, 0), np.nextafter(buckets.bounds, 1e308))
    )
    values = np.concatenate((sizes, -sizes))
    values = values[(np.abs(values) > 1e-299) & (np.abs(values) < 9e299)]
    items = buckets.items(values)
    unique, inverse = np.unique(items, return_inverse=True)
    middles = np.array([buckets.middle(int(item)) for item in unique])[inverse]
    assert (np.abs(middles - values) <= float(accuracy) * np.abs(values)).all()
    assert (np.sign(items) == np.sign(values)).all()
    order = np.argsort(values)
    assert (np.diff(items[order]) >= 0).all()


def test_buckets_are_fixed() -> None:
    items = LogBuckets.of(Decimal("0.01")).items(np.array([0.0, -0.0, 1.0, -1.0, 19.99, 1e-320, np.inf, -np.inf]))
    assert items.tolist() == BUCKETS


def test_what_is_no_number_has_no_percentile() -> None:
    metric = Metric("m", "s", "median")
    median = aggregation_for(metric, NUMBER)
    events = pl.DataFrame(
        {"g": [1, 1, 2, 3, 3, 3], "v": [float("nan"), float("inf"), -float("inf"), 1.0, 1.0, float("nan")]}
    )
    items = median.fold_items(events, ["g"], pl.col("v"), None)
    frame = events.group_by("g").agg(median.fold("x", pl.col("v"), None)).sort("g")
    none, infinite, one = median.result(States(frame, "x", items, ["g"])).to_list()
    assert none is None
    assert infinite is None
    assert abs(float(one) - 1) <= 0.01
    assert frame["x.n"].to_list() == [2, 1, 3]


@pytest.mark.parametrize("accuracy", ["0.01", "0.02", "0.05"])
@pytest.mark.parametrize("kind", [INTEGER, STRING], ids=str)
def test_estimates_are_within_the_accuracy(accuracy: str, kind: FieldType) -> None:
    bits = index_bits(Decimal(accuracy))
    errors = []
    for seed in range(6):
        for n in (100, 12_000, 60_000):
            values = pl.Series(np.arange(n) + seed * 10**7)
            hashes = value_hashes(values.cast(pl.String) if kind == STRING else values, kind.kind)
            index, rank = registers(hashes, bits)
            ranks = np.zeros(1 << bits, dtype=np.int64)
            np.maximum.at(ranks, index, rank)
            found = round(estimate(np.bincount(ranks, minlength=66 - bits).tolist(), bits))
            assert abs(found - n) <= max(1, float(accuracy) * n)
            errors.append(found / n - 1)
    assert abs(float(np.mean(errors))) <= float(accuracy) / 4


def test_registers_count_zeros() -> None:
    hashes = np.array([0, 1, 2**63, 2**63 + 2**59, 2**64 - 1, 2**31, 2**32], dtype=np.uint64)
    index, rank = registers(hashes, 4)
    assert index.tolist() == [0, 0, 8, 8, 15, 0, 0]
    assert rank.tolist() == [61, 60, 61, 1, 1, 29, 28]


def test_an_estimate_of_nothing_and_of_everything() -> None:
    bits = 10
    empty = [1 << bits] + [0] * (65 - bits)
    full = [0] * (65 - bits) + [1 << bits]
    assert estimate(empty, bits) == 0
    assert estimate(full, bits) > 1e19


def test_distinct_is_exact_up_to_the_bound_and_in_registers_above() -> None:
    metric = Metric("m", "s", "count_distinct", accuracy=Decimal("0.02"), exact_below=1000)
    distinct = aggregation_for(metric, INTEGER)

    def items(low: int, high: int) -> pl.DataFrame:
        return distinct.fold_items(pl.DataFrame({"g": 0, "v": np.arange(low, high)}), ["g"], pl.col("v"), None)

    def result(found: pl.DataFrame) -> int:
        return int(distinct.result(States(pl.DataFrame({"g": [0], "x.n": [1]}), "x", found, ["g"])).item())

    below = distinct.merge_items(pl.concat([items(0, 700), items(300, 1000)]), ["g"])
    assert result(below) == 1000
    assert (below["k"] == 0).all()
    above = distinct.merge_items(pl.concat([below, items(1000, 1001)]), ["g"])
    assert (above["k"] > 0).all()
    assert abs(result(above) - 1001) <= 20
    # A part in registers converts the rest; the whole is the same whatever came first.
    more = distinct.merge_items(pl.concat([above, items(0, 5), items(900, 5000)]), ["g"])
    assert more.sort("item").equals(items(0, 5000).sort("item"))
    assert abs(result(more) - 5000) <= 100


def test_hashes_are_fixed() -> None:
    decimals = pl.Series([Decimal("1.50"), Decimal("-1.50")], dtype=pl.Decimal(38, 2))
    found = {
        "integer": value_hashes(pl.Series([0, -1]), "integer"),
        "string": value_hashes(pl.Series(["", "EU", "EU"]), "string"),
        "decimal": value_hashes(decimals, "decimal"),
        "number": value_hashes(pl.Series([-0.0, 0.0]), "number"),
        "boolean": value_hashes(pl.Series([True]), "boolean"),
    }
    assert {kind: [f"{h:016x}" for h in hashes.tolist()] for kind, hashes in found.items()} == HASHES
    assert int(mixed(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))[0]) == 0xE220A8397B1DCDAF  # splitmix64's first


@pytest.mark.parametrize("q", ["0", "0.01", "0.5", "0.95", "0.999", "1"])
def test_percentiles_of_many_series(q: str) -> None:
    metric = Metric("m", "s", "percentile", percentile=Decimal(q), accuracy=Decimal("0.01"))
    percentile = aggregation_for(metric, NUMBER)
    rng = np.random.default_rng(1)
    events = pl.DataFrame({"g": rng.integers(0, 50, 10_000), "v": rng.lognormal(3, 2, 10_000) - 20})
    items = percentile.fold_items(events, ["g"], pl.col("v"), None)
    frame = events.group_by("g").agg(percentile.fold("x", pl.col("v"), None))
    for g, text in zip(frame["g"], percentile.result(States(frame, "x", items, ["g"])), strict=True):
        ordered = np.sort(events.filter(pl.col("g") == g)["v"].to_numpy())
        wanted = ordered[max(1, ceil(Decimal(q) * len(ordered))) - 1]
        assert abs(float(text) - wanted) <= 0.01 * abs(wanted)


BUCKETS: list[int] = [0, 0, 34538, -34538, 34688, 0, 69077, -69077]
HASHES = {
    "boolean": ["f893a2eefb32555e"],
    "decimal": ["61285511eb99a3ae", "9ea38917de2adf9f"],
    "integer": ["6e789e6aa1b965f4", "e99ff867dbf682c9"],
    "number": ["1b39896a51a8749b", "1b39896a51a8749b"],
    "string": ["d5afba1336a3be4b", "d856d90c7df8a79f", "d856d90c7df8a79f"],
}
