"""What `streamgauge simulate business` writes, as it reaches the engine and as the oracle takes it.

The files are read twice, apart: their lines by Python, spread over partitions by identity as the command does; and by
DuckDB, which keeps the first of the events that are sent twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from ruamel.yaml import YAML

from engine.catalog.loader import parse
from engine.catalog.model import Catalog, Kpi, Source
from engine.expressions import compile_derived
from streamgauge.catalog_files import shipped_catalog
from streamgauge.sending.partitions import by_partition
from streamgauge.simulate.business import Business, Settings
from streamgauge.simulate.files import event_file, write_history
from tests.oracle.answers import Answer, Oracle
from tests.oracle.comparing import Difference, Published, compare
from tests.oracle.in_process import Chunk, published_of

UNTIL = datetime(2026, 11, 25, 9, 12, 30, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Simulated:
    """``catalog`` and the folder with a JSON Lines file for each of its sources."""

    catalog: Catalog
    folder: Path
    partitions: int = 3

    @property
    def sources(self) -> dict[str, Source]:
        """Those that a KPI reads."""
        read = {name for kpi in self.catalog.kpis.values() for name in sources_read(self.catalog, kpi)}
        return {name: source for name, source in self.catalog.sources.items() if name in read}

    @cached_property
    def sent(self) -> dict[str, list[list[tuple[bytes, int]]]]:
        """By source and partition, the lines in the order in which they are sent, each with its event time."""
        return {name: self._spread(source) for name, source in self.sources.items()}

    def chunks(self, number: int) -> Iterator[Chunk]:
        """So many, each with the same share of every partition: all sources go through time together, about."""
        for turn in range(number):
            yield {
                source: [
                    [line for line, _ in lines[len(lines) * turn // number : len(lines) * (turn + 1) // number]]
                    for lines in partitions
                ]
                for source, partitions in self.sent.items()
            }

    def oracle(self) -> Oracle:
        with duckdb.connect(config={"threads": 2}) as connection:
            tables = {name: accepted(connection, self.folder, source) for name, source in self.sources.items()}
        return Oracle(self.catalog, tables)

    def closed_upto_us(self, kpi: Kpi) -> int:
        """The watermark that every partition of each of the KPI's sources has reached."""
        return min(
            max(at for _, at in lines) - self.catalog.sources[source].watermark.delay_us
            for source in sources_read(self.catalog, kpi)
            for lines in self.sent[source]
        )

    def answers(self) -> dict[str, list[Answer]]:
        oracle = self.oracle()
        return {name: oracle.answers_of(kpi, self.closed_upto_us(kpi)) for name, kpi in self.catalog.kpis.items()}

    def published(self, chunks: int) -> Published:
        return published_of(self.catalog, dict.fromkeys(self.sources, self.partitions), self.chunks(chunks))

    def differences(self, answers: Mapping[str, list[Answer]], found: Published) -> list[Difference]:
        wrong: list[Difference] = []
        for name, kpi in self.catalog.kpis.items():
            of_kpi = {key: value for key, value in found.closed.items() if key[0] == name}
            wrong += compare(answers[name], of_kpi, closed_upto_us=self.closed_upto_us(kpi))
        return wrong

    def _spread(self, source: Source) -> list[list[tuple[bytes, int]]]:
        assert source.identity and source.event_time
        events = event_file(self.folder, source.name).read_bytes().splitlines()
        read: list[dict[str, Any]] = [msgspec.json.decode(event) for event in events]
        times = [
            (datetime.fromisoformat(event[source.event_time]) - _EPOCH) // timedelta(microseconds=1) for event in read
        ]
        keys = [event[source.identity].encode() for event in read]
        at = dict(zip(events, times, strict=True))
        parts = by_partition(events, keys, self.partitions, 0)
        return [[(event, at[event]) for _, event in parts.get(number, [])] for number in range(self.partitions)]


def simulated(
    folder: Path, *, days: int, orders_a_day: float, kpis: set[str] | None = None, name: str = "business"
) -> Simulated:
    """business.yaml, or of it only these KPIs, and so many days of the events that they read in ``folder``."""
    found = Simulated(business_catalog(business_text(name), kpis), folder)
    settings = Settings(UNTIL, found.catalog.calendar.timezone, days=days, orders_a_day=orders_a_day)
    for _ in write_history(Business(settings, found.sources), folder):
        pass
    return found


def business_text(name: str = "business") -> str:
    """business.yaml under another name, its topics too."""
    text = shipped_catalog("business").read_text(encoding="utf-8")
    return re.sub(r"(?m)^name: .*$", f"name: {name}", text).replace("topic: business.", f"topic: {name}.")


def business_catalog(text: str, kpis: set[str] | None = None) -> Catalog:
    if kpis is not None:
        yaml = YAML(typ="safe", pure=True)
        document = yaml.load(text)
        document["kpis"] = {name: kpi for name, kpi in document["kpis"].items() if name in kpis}
        del document["silences"]  # some name KPIs that are not there now
        out = StringIO()
        yaml.dump(document, out)
        text = out.getvalue()
    loaded = parse([("business.yaml", text)])
    assert loaded.catalog is not None, "\n".join(map(str, loaded.problems))
    return loaded.catalog


def sources_read(catalog: Catalog, kpi: Kpi) -> set[str]:
    named = [name for name in (kpi.metric, kpi.numerator, kpi.denominator) if name is not None]
    if kpi.expr is not None:
        named += [metric for metric, _ in compile_derived(kpi.expr).terms]
    return {catalog.metrics[name].source for name in named}


def accepted(connection: duckdb.DuckDBPyConnection, folder: Path, source: Source) -> Any:
    """A source's events, the declared fields as they are written, each event once: an Arrow table."""
    texts = {"boolean": "boolean", "integer": "bigint"}
    columns = ", ".join(f"'{name}': '{texts.get(field.type.kind, 'varchar')}'" for name, field in source.fields.items())
    return connection.sql(
        f"""
        select * exclude (line, nth) from (
            select *, row_number() over (partition by "{source.identity}" order by line) as nth from (
                select *, row_number() over () as line
                from read_json(
                    '{event_file(folder, source.name)}', format = 'newline_delimited', columns = {{{columns}}}
                )
            )
        ) where nth = 1 order by line
        """
    ).to_arrow_table()
