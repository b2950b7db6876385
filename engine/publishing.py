"""What is published of one KPI, and when: windows that open, close or change, their revisions, and the share of ``__other__`` sent on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.catalog.model import Offset
from engine.event_time import NEVER
from engine.event_time.windows import Spans
from engine.event_time.zones import Times
from engine.kpis import KEYS, Gathered, KpiEvaluator
from engine.others import OtherSeries, forwarded
from engine.pane_store import PaneStore
from engine.plan import KpiPlan, Term
from engine.records import WINDOWS, Revisions, encode, record_key
from engine.series import OTHER, Directory, dims_texts
from engine.targets import with_targets
from engine.values import ValueRows

# The least that one unit of an offset can be, in microseconds: a day of 21 hours, months without them.
_LEAST_US = {
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 75_600_000_000,
    "w": 7 * 75_600_000_000,
    "month": 27 * 86_400_000_000,
    "quarter": 89 * 86_400_000_000,
    "year": 364 * 86_400_000_000,
}

Changes = dict[str, list[pl.DataFrame]]  # view id -> frames (pane, bucket, h, <column id>: changed)
Wanted = Callable[[Times], np.ndarray]


@dataclass(slots=True)
class Outgoing:
    """What a publication writes besides values: revisions to keep, and shares of ``__other__`` for the partition of bucket 0."""

    revisions: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    shares: list[tuple[str, bytes, bytes]] = field(default_factory=list)  # dimension set, key, value


@dataclass(slots=True)
class KpiPublisher:
    """How far one KPI is published in one partition of partials. Times in microseconds; NEVER before its first window."""

    plan: KpiPlan
    partition: int
    stores: Mapping[str, PaneStore]
    evaluator: KpiEvaluator
    directory: Directory
    lateness_us: int  # the longest of its sources
    published_us: int = NEVER  # publish time up to which windows were published
    closed_us: int = NEVER  # window end up to which windows were closed
    revisions: dict[int, dict[int, int]] = field(default_factory=dict)  # window end -> series hash -> revision above 1
    others: OtherSeries = field(default_factory=OtherSeries)
    _fresh: Changes = field(default_factory=dict)  # not yet looked at
    _held: Changes = field(default_factory=dict)  # not yet shown in windows that are still open

    @property
    def id(self) -> str:
        """What its state is kept by: another name or another definition is another thing to readers."""
        return f"{self.plan.kpi.name}/{self.plan.facts.definition}"

    def changed(self, view: str, series: pl.DataFrame) -> None:
        """Take note of (pane, bucket, h, <column id>: changed) of a view, if this KPI reads it."""
        if any(term.view.id == view for term in self.plan.terms):
            self._fresh.setdefault(view, []).append(series)

    def publish(
        self, watermark: int, upto: int, since_us: int, out: Outgoing, *, open_windows: bool
    ) -> ValueRows | None:
        """Values of all that opened, closed or changed. ``upto`` is the publish time reached, ``since_us`` when the history begins."""
        if watermark == NEVER or (self.closed_us == NEVER and not self._begin()):
            return None
        before_published, before_closed = self.published_us, self.closed_us
        frames = [self._new_windows(watermark, upto if open_windows else NEVER, out)]
        fresh, self._fresh = self._fresh, {}
        reached = max(before_published, before_closed)
        frames.append(self._changed_rows(fresh, reached, watermark, lambda end: end <= before_closed, out))
        for view, changed in fresh.items():
            self._held.setdefault(view, []).extend(changed)
        if open_windows:
            held, self._held = self._held, {}
            frames.append(self._changed_rows(held, before_published, watermark, lambda end: end > watermark, out))
            self.published_us = max(before_published, upto)
        self.closed_us = max(before_closed, watermark)
        frames.append(self._other_rows(watermark))
        filled = [frame for frame in frames if frame is not None and frame.height]
        if not filled:
            return None
        found = self._with_states(pl.concat(filled), watermark, before_closed)
        found = self._with_revisions(found, out)
        return ValueRows(self.plan.facts, self._finished(found, watermark, since_us))

    def _begin(self) -> bool:
        """The first windows of a KPI are those of the earliest pane it has."""
        starts = [self.stores[term.view.id].first_us for term in self.plan.terms]
        known = [start for start in starts if start is not None]
        if not known:
            return bool(self.others.changed)
        windows = self.plan.windows
        self.closed_us = min(known)
        self.published_us = min(known) - windows.max_length_us - windows.max_step_us
        return True

    def republish(self) -> None:
        """Take the windows published within the last step for new ones."""
        if self.closed_us != NEVER:
            self.published_us = min(self.published_us, self.closed_us - self.plan.windows.max_step_us - 1)

    # -- which rows -------------------------------------------------------------------------------------------------------------

    def _new_windows(self, watermark: int, upto: int, out: Outgoing) -> pl.DataFrame | None:
        """Every series of the windows that close or open now, and those of the window before that have nothing in it (protocol rule 11)."""
        windows = self.plan.windows
        reach = max(self.stores[term.view.id].last_us + term.view.retain_us for term in self.plan.terms)
        closing = windows.closing(self.closed_us, min(watermark, reach))
        # A window that is open has not been published for longer than a step.
        opening = windows.publishable(max(self.published_us, watermark - windows.max_step_us - 1), min(upto, reach))
        ends = np.concatenate([closing.end_us, opening.end_us[opening.end_us > watermark]])
        if not len(ends):
            return None
        spans = windows.closing(int(ends[0]) - 1, int(ends[-1]))
        gathered = self.evaluator.gather(_joined(windows.previous(spans.end_us[:1]), spans))
        keys = self.evaluator.keys(gathered, succeeding=True)
        if len(ends) < len(spans):
            shown = pl.Series("w", np.flatnonzero(np.isin(gathered.spans.end_us, ends)))
            keys = keys.filter(pl.col("w").is_in(shown.implode()))
        return self._rows(keys, gathered, watermark, out)

    def _changed_rows(
        self, changes: Changes, published: int, watermark: int, wanted: Wanted, out: Outgoing
    ) -> pl.DataFrame | None:
        """The changed series of the windows published before whose end is ``wanted``."""
        spans_of: dict[tuple[int, int], int] = {}
        found = []
        for term in {(term.view.id, term.offset): term for term in self.plan.terms}.values():
            changed = self._changed_series(changes, term)
            if changed is None:
                continue
            for shift in {None, self.plan.kpi.compare}:
                affected = self._affected(term, shift, changed, published, wanted, spans_of)
                if affected is not None:
                    found.append(affected)
        if not found:
            return None
        keys = pl.concat(found).unique()
        bounds = np.array(list(spans_of), dtype=np.int64).reshape(-1, 2)
        spans = Spans(bounds[:, 0].copy(), bounds[:, 1].copy(), bounds[:, 0].copy())
        capped = any(self.stores[term.view.id].capped for term in self.plan.terms)
        series = None if capped else keys.select("bucket", "h").unique().sort("bucket", "h")
        if capped:  # a series above the cap changes what `__other__` holds
            keys = pl.concat([keys, keys.with_columns(pl.lit(OTHER, dtype=pl.UInt64).alias("h"))]).unique()
        gathered = self.evaluator.gather(spans, series)
        present = self.evaluator.keys(gathered).join(keys, on=KEYS, how="semi").sort(KEYS)
        return self._rows(present, gathered, watermark, out)

    def _changed_series(self, changes: Changes, term: Term) -> pl.DataFrame | None:
        """(pane, bucket, h) of the term's view in which a column of this KPI changed."""
        found = changes.get(term.view.id)
        if not found:
            return None
        used = [other.column.id for other in self.plan.terms if other.view.id == term.view.id]
        together = pl.concat(found).filter(pl.any_horizontal(used)).select("pane", "bucket", "h").unique()
        return together if together.height else None

    def _affected(
        self,
        term: Term,
        shift: Offset | None,
        changed: pl.DataFrame,
        published: int,
        wanted: Wanted,
        spans_of: dict[tuple[int, int], int],
    ) -> pl.DataFrame | None:
        """(w, bucket, h) of the published windows that read a changed pane; new windows are numbered into ``spans_of``."""
        windows, pane_us = self.plan.windows, term.view.pane_us
        panes = changed["pane"].unique().sort().to_numpy()
        starts = panes * pane_us
        offsets = [offset for offset in (term.offset, shift) if offset is not None]
        if not offsets:
            spans, pane_index, window_index = windows.containing(starts, published)
        else:
            least = sum(offset.amount * _LEAST_US[offset.unit] for offset in offsets)
            after = int(starts[0]) + least - windows.max_length_us - windows.max_step_us
            if after >= published:
                return None
            spans = windows.publishable(after, published)
            at = spans
            for offset in offsets:
                at = windows.shifted(at, offset)
            hit = (at.start_us[None, :] < (starts + pane_us)[:, None]) & (starts[:, None] < at.end_us[None, :])
            pane_index, window_index = np.nonzero(hit)
        keep = wanted(spans.end_us)[window_index]
        pane_index, window_index = pane_index[keep], window_index[keep]
        if not len(window_index):
            return None
        numbers = np.zeros(len(spans), dtype=np.int64)
        for index in np.unique(window_index).tolist():
            bounds = (int(spans.start_us[index]), int(spans.end_us[index]))
            numbers[index] = spans_of.setdefault(bounds, len(spans_of))
        pairs = pl.DataFrame({"pane": panes[pane_index].astype(np.int64), "w": numbers[window_index]})
        return changed.join(pairs, on="pane").select("w", "bucket", "h").unique()

    def _rows(self, keys: pl.DataFrame, gathered: Gathered, watermark: int, out: Outgoing) -> pl.DataFrame:
        """Values of the series, with their window's bounds; of ``__other__`` only where it needs no other bucket."""
        if self.plan.dimensions.buckets > 1:
            self._send_on(keys.filter(pl.col("h") == OTHER), gathered, watermark, out)
            keys = keys.filter(pl.col("h") != OTHER)
        return self._bounded(self.evaluator.values(keys, gathered, watermark), gathered.spans)

    def _bounded(self, rows: pl.DataFrame, spans: Spans) -> pl.DataFrame:
        at = rows["w"].to_numpy()
        return rows.with_columns(
            pl.Series("window_start", spans.start_us[at], dtype=pl.Int64),
            pl.Series("window_end", spans.end_us[at], dtype=pl.Int64),
        )

    # -- __other__ --------------------------------------------------------------------------------------------------------------

    def _send_on(self, keys: pl.DataFrame, gathered: Gathered, watermark: int, out: Outgoing) -> None:
        if not keys.height:
            return
        others = keys.select("w", "bucket").join(self.evaluator.progress(gathered), on=["w", "bucket"], how="left")
        parts = [gathered.now[part] for part in self.evaluator.parts]
        if gathered.earlier is not None:
            parts += [gathered.earlier[part] for part in self.evaluator.parts]
        columns = [self.evaluator.columns[view] for view, _ in self.evaluator.parts]
        columns *= len(parts) // len(columns)
        numbers = others["w"].unique().to_list()
        spans = {w: (int(gathered.spans.start_us[w]), int(gathered.spans.end_us[w])) for w in numbers}
        closed = {w: end <= watermark for w, (_, end) in spans.items()}
        records = forwarded(self.id, others, parts, columns, self.directory, closed, spans)
        out.shares.extend((self.plan.dimensions.id, key, value) for key, value in records)

    def _other_rows(self, watermark: int) -> pl.DataFrame | None:
        """``__other__`` of the windows whose shares changed, all buckets together."""
        changed = sorted(self.others.changed, key=lambda span: (span[1], span[0]))
        self.others.changed.clear()
        if not changed:
            return None
        bounds = np.array(changed, dtype=np.int64)
        spans = Spans(bounds[:, 0].copy(), bounds[:, 1].copy(), bounds[:, 0].copy())
        parts = self.evaluator.parts
        merged = [
            self.others.merged(changed, index, self.evaluator.columns[parts[index % len(parts)][0]])
            for index in range(len(parts) * (2 if self.plan.kpi.compare is not None else 1))
        ]
        earlier = dict(zip(parts, merged[len(parts) :], strict=True)) if len(merged) > len(parts) else None
        gathered = Gathered(spans, dict(zip(parts, merged[: len(parts)], strict=True)), earlier)
        return self._bounded(self.evaluator.values(self.evaluator.keys(gathered), gathered, watermark), spans)

    # -- states and revisions ---------------------------------------------------------------------------------------------------

    def _with_states(self, found: pl.DataFrame, watermark: int, before_closed: int) -> pl.DataFrame:
        """open, closed, or revised where the window was closed before; ``__other__`` of several buckets closes with the last of them."""
        end = pl.col("window_end")
        state = (
            pl.when(end <= before_closed)
            .then(pl.lit("revised"))
            .when(end <= watermark)
            .then(pl.lit("closed"))
            .otherwise(pl.lit("open"))
        )
        found = found.with_columns(state.alias("state"))
        if self.plan.dimensions.buckets == 1 or not self.others.shares:
            return found
        states = {}
        for start, stop in found.filter(pl.col("h") == OTHER).select("window_start", "window_end").iter_rows():
            span = (start, stop)
            if not self.others.is_closed(span):
                states[stop] = "open"
            else:
                states[stop] = "revised" if span in self.others.closed else "closed"
                self.others.closed.add(span)
        own = end.replace_strict(states, default=None, return_dtype=pl.String)
        return found.with_columns(pl.when(pl.col("h") == OTHER).then(own).otherwise("state").alias("state"))

    def _with_revisions(self, found: pl.DataFrame, out: Outgoing) -> pl.DataFrame:
        """Revision 0 while open, 1 at closing, one more with each later change; those above 1 are kept."""
        touched = set()
        for end, h in found.filter(pl.col("state") == "revised").select("window_end", "h").iter_rows():
            of = self.revisions.setdefault(end, {})
            of[h] = of.get(h, 1) + 1
            touched.add(end)
        for end in touched:
            key = record_key(WINDOWS, self.partition, end, 0, self.id)
            out.revisions.append((key, encode(Revisions(self.revisions[end]))))
        known = [(end, h, revision) for end, of in self.revisions.items() for h, revision in of.items()]
        schema = {"window_end": pl.Int64, "h": pl.UInt64, "_kept": pl.Int64}
        kept = pl.DataFrame(known, schema=schema, orient="row")
        joined = found.join(kept, on=["window_end", "h"], how="left", maintain_order="left")
        is_open = pl.col("state") == "open"
        revision = pl.when(is_open).then(0).otherwise(pl.col("_kept").fill_null(1)).cast(pl.Int64).alias("revision")
        state = (
            pl.when(~is_open & pl.col("_kept").is_not_null()).then(pl.lit("revised")).otherwise("state").alias("state")
        )
        return joined.with_columns(revision, state).drop("_kept")

    def forget_until(self, floor: int, out: Outgoing) -> list[bytes]:
        """Let go of what is kept of windows that can change no more; the keys of partials to tombstone."""
        for end in [end for end in self.revisions if end <= floor]:
            del self.revisions[end]
            out.revisions.append((record_key(WINDOWS, self.partition, end, 0, self.id), None))
        return self.others.drop_until(floor)

    # -- finishing --------------------------------------------------------------------------------------------------------------

    def _finished(self, found: pl.DataFrame, watermark: int, since_us: int) -> pl.DataFrame:
        names = self.plan.dimensions.names
        series = found.select("h").unique()
        shown = self.directory.lookup(series["h"])
        texts = dims_texts(shown) if names else pl.repeat("-", series.height, dtype=pl.String, eager=True)
        labels = series.with_columns(texts.alias("dims"), *(shown[name].alias(f"dim.{name}") for name in names))
        frame = found.join(labels, on="h", how="left", maintain_order="left").with_columns(
            pl.lit(watermark, dtype=pl.Int64).alias("watermark"),
            (pl.col("window_end") + self.lateness_us).alias("final_after"),
        )
        if since_us != NEVER:
            incomplete = pl.col("window_start") <= since_us
            reason = pl.when(incomplete).then(pl.lit("incomplete_history")).otherwise(pl.col("reason")).alias("reason")
            frame = frame.with_columns(reason)
        return with_targets(frame.drop("w", "bucket"), self.plan.kpi)


def _joined(first: Spans, rest: Spans) -> Spans:
    return Spans(
        np.concatenate([first.start_us, rest.start_us]),
        np.concatenate([first.end_us, rest.end_us]),
        np.concatenate([first.publish_us, rest.publish_us]),
    )
