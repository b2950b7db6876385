"""Caps on series: of each bucket the N smallest hashes stay, the rest becomes the `OTHER` row (protocol rule 16)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engine.plan import Column, DimensionSet
from engine.series import OTHER


def cap_series(
    dimensions: DimensionSet,
    columns: Sequence[Column],
    rows: pl.DataFrame,
    items: dict[str, pl.DataFrame],
    keys: list[str],
    within: list[str],
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Rows and items with the N smallest hashes of each group of ``within``, and one `OTHER` row for the others.

    A hash among the N smallest of a union is among them in every part that has it, so what is shown is exact.
    """
    limit = dimensions.series_per_bucket
    if not dimensions.names or rows.height <= limit:
        return rows, items
    ranked = rows.select(*keys, pl.col("h").rank("ordinal").over(within).alias("_rank"))
    folded = ranked.filter((pl.col("_rank") > limit) & (pl.col("h") != OTHER)).drop("_rank")
    if not folded.height:
        return rows, items
    marked = folded.with_columns(pl.lit(True).alias("_folded"))
    other = pl.when(pl.col("_folded")).then(pl.lit(OTHER, dtype=pl.UInt64)).otherwise(pl.col("h")).alias("h")
    merges = [merge for column in columns for merge in column.aggregation.merge(column.id)]
    rows = rows.join(marked, on=keys, how="left").with_columns(other).drop("_folded").group_by(keys).agg(*merges)
    capped = {}
    for column in columns:
        if column.id in items:
            moved = items[column.id].join(marked, on=keys, how="left").with_columns(other).drop("_folded")
            capped[column.id] = column.aggregation.merge_items(moved, keys)
    return rows, capped
