"""Logarithmic buckets: numbers to bucket indexes each with a middle close enough to all of it.

The scheme is that of DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019): gamma = (1 + a) / (1 - a), bucket j holds
(b[j-1], b[j]] with b[j] = gamma b[j-1]. Here the bounds are a table, made by multiplication alone, and decide; a
logarithm only guesses, because its last digit differs between machines, and a replay gives the same buckets everywhere.

Item 0 is zero (and what is closer to it than 1e-300); items of negative numbers are negative, so that items sort as
numbers. The last bucket takes what is above 1e300, infinite or not a number; it has no middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import ceil, log

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Items = npt.NDArray[np.int64]

_REACH = 1e300
# Leaves room for the rounding of the bounds, a few times 1e-11 over the table, and of the result to 12 digits.
_MARGIN = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class LogBuckets:
    """Buckets of one relative accuracy."""

    gamma: float
    bounds: Doubles

    @classmethod
    def of(cls, accuracy: Decimal) -> LogBuckets:
        """``accuracy`` is a share above 0 and below 1: 1 % is 0.01."""
        return _buckets(accuracy)

    @property
    def last(self) -> int:
        """The item without a middle."""
        return len(self.bounds)

    def items(self, values: Doubles) -> Items:
        """The item of each number."""
        size = np.abs(values)
        middle = len(self.bounds) // 2
        with np.errstate(divide="ignore", invalid="ignore"):
            guess = np.ceil(np.log(size) / log(self.gamma)) + middle
        # NaN compares as false: it stays where the guess puts it, which is made the last bucket.
        at = np.where(np.isnan(guess), self.last, np.clip(np.nan_to_num(guess), 0, self.last)).astype(np.int64)
        padded = np.concatenate(([-np.inf], self.bounds, [np.inf]))  # padded[at] < size <= padded[at + 1]
        while (low := (padded[at] >= size) & (at > 0)).any():
            at -= low
        while (high := padded[at + 1] < size).any():
            at += high
        return np.where(values < 0, -at, at)

    def middle(self, item: int) -> float | None:
        """The number that stands for a bucket."""
        if item == 0:
            return 0.0
        at = abs(item)
        if at >= self.last:
            return None
        size = float(self.bounds[at - 1]) * (2 * self.gamma / (1 + self.gamma))
        return size if item > 0 else -size


@lru_cache(maxsize=16)
def _buckets(accuracy: Decimal) -> LogBuckets:
    share = float(accuracy) * _MARGIN
    gamma = (1 + share) / (1 - share)
    steps = ceil(log(_REACH) / log(gamma))
    up = np.multiply.accumulate(np.full(steps, gamma))
    down = np.multiply.accumulate(np.full(steps, 1 / gamma))
    return LogBuckets(gamma, np.concatenate((down[::-1], [1.0], up)))
