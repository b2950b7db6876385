"""What is published of one KPI, and when: windows that open, close or change, their revisions, and the share of
``__other__`` sent on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.affected import Affected, AffectedWindows, flag
from engine.event_time import NEVER
from engine.event_time.windows import Spans
from engine.event_time.zones import Times
from engine.kpis import KEYS, Gathered, KpiEvaluator
from engine.others import OtherSeries, forwarded
from engine.pane_store import PaneStore
from engine.plan import Column, KpiPlan
from engine.records import WINDOWS, Revisions, encode, record_key
from engine.series import OTHER, Directory, dims_texts
from engine.targets import with_targets
from engine.values import ValueRows

Changes = dict[str, list[pl.DataFrame]]  # view id -> frames (pane, bucket, h, <column id>: changed)


@dataclass(slots=True)
class Outgoing:
    """What a publication writes besides values: revisions to keep, and shares of ``__other__`` for the partition of
    bucket 0.
    """

    revisions: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    shares: list[tuple[str, bytes, bytes]] = field(default_factory=list)  # dimension set, key, value


@dataclass(slots=True)
class KpiPublisher:
    """How far one KPI is published in one partition of partials. Times in microseconds; NEVER at first."""

    plan: KpiPlan
    partition: int
    stores: Mapping[str, PaneStore]
    evaluator: KpiEvaluator
    directory: Directory
    lateness_us: int  # the longest of its sources
    affected: AffectedWindows  # shared by all KPIs
    published_us: int = NEVER  # publish time up to which windows were published
    closed_us: int = NEVER  # window end up to which windows were closed
    revisions: dict[int, dict[int, int]] = field(default_factory=dict)  # window end -> series hash -> revision above 1
    others: OtherSeries = field(default_factory=OtherSeries)
    _fresh: Changes = field(default_factory=dict)  # not yet looked at
    _held: Changes = field(default_factory=dict)  # not yet shown in windows that are still open
    _again: bool = False  # windows that are open are to be shown once more

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
        """Values of all that opened, closed or changed. ``upto`` is the publish time reached, ``since_us`` when the
        history begins.
        """
        if watermark == NEVER:
            return None
        before_closed = self.closed_us
        frames: list[pl.DataFrame | None] = []
        unchanged: list[pl.DataFrame | None] = []  # closed before, and not changed since
        if self.closed_us != NEVER or self._begin():
            before_closed = self.closed_us
            asked = self._again and open_windows
            late = self.affected.of(self.plan, self._fresh, NEVER, before_closed)
            unchanged.append(self._silent_after(late, before_closed, watermark, out))
            frames = self._own_rows(late, watermark, upto, out, open_windows=open_windows)
            if asked and all(frame is None or not frame.height for frame in frames):
                unchanged.append(self._closed_again(before_closed, out))
        frames.append(self._other_rows(watermark))
        filled = [frame for frame in frames if frame is not None and frame.height]
        parts = [frame.with_columns(pl.lit("closed").alias("state")) for frame in unchanged if frame is not None]
        if filled:
            parts.insert(0, self._with_states(pl.concat(filled), watermark, before_closed))
        if not parts:
            return None
        found = pl.concat(parts, how="diagonal")
        found = self._with_revisions(found, out)
        return ValueRows(self.plan.facts, self._finished(found, watermark, since_us))

    def _own_rows(
        self, late: Affected | None, watermark: int, upto: int, out: Outgoing, *, open_windows: bool
    ) -> list[pl.DataFrame | None]:
        before_published, before_closed = self.published_us, self.closed_us
        frames = [self._new_windows(watermark, upto if open_windows else NEVER, out)]
        fresh, self._fresh = self._fresh, {}
        frames.append(self._changed_rows(late, watermark, out))
        for view, changed in fresh.items():
            self._held.setdefault(view, []).extend(changed)
        if open_windows:
            held, self._held = self._held, {}
            if held and not self._again:  # else all of them were shown just now
                shown = self.plan.windows.next_end(before_published)  # the end of the last window that was published
                frames.append(self._changed_rows(self.affected.of(self.plan, held, watermark, shown), watermark, out))
            self.published_us, self._again = max(before_published, upto), False
        self.closed_us = max(before_closed, watermark)
        return frames

    def merges_ahead(
        self, watermark: int
    ) -> tuple[pl.DataFrame, list[tuple[str, Times, Times, Sequence[Column]]]] | None:
        """What will be merged for the open windows that changed, and for which series: so that all KPIs can be served
        at once.
        """
        if watermark == NEVER or self.closed_us == NEVER or self._again:
            return None
        changes = {
            view: [*self._held.get(view, ()), *self._fresh.get(view, ())]
            for view in self._held.keys() | self._fresh.keys()
        }
        shown = self.plan.windows.next_end(self.published_us)
        affected = self.affected.of(self.plan, changes, watermark, shown) if changes else None
        if affected is None or any(self.stores[term.view.id].capped for term in self.plan.terms):
            return None
        return affected.series, self.evaluator.asked(affected.spans)

    def _begin(self) -> bool:
        """The first windows of a KPI are those of the earliest pane it has."""
        starts = [self.stores[term.view.id].first_us for term in self.plan.terms]
        known = [start for start in starts if start is not None]
        if not known:
            return False
        windows = self.plan.windows
        self.closed_us = min(known)
        self.published_us = min(known) - windows.max_length_us - windows.max_step_us
        return True

    def republish(self) -> None:
        """Show the windows that are open once more with the next publication."""
        self._again = True

    # -- which rows ----------------------------------------------------------------------------------------------------

    def _new_windows(self, watermark: int, upto: int, out: Outgoing) -> pl.DataFrame | None:
        """Every series of the windows that close or open now, and those of the window before that have nothing in it
        (protocol rule 11).
        """
        return self._whole(self._runs(watermark, upto), watermark, out)

    def _closed_again(self, watermark: int, out: Outgoing) -> pl.DataFrame | None:
        """What was closed last: of the last window before now, and of the last ones that hold any event. Nothing of it
        has changed; without it, nobody would see a source again that was silent when its worker was restarted.
        """
        windows = self.plan.windows
        latest = max(self.stores[term.view.id].latest_us for term in self.plan.terms)
        if latest == NEVER:
            return None
        runs = [windows.closing(watermark - windows.max_step_us - 1, watermark).end_us[-1:]]
        holding = windows.containing(np.array([latest], dtype=np.int64), watermark).windows.end_us
        holding = holding[holding <= watermark][-1:]
        if len(holding):
            runs.append(windows.closing(int(holding[0]) - 1, min(windows.next_end(int(holding[0])), watermark)).end_us)
        return self._whole([run for run in runs if len(run)], watermark, out)

    def _whole(self, runs: Sequence[Times], watermark: int, out: Outgoing) -> pl.DataFrame | None:
        """Every series of windows, given as the ends of runs of neighbours."""
        if not runs:
            return None
        windows = self.plan.windows
        shown = np.unique(np.concatenate(runs))
        ends = np.unique(np.concatenate([shown, windows.previous(np.array([run[0] for run in runs])).end_us]))
        spans = windows.ending_at(ends)
        gathered = self.evaluator.gather(spans)
        keys = self.evaluator.keys(gathered, succeeding=True)
        hidden = np.flatnonzero(~np.isin(ends, shown))
        if len(hidden) > 1:  # the first of all is never in
            keys = keys.filter(~pl.col("w").is_in(hidden.tolist()))
        return self._rows(keys, gathered, watermark, out)

    def _runs(self, watermark: int, upto: int) -> list[Times]:
        """Ends of the windows that close or open now, as runs of neighbours.

        Where there was nothing for longer than anything reaches, however long, no windows are counted out.
        """
        windows = self.plan.windows
        runs = []
        if windows.next_end(self.closed_us) <= watermark:
            for start, end in self._reached():
                if start < watermark and end > self.closed_us:
                    runs.append(windows.closing(max(self.closed_us, start), min(watermark, end)).end_us)
        # A window that is open has not been published for longer than a step.
        after = watermark - windows.max_step_us - 1
        if not self._again:
            after = max(after, self.published_us)
        if after < upto and windows.next_end(after) <= upto:
            reach = max(self.stores[term.view.id].last_us + term.view.retain_us for term in self.plan.terms)
            opening = windows.publishable(after, min(upto, reach)).end_us
            runs.append(opening[opening > watermark])
        return [run for run in runs if len(run)]

    def _reached(self) -> list[tuple[int, int]]:
        """Stretches of time outside of which no window that ends there reads anything, nor does the one before it; in
        order.
        """
        found: list[tuple[int, int]] = []
        for view in {term.view.id: term.view for term in self.plan.terms}.values():
            found += [(start, end + view.retain_us) for start, end in self.stores[view.id].spans_us]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start <= merged[-1][1]:
                first, last = merged.pop()
                merged.append((first, max(last, end)))
            else:
                merged.append((start, end))
        return merged

    def _changed_rows(self, affected: Affected | None, watermark: int, out: Outgoing) -> pl.DataFrame | None:
        """The series that changed in these windows."""
        if affected is None:
            return None
        names = {flag(self.plan.parts.index((term.view.id, term.offset)), term.column.id) for term in self.plan.terms}
        flags = [name for name in names if name in affected.keys.columns]
        if not flags:
            return None
        keys = affected.keys.filter(pl.any_horizontal(flags)).select(KEYS)
        if not keys.height:
            return None
        capped = any(self.stores[term.view.id].capped for term in self.plan.terms)
        if capped:  # a series above the cap changes what `__other__` holds
            keys = pl.concat([keys, keys.with_columns(pl.lit(OTHER, dtype=pl.UInt64).alias("h"))]).unique()
        gathered = self.evaluator.gather(affected.spans, None if capped else affected.series)
        plan = self.plan
        if not capped and plan.kpi.type == "simple" and plan.parts[0][1] is None:
            rows = self._rows(keys.sort(KEYS), gathered, watermark, out)
            # What changed may lie in the compared window only.
            return rows if plan.kpi.compare is None else rows.filter(pl.col("samples") > 0)
        if capped or plan.kpi.compare is not None or plan.parts[0][1] is not None or len(plan.parts) > 1:
            keys = self.evaluator.keys(gathered).join(keys, on=KEYS, how="semi")
        return self._rows(keys.sort(KEYS), gathered, watermark, out)

    def _silent_after(
        self, late: Affected | None, before_closed: int, watermark: int, out: Outgoing
    ) -> pl.DataFrame | None:
        """Series that have nothing in the window after one that changed, which had closed before: an event that came
        on time would have shown them there (protocol rule 11), so a late one does.
        """
        if late is None or not late.keys.height:
            return None
        windows = self.plan.windows
        following = windows.following(late.spans.end_us)
        ends = np.unique(np.concatenate([late.spans.end_us, following]))
        w, after = np.searchsorted(ends, late.spans.end_us), np.searchsorted(ends, following)
        at = late.keys["w"].to_numpy()
        keys = late.keys.select(pl.Series("w", w[at], dtype=pl.Int64), "bucket", "h")
        changed = keys
        keys = keys.with_columns(pl.Series("after", after[at], dtype=pl.Int64))
        keys = keys.filter(pl.Series(following[at] <= before_closed), pl.col("h") != OTHER)
        own = self.plan.kpi.compare is None and all(offset is None for _, offset in self.plan.parts)
        if own:  # a window that changed has something in it
            keys = keys.join(changed, left_on=["after", "bucket", "h"], right_on=KEYS, how="anti")
        if not keys.height:
            return None
        used = np.unique(keys.select("w", "after").to_numpy())
        numbers = pl.DataFrame({"_end": used, "_w": np.arange(len(used), dtype=np.int64)})
        for name in ("w", "after"):
            keys = keys.with_columns(keys[name].replace_strict(numbers["_end"], numbers["_w"], return_dtype=pl.Int64))
        capped = any(self.stores[term.view.id].capped for term in self.plan.terms)
        series = None if capped else keys.select("bucket", "h").unique().sort("bucket", "h")
        gathered = self.evaluator.gather(windows.ending_at(ends[used]), series)
        present = self.evaluator.keys(gathered)
        silent = (
            keys.join(present, on=KEYS, how="semi")
            .select(pl.col("after").alias("w"), "bucket", "h")
            .unique()
            .join(present, on=KEYS, how="anti")
        )
        return self._rows(silent.sort(KEYS), gathered, watermark, out) if silent.height else None

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

    # -- __other__ -----------------------------------------------------------------------------------------------------

    def _send_on(self, keys: pl.DataFrame, gathered: Gathered, watermark: int, out: Outgoing) -> None:
        if not keys.height:
            return
        others = keys.select("w", "bucket").join(self.evaluator.progress(gathered), on=["w", "bucket"], how="left")
        parts = [gathered.now[part] for part in self.plan.parts]
        if gathered.earlier is not None:
            parts += [gathered.earlier[part] for part in self.plan.parts]
        columns = [self.evaluator.columns[view] for view, _ in self.plan.parts]
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
        parts = self.plan.parts
        merged = [
            self.others.merged(changed, index, self.evaluator.columns[parts[index % len(parts)][0]])
            for index in range(len(parts) * (2 if self.plan.kpi.compare is not None else 1))
        ]
        earlier = dict(zip(parts, merged[len(parts) :], strict=True)) if len(merged) > len(parts) else None
        gathered = Gathered(spans, dict(zip(parts, merged[: len(parts)], strict=True)), earlier)
        return self._bounded(self.evaluator.values(self.evaluator.keys(gathered), gathered, watermark), spans)

    # -- states and revisions ------------------------------------------------------------------------------------------

    def _with_states(self, found: pl.DataFrame, watermark: int, before_closed: int) -> pl.DataFrame:
        """open, closed, or revised where the window was closed before; ``__other__`` of several buckets closes with the
        last of them.
        """
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
        revised = found["state"] == "revised"
        changed = found.filter(revised).select("window_end", "h").iter_rows() if revised.any() else ()
        for end, h in changed:
            of = self.revisions.setdefault(end, {})
            of[h] = of.get(h, 1) + 1
            touched.add(end)
        for end in touched:
            key = record_key(WINDOWS, self.partition, end, 0, self.id)
            out.revisions.append((key, encode(Revisions(self.revisions[end]))))
        is_open = pl.col("state") == "open"
        ends = [end for end in np.unique(found["window_end"].to_numpy()).tolist() if end in self.revisions]
        if not ends:
            return found.with_columns(pl.when(is_open).then(0).otherwise(1).cast(pl.Int64).alias("revision"))
        known = [(end, h, revision) for end in ends for h, revision in self.revisions[end].items()]
        schema = {"window_end": pl.Int64, "h": pl.UInt64, "_kept": pl.Int64}
        kept = pl.DataFrame(known, schema=schema, orient="row")
        joined = found.join(kept, on=["window_end", "h"], how="left", maintain_order="left")
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

    # -- finishing -----------------------------------------------------------------------------------------------------

    def _labels(self, h: pl.Series) -> pl.DataFrame:
        """h, dims and the dimensions as text. Many KPIs ask for the same few series."""
        names = self.plan.dimensions.names
        asked = (self.plan.dimensions.id, h.to_numpy().tobytes())
        if asked not in self.affected.labels:
            shown = self.directory.lookup(h)
            texts = dims_texts(shown) if names else pl.repeat("-", len(h), dtype=pl.String, eager=True)
            self.affected.labels[asked] = pl.DataFrame(
                [h.alias("h"), texts.alias("dims"), *(shown[name].alias(f"dim.{name}") for name in names)]
            )
        return self.affected.labels[asked]

    def _finished(self, found: pl.DataFrame, watermark: int, since_us: int) -> pl.DataFrame:
        labels = self._labels(found["h"].unique().sort())
        frame = found.join(labels, on="h", how="left", maintain_order="left").with_columns(
            pl.lit(watermark, dtype=pl.Int64).alias("watermark"),
            (pl.col("window_end") + self.lateness_us).alias("final_after"),
        )
        if since_us != NEVER:
            incomplete = pl.col("window_start") <= since_us
            reason = pl.when(incomplete).then(pl.lit("incomplete_history")).otherwise(pl.col("reason")).alias("reason")
            frame = frame.with_columns(reason)
        return with_targets(frame.drop("w", "bucket"), self.plan.kpi)
