"""Columns of events: money as exact text, times as RFC 3339, identities that no other run has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2s
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streamgauge.simulate.days import Day, Times

Cents = npt.NDArray[np.int64]

SENT: Final = "_sent_us"  # when an event is sent; not part of it


def euros(cents: Cents) -> pl.Series:
    """``-1250`` as ``-12.50``."""
    text = pl.Series("cents", cents, dtype=pl.Int64)
    size = text.abs()
    sign = pl.select(pl.when(text < 0).then(pl.lit("-")).otherwise(pl.lit(""))).to_series()
    return sign + (size // 100).cast(pl.String) + "." + (size % 100).cast(pl.String).str.zfill(2)


def rfc_3339(times: Times) -> pl.Series:
    """To the second, in UTC."""
    return pl.Series("times", times, dtype=pl.Int64).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Names:
    """Makes identities: of another seed or another end of history they are others."""

    run: str

    @classmethod
    def of(cls, seed: int, until: datetime) -> Names:
        return cls(blake2s(f"{seed} {until.isoformat()}".encode(), digest_size=3).hexdigest())

    def many(self, kind: str, day: Day, count: int, *, first: int = 1) -> pl.Series:
        """``o7c01af-20261124-17``: the run, the day, a number within it."""
        numbers = pl.Series(range(first, first + count), dtype=pl.Int64).cast(pl.String)
        return pl.Series([f"{kind}{self.run}-{day.date:%Y%m%d}-"], dtype=pl.String).new_from_index(0, count) + numbers
