"""count_distinct: exact while the union has no more than ``exact_below`` values, then an estimate from registers.

Items with k = 0 are hashes of values; those with k > 0 are registers and their ranks. A state is in one form or the
other, and which one depends on the set of its values alone; so does the result (protocol.md, rule 18).
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl

from engine.aggregations.base import ItemKind, States
from engine.aggregations.hashing import value_hashes
from engine.aggregations.registers import Integers, estimate, index_bits, registers
from engine.aggregations.sketch import VALUE, Sketch, kept_values, owners
from engine.catalog.model import FieldType, Metric

DEFAULT_ACCURACY = Decimal("0.02")


class CountDistinct(Sketch):
    name = "count_distinct"
    items = ItemKind.DISTINCT

    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        super().__init__(metric, value)
        assert value is not None
        self.type = value
        self.bits = index_bits(metric.accuracy or DEFAULT_ACCURACY)
        self.exact_below = metric.exact_below
        self.state = {"n": pl.Int64()}
        self.parameters = f"{value.kind}/{value.scale}/{self.bits}/{self.exact_below}"

    def fold_items(
        self, events: pl.DataFrame | pl.LazyFrame, keys: list[str], value: pl.Expr, keep: pl.Expr | None
    ) -> pl.DataFrame:
        values = kept_values(events, keys, value, keep)
        item = pl.Series("item", value_hashes(values[VALUE], self.type.kind).view(np.int64))
        unique = values.drop(VALUE).with_columns(item).unique().with_columns(pl.lit(0, dtype=pl.Int64).alias("k"))
        return self._bounded(unique, keys, registers_too=False)

    def merge_items(self, frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
        registers_too = bool((frame["k"] > 0).any())
        return self._bounded(_unique(frame.select(*keys, "item", "k"), keys, registers_too), keys, registers_too)

    def _bounded(self, unique: pl.DataFrame, keys: list[str], registers_too: bool) -> pl.DataFrame:
        """Puts into registers what is above the bound, or is in registers in part."""
        if unique.height <= self.exact_below and not registers_too:
            return unique
        is_hash = pl.col("k") == 0
        too_many = (pl.len() > self.exact_below) | (~is_hash).any()
        marked = unique.with_columns((is_hash & too_many.over(keys)).alias("_convert"))
        hashes = marked.filter("_convert")
        if not hashes.height:
            return unique
        index, rank = registers(hashes["item"].to_numpy().view(np.uint64), self.bits)
        converted = hashes.select(keys).with_columns(pl.Series("item", index), pl.Series("k", rank))
        return _unique(pl.concat([marked.filter(~pl.col("_convert")).drop("_convert"), converted]), keys, True)

    def result(self, states: States) -> pl.Series:
        items, rows = states.items, states.frame.height
        if items is None or not items.height:
            return pl.repeat("0", rows, dtype=pl.String, eager=True).alias("value")
        row, k = owners(states), items["k"].to_numpy()
        distinct = np.bincount(row[row >= 0], minlength=rows)
        ranked = (k > 0) & (row >= 0)
        if ranked.any():
            order = np.argsort(row[ranked], kind="stable")
            of, ranks = row[ranked][order], k[ranked][order]
            first = np.flatnonzero(np.append(True, of[1:] != of[:-1]))
            for at, of_one in zip(of[first].tolist(), np.split(ranks, first[1:]), strict=True):
                distinct[at] = self._estimate(of_one)
        return pl.Series("value", distinct).cast(pl.String)

    def _estimate(self, ranks: Integers) -> int:
        counts = np.bincount(ranks, minlength=66 - self.bits)
        counts[0] = (1 << self.bits) - len(ranks)
        return round(estimate(counts.tolist(), self.bits))


def _unique(items: pl.DataFrame, keys: list[str], registers_too: bool) -> pl.DataFrame:
    """Each hash once, and each register with its highest rank; a hash may look like the number of a register."""
    if not registers_too:
        return items.unique()
    of_one = [*keys, "item", (pl.col("k") > 0).alias("_register")]
    return items.group_by(of_one).agg(pl.col("k").max()).drop("_register")
