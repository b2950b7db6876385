"""The two catalogs that are proven, each with its events: those of the demo, and the retail lines with every type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from ruamel.yaml import YAML

from engine.catalog.loader import parse
from engine.catalog.model import Catalog, Source
from streamgauge.retail import catalog_path, till_lines
from tests.oracle.answers import Oracle
from tests.oracle.covering import covering_yaml
from tests.oracle.deliveries import Deliveries, deliveries
from tests.oracle.retail_lines import retail_lines


@dataclass(frozen=True, slots=True)
class Year:
    """A catalog of one source, and all of its events in order of time."""

    text: str
    events: pl.DataFrame
    times_us: npt.NDArray[np.int64]

    @property
    def catalog(self) -> Catalog:
        loaded = parse([("catalog.yaml", self.text)])
        assert loaded.catalog is not None, "\n".join(str(problem) for problem in loaded.problems)
        return loaded.catalog

    @property
    def source(self) -> Source:
        return next(iter(self.catalog.sources.values()))

    def delivered(self, partitions: int, *, disorder_us: int = 0, twice: bool = False) -> Deliveries:
        return deliveries(self.source, self.events, self.times_us, partitions, disorder_us=disorder_us, twice=twice)

    def oracle(self, given: Deliveries, *, threads: int = 2) -> Oracle:
        return Oracle(self.catalog, {self.source.name: given.accepted().to_arrow()}, threads=threads)

    def thinned(self, every: int) -> Year:
        """Only each n-th event."""
        return replace(self, events=self.events.gather_every(every), times_us=self.times_us[::every])

    def part(self, shares: slice) -> Year:
        """The events between two shares of all, in order of time."""
        rows = slice(*(round(share * self.events.height) for share in (shares.start, shares.stop)))
        return replace(self, events=self.events[rows], times_us=self.times_us[rows])

    def narrowed(self, wanted: Callable[[int], bool]) -> Year:
        """Only the KPIs of these numbers."""
        yaml = YAML(typ="safe", pure=True)
        document = yaml.load(self.text)
        document["kpis"] = {name: kpi for number, (name, kpi) in enumerate(document["kpis"].items()) if wanted(number)}
        out = StringIO()
        yaml.dump(document, out)
        return replace(self, text=out.getvalue())


def demo_year(folder: Path) -> Year:
    """retail.yaml over the demo's till lines; ``folder`` keeps the file they are made into."""
    events = pl.read_parquet(till_lines(folder))
    sold = events["sold_at"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us").to_physical().to_numpy()
    return Year(catalog_path().read_text(encoding="utf-8"), events, sold)


def covering_year() -> Year:
    """The covering catalog over lines whose times say no zone: New York's."""
    events = pl.DataFrame(pl.from_arrow(retail_lines()))
    local = events["sold_at"].str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us")
    # Within the hour that is skipped in spring nothing but the order matters here.
    sold = local.dt.replace_time_zone("America/New_York", ambiguous="earliest", non_existent="null").forward_fill()
    return Year(covering_yaml(), events, sold.to_physical().to_numpy())
