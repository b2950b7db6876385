"""What a catalog means for the engine: which views to fold, which columns they carry, which terms each KPI reads.

A *view* is the set of columns that share source, dimensions and pane size, so that one group-by folds them all.
Identities are fingerprints of what affects the numbers and of nothing else: changing an owner or a target replays
nothing (invariant 9).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import xxhash

from engine.aggregations import Aggregation, aggregation_for
from engine.catalog.alerting import Holidays
from engine.catalog.model import Catalog, Field, FieldType, Kpi, Metric, Offset, Source
from engine.event_time.durations import DAY_US, nominal_us
from engine.event_time.windows import Windows, windows_for
from engine.expressions import Derived, compile_derived, compile_expression
from engine.lookback.needs import needs_of
from engine.pace.judging import is_paced
from engine.pace.profiles import HISTORY_DAYS
from engine.values import KpiFacts

# A bucket holds about this many series at the cap: 64 buckets for 100,000 series (protocol rule 13).
SERIES_PER_BUCKET = 1_600
DEFAULT_MAX_SERIES = 100_000
FIXED_BY_TIME_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def fingerprint(*parts: object) -> str:
    """16 hex digits that depend on the parts' text alone; the same on every machine and in every version."""
    return xxhash.xxh3_64_hexdigest("\x1f".join(str(part) for part in parts).encode(), seed=0)


@functools.lru_cache(maxsize=4096)
def _dimensions_id(names: tuple[str, ...], kinds: tuple[str, ...], cap: int) -> str:
    return fingerprint("dimensions", names, kinds, cap)


@dataclass(frozen=True, slots=True)
class DimensionSet:
    """What series are told apart by. Hash, bucket count and cap belong to it, not to a view (protocol rule 13)."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    cap: int

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(name, kind) of each dimension."""
        return tuple(zip(self.names, self.kinds, strict=True))

    @property
    def id(self) -> str:
        """Depends on the cap: another one puts series into other buckets, and shows others (protocol rule 13)."""
        return _dimensions_id(self.names, self.kinds, self.cap)

    @property
    def buckets(self) -> int:
        """A power of two that follows from the cap alone."""
        if self.cap <= 2 * SERIES_PER_BUCKET:
            return 1
        return 1 << math.ceil(math.log2(self.cap / SERIES_PER_BUCKET))

    @property
    def series_per_bucket(self) -> int:
        """N of protocol rule 16: hashes spread unevenly, so a bucket gets room for six standard deviations more than
        its share.
        """
        share = self.cap / self.buckets
        return self.cap if self.buckets == 1 else math.ceil(share + 6 * math.sqrt(share))

    def partition(self, bucket: int, partitions: int) -> int:
        """The partition of ``NAME.partials`` that holds this bucket; sets start at different partitions, to spread
        small ones.
        """
        return (int(self.id, 16) + bucket) % partitions


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One aggregate of one view: what some metric, under some KPI's ``where``, is made of."""

    id: str
    aggregation: Aggregation
    value: pl.Expr | None
    value_type: FieldType | None
    keep: pl.Expr | None

    @property
    def samples(self) -> str:
        """Name of the state column that counts the events behind it."""
        return f"{self.id}.n"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    id: str
    source: Source
    dimensions: DimensionSet
    pane_us: int
    columns: tuple[Column, ...]
    retain_us: int  # how long after its end a pane is still read by a window (protocol rule 9)

    @property
    def sketches(self) -> tuple[Column, ...]:
        """The columns that keep items beside their main state."""
        return tuple(column for column in self.columns if column.aggregation.items is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One number that a KPI is computed from: a column over the window, or over the window one offset earlier.

    Metrics that differ only in name, unit or filling share a column, so they are told apart here.
    """

    metric: Metric
    offset: Offset | None
    view: View
    column: Column


@dataclass(frozen=True, slots=True, eq=False)
class KpiPlan:
    kpi: Kpi
    facts: KpiFacts
    windows: Windows
    dimensions: DimensionSet
    terms: tuple[Term, ...]  # simple: one; ratio: numerator, denominator; derived: in order of appearance
    derived: Derived | None
    parts: tuple[tuple[str, Offset | None], ...]  # the (view id, offset) pairs that are merged, in a fixed order
    settled_us: int = 0  # what is so far behind the watermark, or what is published before it, can change no more
    holidays: Holidays | None = None

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(term.view.source.name for term in self.terms)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    catalog: Catalog
    views: tuple[View, ...]
    kpis: tuple[KpiPlan, ...]

    def of_source(self, source: str) -> tuple[View, ...]:
        return tuple(view for view in self.views if view.source.name == source)

    def columns_beside(self, kpi: KpiPlan) -> dict[str, list[Column]]:
        """By view, the columns of this KPI and of all that read the view over the same windows: merged together."""
        alike = [
            other for other in self.kpis if (other.kpi.window, other.kpi.calendar) == (kpi.kpi.window, kpi.kpi.calendar)
        ]
        found: dict[str, dict[str, Column]] = {term.view.id: {} for term in kpi.terms}
        for other in alike:
            for term in other.terms:
                if term.view.id in found:
                    found[term.view.id][term.column.id] = term.column
        return {view: list(columns.values()) for view, columns in found.items()}


@dataclass(slots=True)
class _Draft:
    """A view while its columns are being collected."""

    source: Source
    dimensions: DimensionSet
    pane_us: int
    columns: dict[str, Column]
    retain_us: int = 0

    @property
    def id(self) -> str:
        source = self.source
        when = source.fields[source.event_time] if source.event_time else None
        return fingerprint(
            "view",
            source.topic,
            source.format,
            source.timezone,
            when,
            self.dimensions.id,
            _dimension_paths(source, self.dimensions),
            self.pane_us,
        )


def _dimension_paths(source: Source, dimensions: DimensionSet) -> tuple[tuple[str, ...], ...]:
    return tuple(source.fields[name].path for name in dimensions.names)


def longest_us(offset: Offset | None) -> int:
    """An upper bound of an offset's length in microseconds: local days of 25 hours, months of 31 days."""
    if offset is None:
        return 0
    day = 25 * FIXED_BY_TIME_US["h"]
    units = FIXED_BY_TIME_US | {"d": day, "w": 7 * day, "month": 31 * day, "quarter": 92 * day, "year": 366 * day}
    return offset.amount * units[offset.unit]


class _Planner:
    def __init__(self, catalog: Catalog, sequence: int) -> None:
        self.catalog = catalog
        self.sequence = sequence
        self.drafts: dict[tuple[str, tuple[str, ...], int], _Draft] = {}
        self.caps = self._caps()

    def _caps(self) -> dict[tuple[str, ...], int]:
        """Series cap of each dimension set: the largest that any KPI grouped by it asks for."""
        caps: dict[tuple[str, ...], int] = {}
        for kpi in self.catalog.kpis.values():
            cap = 1
            for name in kpi.group_by:
                cap *= max(source.fields[name].max_values for source in self._sources_of(kpi) if name in source.fields)
            cap = max(1, min(cap, kpi.max_series))
            caps[kpi.group_by] = max(caps.get(kpi.group_by, 1), cap)
        return caps

    def _sources_of(self, kpi: Kpi) -> list[Source]:
        return [self.catalog.sources[self.catalog.metrics[name].source] for name, _ in _metrics_of(kpi)]

    def settled_us(self, kpi: Kpi) -> int:
        """How far behind the publish time of a KPI no event counts any more."""
        return max(source.allowed_lateness_us + source.watermark.delay_us for source in self._sources_of(kpi))

    def dimensions(self, kpi: Kpi, source: Source) -> DimensionSet:
        kinds = tuple(source.fields[name].type.kind for name in kpi.group_by)
        return DimensionSet(kpi.group_by, kinds, self.caps[kpi.group_by])

    def term(
        self, kpi: Kpi, windows: Windows, name: str, offset: Offset | None
    ) -> tuple[_Draft, Column, Offset | None]:
        metric = self.catalog.metrics[name]
        source = self.catalog.sources[metric.source]
        dimensions = self.dimensions(kpi, source)
        key = (source.name, dimensions.names, windows.pane_us)
        draft = self.drafts.setdefault(key, _Draft(source, dimensions, windows.pane_us, {}))
        column = _column(metric, source, kpi.where)
        draft.columns.setdefault(column.id, column)
        reach = windows.max_length_us + longest_us(offset) + longest_us(kpi.compare) + windows.max_step_us
        if is_paced(kpi):
            reach += (HISTORY_DAYS + 2) * DAY_US + self.settled_us(kpi)
        if (needs := needs_of(kpi)) is not None:
            back = max(windows.max_length_us + longest_us(offset) + needs.weeks_us, needs.longest_us)
            reach = max(reach, back + windows.max_step_us)
        draft.retain_us = max(draft.retain_us, reach)
        return draft, draft.columns[column.id], offset


def _metrics_of(kpi: Kpi) -> list[tuple[str, Offset | None]]:
    match kpi.type:
        case "simple":
            return [(kpi.metric or "", None)]
        case "ratio":
            return [(kpi.numerator or "", None), (kpi.denominator or "", None)]
        case "derived":
            return list(compile_derived(kpi.expr or "", None).terms)


def _types(fields: Mapping[str, Field]) -> dict[str, FieldType]:
    return {name: declared.type for name, declared in fields.items()}


def _column(metric: Metric, source: Source, where: str | None) -> Column:
    types = _types(source.fields)
    filters = [text for text in (metric.filter, where) if text]
    keep = (
        compile_expression(" AND ".join(f"({text})" for text in filters), types, timezone=source.timezone)
        if filters
        else None
    )
    value = compile_expression(metric.expr, types, timezone=source.timezone) if metric.expr else None
    aggregation = aggregation_for(metric, value.type if value else None)
    used = sorted((keep.columns if keep else frozenset()) | (value.columns if value else frozenset()))
    id_ = fingerprint(
        "column",
        [(name, source.fields[name].path, str(source.fields[name].type), source.fields[name].unit) for name in used],
        source.timezone,
        keep.canonical if keep else "",
        value.canonical if value else "",
        metric.agg,
        aggregation.parameters,
    )
    return Column(
        id_,
        aggregation,
        value.expr if value else None,
        value.type if value else None,
        keep.expr if keep else None,
    )


def plan_catalog(catalog: Catalog, sequence: int = 0) -> Plan:
    """Plan a checked catalog. ``sequence`` is the definition sequence of protocol rule 19.

    Raises nothing for a catalog that the loader accepted.
    """
    planner = _Planner(catalog, sequence)
    found: list[tuple[Kpi, Windows, list[tuple[_Draft, Column, Offset | None]]]] = []
    for kpi in catalog.kpis.values():
        metrics = _metrics_of(kpi)
        offsets = [offset for _, offset in metrics if offset is not None]
        if (needs := needs_of(kpi)) is not None:
            offsets += needs.offsets(kpi.calendar.timezone)
        windows = windows_for(kpi.window, kpi.calendar, [*offsets, *([kpi.compare] if kpi.compare else [])])
        found.append((kpi, windows, [planner.term(kpi, windows, name, offset) for name, offset in metrics]))
    views = {
        key: View(
            draft.id, draft.source, draft.dimensions, draft.pane_us, tuple(draft.columns.values()), draft.retain_us
        )
        for key, draft in planner.drafts.items()
    }
    kpis = []
    for kpi, windows, drafts in found:
        terms = tuple(
            Term(catalog.metrics[name], offset, views[draft.source.name, draft.dimensions.names, draft.pane_us], column)
            for (name, _), (draft, column, offset) in zip(_metrics_of(kpi), drafts, strict=True)
        )
        derived = compile_derived(kpi.expr or "", catalog.metrics) if kpi.type == "derived" else None
        kpis.append(
            KpiPlan(
                kpi,
                _facts(kpi, windows, terms, sequence, catalog),
                windows,
                terms[0].view.dimensions,
                terms,
                derived,
                tuple(sorted({(term.view.id, term.offset) for term in terms}, key=str)),
                planner.settled_us(kpi),
                catalog.holidays,
            )
        )
    return Plan(catalog, tuple(views.values()), tuple(kpis))


def _facts(kpi: Kpi, windows: Windows, terms: tuple[Term, ...], sequence: int, catalog: Catalog) -> KpiFacts:
    dimensions = terms[0].view.dimensions
    definition = fingerprint(
        "kpi",
        kpi.type,
        kpi.expr,
        [(term.view.id, term.column.id, term.offset, term.metric.fill_nulls_with) for term in terms],
        kpi.window,
        kpi.calendar,
        kpi.compare,
    )[:12]
    unit = kpi.unit or (terms[0].metric.unit if kpi.type == "simple" else None)
    goal = catalog.goals.get(kpi.goal) if kpi.goal else None
    return KpiFacts(
        name=kpi.name,
        dimensions=dimensions.pairs,
        unit=unit,
        timezone=kpi.calendar.timezone,
        definition=definition,
        definition_sequence=sequence,
        favorable=kpi.favorable,
        title=kpi.title or kpi.name,
        owner=kpi.owner,
        goal=goal.name if goal else None,
        category=kpi.category,
        indicator=kpi.indicator,
        length_us=windows.max_length_us,
        expires_us=nominal_us(kpi.expires) if kpi.expires else None,
    )
