"""The second stage: blocks of all source partitions, merged into windows and published as KPI values.

A `MergePartition` owns one partition of partials: some buckets of every dimension set. It is given records and answers,
when asked to publish, with values to send and records to keep. It reads no clock: its time is what the heartbeats say
(protocol rule 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from engine.affected import AffectedWindows
from engine.alerts.active import Moment, Told, ended, unsigned
from engine.alerts.tracking import KpiAlerts
from engine.blocks import BLOCK, BlockKey, stamp_of
from engine.event_time import NEVER
from engine.event_time.watermarks import MergedWatermark
from engine.finishing import finished
from engine.kpis import KpiEvaluator
from engine.labels import Labels
from engine.others import OtherSeries
from engine.pane_store import PaneStore
from engine.plan import KpiPlan, Plan
from engine.publishing import KpiPublisher, Outgoing
from engine.records import (
    ALERTS,
    ANNOUNCEMENT,
    HEARTBEAT,
    JUDGED,
    MANIFEST,
    OTHERS,
    SENT,
    WINDOWS,
    Heartbeat,
    MergeManifest,
    SeriesAlerts,
    decode_heartbeat,
    decode_judged_from,
    decode_merge_manifest,
    decode_revisions,
    decode_series_alerts,
    encode,
    record_key,
    record_kind,
    split_key,
    with_epoch,
)
from engine.series import Directory
from engine.shown_windows import ShownWindows
from engine.values import ValueRows


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publication writes. Revisions, states of alerts and shares are acknowledged before values and alerts go
    out, the manifest after (protocol rules 12, 14).
    """

    revisions: list[tuple[bytes, bytes | None]]
    shares: list[tuple[int, bytes, bytes]]  # partition of partials, key, value
    values: list[ValueRows]
    manifest: tuple[bytes, bytes]
    tombstones: list[bytes]  # keys of partials of this partition that nothing reads any more
    offset: int
    alerts: list[tuple[bytes, bytes]]  # key and JSON object, in the order in which they were decided


class MergePartition:
    """State of one partition (of ``partitions``) of partials, and what is published from it. ``epoch``: its owner's."""

    def __init__(self, plan: Plan, partition: int, partitions: int = 1, *, epoch: int = 0) -> None:
        self.plan = plan
        self.partition = partition
        self.partitions = partitions
        self.epoch = epoch
        self.offset = 0
        self.topic_id = ""  # Kafka's, of partials
        self._directories: dict[str, Directory] = {}
        self._stores: dict[str, PaneStore] = {}
        for view in plan.views:
            names = view.dimensions
            directory = self._directories.setdefault(names.id, Directory(names.names, names.kinds))
            self._stores[view.id] = PaneStore(view, directory)
        self._affected = AffectedWindows()
        self._labels = Labels()
        self._kpis = [self._publisher(kpi) for kpi in plan.kpis]
        self._by_id = {publisher.id: publisher for publisher in self._kpis}
        self._alerts = {publisher.id: self._alerts_of(publisher) for publisher in self._kpis if _is_judged(publisher)}
        self._gone: list[tuple[bytes, SeriesAlerts]] = []  # of KPIs, as they were defined, that are no longer there
        self._over: list[bytes] = []  # keys of those that were told that
        self._home = {view.dimensions.id: view.dimensions.partition(0, partitions) for view in plan.views}
        self._waiting: dict[str, dict[bytes, tuple[BlockKey, bytes]]] = {}
        self._unread: list[bytes] = []
        self._beats: dict[tuple[str, int], Heartbeat] = {}
        self._watermarks = {name: MergedWatermark() for name in plan.catalog.sources}
        self._merged: dict[str, int] = {}
        self._epochs: dict[tuple[str, int], int] = {}
        self._view_source = {view.id: view.source.name for view in plan.views}

    def _publisher(self, kpi: KpiPlan) -> KpiPublisher:
        lateness = max(self.plan.catalog.sources[source].allowed_lateness_us for source in kpi.sources)
        evaluator = KpiEvaluator(kpi, self._stores, self.plan.columns_beside(kpi))
        directory = self._directories[kpi.dimensions.id]
        shown = ShownWindows(kpi, self._stores, evaluator, self._affected)
        of = kpi.dimensions
        others = OtherSeries(frozenset(of.partition(bucket, self.partitions) for bucket in range(of.buckets)))
        return KpiPublisher(kpi, self.partition, evaluator, directory, lateness, shown, others)

    def _alerts_of(self, publisher: KpiPublisher) -> KpiAlerts:
        directory = self._directories[publisher.plan.dimensions.id]
        return KpiAlerts(publisher.plan, publisher.id, self.partition, publisher.evaluator, directory)

    # -- recovery ------------------------------------------------------------------------------------------------------

    def restore(self, states: Iterable[tuple[bytes, bytes]], partials: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take up the state: the table's records, and the partials below the manifest's offset, in their order.

        What an owner wrote after its successor had announced itself does not count, here as when it came: it may have
        been decided by other settings. Compaction has kept the announcements where they were, and what was lost as it
        overwrote its own records, the successor had sent again under its own keys (protocol rule 3).
        """
        for key, value in states:
            kind = record_kind(key)
            if kind == MANIFEST:
                self._restore_manifest(decode_merge_manifest(value))
            elif kind == WINDOWS:
                _, _, end, _, id_ = split_key(key)
                if id_ in self._by_id:
                    self._by_id[id_].revisions.of[end] = dict(decode_revisions(value).of)
            elif kind in (ALERTS, JUDGED):
                self._restore_alerts(key, value)
        heard, self._epochs = self._epochs, {}
        for raw, partial in partials:
            if partial is None:
                continue
            kind = record_kind(raw)
            if kind == BLOCK:
                self._take_block(raw, partial)
            elif kind == ANNOUNCEMENT:
                self._announced(raw)
            elif kind in (OTHERS, SENT):
                self._take_share(raw, partial, publish=False)
        for place, epoch in heard.items():
            self._epochs[place] = max(epoch, self._epochs.get(place, -1))
        self._take_blocks(publish=False)
        for id_, alerts in self._alerts.items():
            alerts.restored(self._by_id[id_].shown.closed_us)

    def _restore_alerts(self, key: bytes, value: bytes) -> None:
        kind, _, position, _, id_ = split_key(key)
        alerts = self._alerts.get(id_)
        if kind == JUDGED and alerts is not None:
            alerts.restore_judged(decode_judged_from(value))
        elif kind == ALERTS and alerts is not None:
            alerts.restore(unsigned(position), decode_series_alerts(value))
        elif kind == ALERTS:
            self._gone.append((key, decode_series_alerts(value)))

    def _restore_manifest(self, manifest: MergeManifest) -> None:
        self.offset = manifest.offset
        self.topic_id = manifest.topic_id
        for beat in manifest.heartbeats:
            self._hear(beat)
        for id_, time_us in manifest.published_us.items():
            if id_ in self._by_id:
                self._by_id[id_].shown.published_us = time_us
        for id_, time_us in manifest.closed_us.items():
            if id_ in self._by_id:
                self._by_id[id_].shown.closed_us = time_us
        self._merged.update(manifest.merged_us)
        for view, time_us in manifest.dropped_us.items():
            if view in self._stores:
                self._stores[view].drop_below(time_us)

    # -- taking records in ---------------------------------------------------------------------------------------------

    def apply(self, records: Sequence[tuple[bytes, bytes | None, int]]) -> None:
        """Take in (key, value, offset) of the partition, in order. Published by the next `publish`."""
        for raw, value, offset in records:
            self.offset = max(self.offset, offset + 1)
            if value is None:
                continue
            kind = record_kind(raw)
            if kind == HEARTBEAT:
                self._hear(decode_heartbeat(value))
            elif kind == ANNOUNCEMENT:
                self._announced(raw)
            elif kind in (OTHERS, SENT):
                self._take_share(raw, value, publish=True)
            elif kind == BLOCK:
                self._take_block(raw, value)

    def _take_block(self, raw: bytes, value: bytes) -> None:
        key = BlockKey.unpack(raw)
        source = self._view_source.get(key.view)
        if source is None:  # of a newer catalog elsewhere: stays in the topic, for those who know it
            return
        if not self._current(source, key.partition, key.epoch):
            self._unread.append(raw)
            return
        waiting = self._waiting.setdefault(key.view, {})
        if raw not in waiting or stamp_of(value) > stamp_of(waiting[raw][1]):
            waiting[raw] = (key, value)

    def _announced(self, key: bytes) -> None:
        _, partition, _, epoch, source = split_key(key)
        self._current(source, partition, epoch)

    def _take_share(self, key: bytes, value: bytes, *, publish: bool) -> None:
        publisher = self._by_id.get(split_key(key)[4])
        if publisher is not None:
            take = publisher.others.hear if record_kind(key) == SENT else publisher.others.take
            take(key, value, publish=publish)

    def _current(self, source: str, partition: int, epoch: int) -> bool:
        """False for a record of an owner that was superseded (protocol rule 3)."""
        known = self._epochs.get((source, partition), -1)
        if epoch < known:
            return False
        self._epochs[source, partition] = epoch
        return True

    def _hear(self, beat: Heartbeat) -> None:
        if beat.source not in self._watermarks or not self._current(beat.source, beat.partition, beat.epoch):
            return
        self._beats[beat.source, beat.partition] = beat
        self._watermarks[beat.source].hear(
            beat.partition,
            beat.partitions,
            watermark_us=beat.watermark_us,
            idle=beat.idle,
            empty=beat.empty,
            clock_us=beat.clock_us,
        )

    def series(self) -> dict[str, int]:
        """By KPI, how many series it has had here."""
        return {publisher.plan.kpi.name: len(publisher.directory) for publisher in self._kpis}

    def take_folded(self) -> dict[str, int]:
        """By KPI: how many series were folded into `OTHER` since the last call, each once for a window that closed.

        The first stage counts those that it folded before (`SourcePartition.take_folded`).
        """
        folded = {publisher.plan.kpi.name: publisher.take_folded() for publisher in self._kpis}
        return {kpi: count for kpi, count in folded.items() if count}

    @property
    def behind(self) -> bool:
        """Whether any source partition has more to read than a flush holds."""
        return any(beat.behind for beat in self._beats.values())

    # -- publishing ----------------------------------------------------------------------------------------------------

    def publish(self, *, open_windows: bool = True) -> Publication:
        """Values of every window that opened, closed or changed since the last call, and what to keep.

        With ``open_windows`` false, changes of windows that are still open wait for a later call.
        """
        self._take_blocks(publish=True)
        for store in self._stores.values():
            store.windows.forget()
        self._affected.forget()
        self._labels.forget()
        for name, watermark in self._watermarks.items():
            self._merged[name] = max(self._merged.get(name, NEVER), watermark.merged())
        for publisher in self._kpis:
            publisher.prepare(*self._watermark(publisher.plan), self._since(publisher.plan), open_windows=open_windows)
        for id_, judged in self._alerts.items():
            judged.ask(self._by_id[id_].closed_ends())
        for store in self._stores.values():
            store.windows.merge_asked()
        out = Outgoing()
        found = [publisher.publish(out) for publisher in self._kpis]
        values = finished([rows for rows in found if rows is not None], self._labels)
        alerts = self._judge(values, out)
        tombstones = self._drop(out)
        shares = [(self._home[set_], with_epoch(key, self.epoch), value) for set_, key, value in out.shares]
        manifest = (record_key(MANIFEST, self.partition), encode(self._manifest()))
        return Publication(out.revisions, shares, values, manifest, tombstones, self.offset, alerts)

    def _judge(self, values: Sequence[ValueRows], out: Outgoing) -> list[tuple[bytes, bytes]]:
        """What alerts there are now; what is to be kept of them goes to ``out``."""
        told = Told(out.revisions)
        rows = {of.kpi.name: of for of in values}
        for id_, alerts in self._alerts.items():
            watermark, _ = self._watermark(self._by_id[id_].plan)
            if watermark != NEVER:
                now = Moment(watermark, self.epoch, self._since(alerts.plan), refresh=not self.behind)
                alerts.judge(rows.get(alerts.plan.kpi.name), now, told)
        told.records.extend((key, None) for key in self._over)
        self._over = [key for key, _ in self._gone]
        for _, record in self._gone:
            last = [*record.untold, *(ended(record.kpi, record.dims, one, self.epoch) for one in record.alerts)]
            told.objects.extend((key.encode(), text) for key, text in last)
        self._gone.clear()
        return told.objects

    def republish(self) -> None:
        """Have the next `publish` give the windows that are open once more, unchanged: what shows them may have
        forgotten them, and changes that a former owner held back are shown.
        """
        for publisher in self._kpis:
            publisher.shown.again = True

    def _take_blocks(self, *, publish: bool) -> None:
        for view, blocks in self._waiting.items():
            changed, unread = self._stores[view].take([(raw, key, value) for raw, (key, value) in blocks.items()])
            self._unread.extend(unread)
            if publish and changed is not None:
                for publisher in self._kpis:
                    publisher.shown.changed(view, changed)
                for alerts in self._alerts.values():
                    alerts.changed(view, changed)
        self._waiting.clear()

    def _manifest(self) -> MergeManifest:
        return MergeManifest(
            offset=self.offset,
            heartbeats=list(self._beats.values()),
            published_us={kpi.id: kpi.shown.published_us for kpi in self._kpis if kpi.shown.published_us != NEVER},
            closed_us={kpi.id: kpi.shown.closed_us for kpi in self._kpis if kpi.shown.closed_us != NEVER},
            merged_us=dict(self._merged),
            dropped_us={id_: store.dropped_us for id_, store in self._stores.items() if store.dropped_us > NEVER},
            topic_id=self.topic_id,
        )

    def _watermark(self, kpi: KpiPlan) -> tuple[int, int]:
        """(merged watermark, publish time) of a KPI: the minimum over its sources."""
        times = []
        for source in kpi.sources:
            merged = self._merged.get(source, NEVER)
            if merged == NEVER:
                return NEVER, NEVER
            times.append((merged, merged + self.plan.catalog.sources[source].watermark.delay_us))
        return min(w for w, _ in times), min(t for _, t in times)

    def _since(self, kpi: KpiPlan) -> int:
        """Event time before which history is missing for one of the KPI's columns; NEVER where none is (protocol rule
        19).

        It was never counted, or is gone already: a window that is longer than those before may reach back to it.
        """
        dropped = max(self._stores[term.view.id].dropped_us for term in kpi.terms)
        return max(
            dropped - 1 if dropped != NEVER else NEVER,
            *(
                beat.since_us.get(f"{term.view.id}/{term.column.id}", NEVER)
                for term in kpi.terms
                for beat in self._beats.values()
                if beat.source == term.view.source.name
            ),
            NEVER,
        )

    def _drop(self, out: Outgoing) -> list[bytes]:
        """Drop panes that no window reads any more, against the lowest floor of all sources that share a KPI with the
        view.
        """
        floors: dict[str, int] = {}
        for name in self.plan.catalog.sources:
            beats = [beat for (of, _), beat in self._beats.items() if of == name]
            whole = bool(beats) and len(beats) >= beats[0].partitions
            floors[name] = min((beat.floor_us for beat in beats if not beat.empty), default=NEVER) if whole else NEVER
        tombstones, self._unread = self._unread, []
        for store in self._stores.values():
            store.seal_below(floors[store.view.source.name])
        for view, store in self._stores.items():
            readers = [kpi.sources for kpi in self.plan.kpis if any(term.view.id == view for term in kpi.terms)]
            floor = min(floors[source] for sources in readers for source in sources)
            if floor != NEVER:
                tombstones.extend(store.drop_below(floor - store.view.retain_us))
        for publisher in self._kpis:
            floor = min(floors[source] for source in publisher.plan.sources)
            tombstones.extend(publisher.forget_until(floor, out))
        for id_, directory in self._directories.items():
            if directory.crowded:
                directory.keep(
                    pl.concat([store.series for store in self._stores.values() if store.view.dimensions.id == id_])
                )
        return tombstones


def _is_judged(publisher: KpiPublisher) -> bool:
    return any(alert.evaluator == "engine" for alert in publisher.plan.kpi.alerts)
