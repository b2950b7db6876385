"""What is published of one KPI: the values of the windows that are due, with their states and revisions, and the share
of ``__other__`` sent on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.event_time import NEVER
from engine.event_time.windows import Spans
from engine.event_time.zones import Times
from engine.finishing import Evaluated, Unfinished
from engine.keyed_rows import Indexes, Keys
from engine.kpis import Gathered, KpiEvaluator
from engine.others import OtherSeries, forwarded
from engine.pace.histories import PaceHistory
from engine.plan import KpiPlan
from engine.records import SENT, Sent, encode, record_key
from engine.series import OTHER, Directory
from engine.shown_windows import Due, ShownWindows, Silent
from engine.states import CLOSED, WindowRevisions, states_of


@dataclass(slots=True)
class Outgoing:
    """What a publication writes besides values: revisions to keep, and shares of ``__other__`` for the partition of
    bucket 0, which lie before what says that they are sent.
    """

    revisions: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    shares: list[tuple[str, bytes, bytes]] = field(default_factory=list)  # dimension set, key, value


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """What one publication is about. Times in microseconds."""

    watermark: int
    since: int  # when the history begins
    closed: int  # window end up to which windows had been closed before
    due: list[Due]
    silent: Silent | None
    asked_again: bool


@dataclass(slots=True)
class KpiPublisher:
    """One KPI in one partition of partials."""

    plan: KpiPlan
    partition: int
    evaluator: KpiEvaluator
    directory: Directory
    lateness_us: int  # the longest of its sources
    shown: ShownWindows
    others: OtherSeries
    revisions: WindowRevisions = field(init=False)
    _turn: _Turn | None = None
    _said_us: int = NEVER  # window end up to which its shares were said to be sent
    _folded: int = 0
    _pace: PaceHistory | None = None

    def __post_init__(self) -> None:
        self.revisions = WindowRevisions(self.partition, self.id)
        self._pace = PaceHistory.of(self.plan, self.evaluator.stores)

    @property
    def id(self) -> str:
        """What its state is kept by: another name or another definition is another thing to readers."""
        return f"{self.plan.kpi.name}/{self.plan.facts.definition}"

    def prepare(self, watermark: int, upto: int, since_us: int, *, open_windows: bool) -> None:
        """Decide what the next `publish` gives: all that opened, closed or changed. ``upto`` is the publish time
        reached, ``since_us`` when the history begins. What it will read is asked of the stores, so that they merge for
        all KPIs at once.
        """
        self._turn = None
        if watermark == NEVER:
            return
        shown, due, silent, asked_again = self.shown, list[Due](), None, False
        if shown.begun:
            closed, asked_again = shown.closed_us, shown.again and open_windows
            due, silent = shown.due(watermark, upto, open_windows=open_windows)
        else:
            closed = shown.closed_us
        self._turn = _Turn(watermark, since_us, closed, due, silent, asked_again)

    def closed_ends(self) -> Times:
        """Ends of the windows that close, or have closed and changed, in the publication that was prepared."""
        turn = self._turn
        if turn is None or not turn.due:
            return np.empty(0, dtype=np.int64)
        ends = np.unique(np.concatenate([due.reads.spans.end_us for due in turn.due]))
        return ends[ends <= turn.watermark]

    def publish(self, out: Outgoing) -> Unfinished | None:
        """The values that were prepared, None where there are none."""
        turn, self._turn = self._turn, None
        if turn is None:
            return None
        found = self._published(turn, out)
        self._say_sent(turn.watermark, out)
        return found

    def _published(self, turn: _Turn, out: Outgoing) -> Unfinished | None:
        rows: list[Evaluated] = []
        states: list[Indexes] = []
        for due in turn.due:
            found = self._rows(due, turn, out)
            if found is not None:
                rows.append(found)
                states.append(states_of(found.end_us, turn.closed, turn.watermark))
        shown = bool(rows)
        closed = self.others.closed_us
        others = self._other_rows(turn.watermark)
        if others is not None:
            rows.append(others)
            states.append(states_of(others.end_us, closed, self.others.closed_us))
        # Closed before, and not changed since: after all that did.
        last = self.shown.closed_last(turn.closed) if turn.asked_again and not shown else None
        for unchanged in (turn.silent, last):
            found = self._rows(unchanged, turn, out) if unchanged is not None else None
            if found is not None:
                rows.append(found)
                states.append(np.full(len(found), CLOSED))
        if not rows:
            return None
        together = Evaluated.concat(rows)
        counted = self.revisions.count(together.end_us, together.h, np.concatenate(states), out.revisions)
        weeks = None if self._pace is None else self._pace.weeks(np.unique(together.start_us).tolist(), turn.since)
        return Unfinished(
            self.plan, self.directory, self.lateness_us, turn.watermark, turn.since, together, *counted, weeks
        )

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _rows(self, due: Due, turn: _Turn, out: Outgoing) -> Evaluated | None:
        """Values of what is due, None where that is nothing; of ``__other__`` only where it needs no other bucket."""
        gathered = self.evaluator.gather(due.reads, due.scope)
        self._count_folded(gathered, turn)
        keys = due.keys(self.evaluator, gathered)
        if self.plan.dimensions.buckets > 1:
            other = keys.columns[2] == OTHER
            if other.any():
                self._send_on(keys.take(other), gathered, out)
                keys = keys.take(~other)
        return self.evaluator.values(keys, gathered, turn.watermark) if len(keys) else None

    def _count_folded(self, gathered: Gathered, turn: _Turn) -> None:
        ends = gathered.spans.end_us
        closing = (turn.closed < ends) & (ends <= turn.watermark)
        self._folded += max(int(merged.folded[closing].sum()) for merged in gathered.now.values())

    def take_folded(self) -> int:
        """How many series were folded into `OTHER` since the last call, each once for a window that closed."""
        folded, self._folded = self._folded, 0
        return folded

    def forget_until(self, floor: int, out: Outgoing) -> list[bytes]:
        """Let go of what is kept of windows that can change no more; the keys of partials to tombstone."""
        self.revisions.forget_until(floor, out.revisions)
        return self.others.drop_until(floor)

    # -- __other__ -----------------------------------------------------------------------------------------------------

    def _send_on(self, keys: Keys, gathered: Gathered, out: Outgoing) -> None:
        w, bucket, _ = keys.columns
        progress = self.evaluator.progress(gathered, Keys(w, bucket))
        others = pl.DataFrame({"w": w, "bucket": bucket, "progress": progress})
        parts = [gathered.now[part] for part in self.plan.parts]
        if gathered.earlier is not None:
            parts += [gathered.earlier[part] for part in self.plan.parts]
        columns = [self.evaluator.columns[view] for view, _ in self.plan.parts]
        columns *= len(parts) // len(columns)
        spans = {n: (int(gathered.spans.start_us[n]), int(gathered.spans.end_us[n])) for n in np.unique(w).tolist()}
        records = forwarded(self.id, others, parts, columns, self.directory, spans)
        out.shares.extend((self.plan.dimensions.id, key, value) for key, value in records)

    def _say_sent(self, watermark: int, out: Outgoing) -> None:
        """Behind the shares: that all of the windows that have closed are sent (protocol rule 16)."""
        if self.plan.dimensions.buckets == 1 or self.partition not in self.others.senders:
            return
        if self._said_us == NEVER or self.shown.next_end(self._said_us) <= watermark:
            self._said_us = watermark
            key = record_key(SENT, self.partition, 0, 0, self.id)
            out.shares.append((self.plan.dimensions.id, key, encode(Sent(watermark))))

    def _other_rows(self, watermark: int) -> Evaluated | None:
        """``__other__`` of the windows whose shares changed, all buckets together."""
        due = self.others.due()
        if not due:
            return None
        bounds = np.array(due, dtype=np.int64)
        spans = Spans(bounds[:, 0].copy(), bounds[:, 1].copy(), bounds[:, 0].copy())
        parts = self.plan.parts
        merged = [
            self.others.merged(due, index, self.evaluator.columns[parts[index % len(parts)][0]])
            for index in range(len(parts) * (2 if self.plan.kpi.compare is not None else 1))
        ]
        earlier = dict(zip(parts, merged[len(parts) :], strict=True)) if len(merged) > len(parts) else None
        gathered = Gathered(self.evaluator.reads(spans), dict(zip(parts, merged[: len(parts)], strict=True)), earlier)
        keys = self.evaluator.keys(gathered)
        return self.evaluator.values(keys, gathered, watermark) if len(keys) else None
