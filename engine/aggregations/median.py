"""median: the percentile at one half."""

from __future__ import annotations

from decimal import Decimal

from engine.aggregations.percentile import Percentile


class Median(Percentile):
    name = "median"

    @property
    def share(self) -> Decimal:
        return Decimal("0.5")
