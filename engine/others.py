"""The ``__other__`` series of a set of dimensions with several buckets, added up in one place (protocol rule 16).

Each bucket sends what is above its cap on, window by window and cumulatively, to the partition of bucket 0. There the
newest of each bucket is kept, and merged into one series. Most buckets have nothing to send, so each partition of
partials says how far its buckets have: a window of ``__other__`` closes when it is closed in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from engine.asked_windows import Merged
from engine.blocks import decode_blocks, encode_blocks
from engine.catalog.model import Offset
from engine.event_time import NEVER
from engine.keyed_rows import Keys
from engine.levels import Sums
from engine.plan import Column
from engine.records import OTHERS, Others, decode_others, decode_sent, encode, record_key, split_key
from engine.series import OTHER, Directory

KEYS = ["w", "bucket", "h"]
TermKey = tuple[str, Offset | None]  # view id, offset
Span = tuple[int, int]  # start, end


def forwarded(
    definition: str,
    others: pl.DataFrame,
    parts: Sequence[Merged],
    columns: Sequence[Sequence[Column]],
    directory: Directory,
    spans: Mapping[int, Span],
) -> list[tuple[bytes, bytes]]:
    """Records for the partition that adds up. ``others``: w, bucket, progress of the shares; ``parts`` as in `Others`,
    with their columns.
    """
    encoded: list[dict[tuple[int, int], bytes]] = []
    for merged, used in zip(parts, columns, strict=True):
        rows = merged.rows.filter(pl.col("h") == OTHER).join(others, on=["w", "bucket"], how="semi")
        items = {
            id_: frame.filter(pl.col("h") == OTHER).join(others, on=["w", "bucket"], how="semi")
            for id_, frame in merged.items.items()
        }
        blocks = encode_blocks(
            rows.rename({"w": "pane"}).sort("pane", "bucket", "h"),
            {id_: frame.rename({"w": "pane"}).sort("pane", "bucket", "h", "item") for id_, frame in items.items()},
            directory,
            [column.id for column in used],
            {(w, bucket): 0 for w, bucket in rows.select("w", "bucket").iter_rows()},
        )
        encoded.append({(w, bucket): raw for w, bucket, raw in blocks})
    records = []
    for w, bucket, progress in others.select("w", "bucket", "progress").iter_rows():
        start, end = spans[w]
        share = Others(start, end, progress, [part.get((w, bucket), b"") for part in encoded])
        records.append((record_key(OTHERS, bucket, end, 0, definition), encode(share)))
    return records


@dataclass(slots=True)
class OtherSeries:
    """What the buckets of one KPI have sent, which lie in the partitions ``senders``. Times in microseconds."""

    senders: frozenset[int]
    closed_us: int = NEVER  # window end up to which it was published as closed
    shares: dict[Span, dict[int, Others]] = field(default_factory=dict)
    _keys: dict[Span, set[bytes]] = field(default_factory=dict)
    _changed: set[Span] = field(default_factory=set)
    _sent: dict[int, tuple[int, bytes]] = field(default_factory=dict)  # by sender: up to where, by which record
    _unread: list[bytes] = field(default_factory=list)

    def take(self, key: bytes, raw: bytes, *, publish: bool) -> None:
        """Take a share in; older ones of its bucket and window lose. Without ``publish``: it was published before."""
        share = decode_others(raw)
        bucket = split_key(key)[1]
        span = (share.start_us, share.end_us)
        known = self.shares.setdefault(span, {}).get(bucket)
        self._keys.setdefault(span, set()).add(key)
        if known is not None and known.progress >= share.progress:
            return
        self.shares[span][bucket] = share
        if publish:
            self._changed.add(span)

    def hear(self, key: bytes, raw: bytes, *, publish: bool) -> None:
        """Take in how far a sender is. Owners of its partition that went and came have a record each."""
        upto_us, sender = decode_sent(raw).upto_us, split_key(key)[1]
        known_us, known = self._sent.get(sender, (NEVER, key))
        newer = upto_us >= known_us
        if key != known:
            self._unread.append(known if newer else key)
        if newer:
            self._sent[sender] = upto_us, key
        if not publish:
            self.closed_us = self.sent_us

    @property
    def sent_us(self) -> int:
        """Up to where all senders are; NEVER while one was not heard."""
        return min((self._sent.get(sender, (NEVER, b""))[0] for sender in self.senders), default=NEVER)

    def due(self) -> list[Span]:
        """The windows to publish: those whose shares changed, and those that close now. They count as published."""
        closed, self.closed_us = self.closed_us, max(self.closed_us, self.sent_us)
        changed, self._changed = self._changed, set()
        if self.closed_us > closed:
            changed.update(span for span in self.shares if closed < span[1] <= self.closed_us)
        return sorted(changed, key=lambda span: (span[1], span[0]))

    def merged(self, spans: Sequence[Span], part: int, columns: Sequence[Column]) -> Merged:
        """One row per window that has anything in that part: bucket 0, h `OTHER`."""
        states = {
            f"{column.id}.{suffix}": dtype for column in columns for suffix, dtype in column.aggregation.state.items()
        }
        found = [
            (w, share.parts[part])
            for w, span in enumerate(spans)
            for share in self.shares[span].values()
            if share.parts[part]
        ]
        decoded = decode_blocks([raw for _, raw in found])
        at = pl.DataFrame(
            {
                "_block": pl.Series(range(len(found)), dtype=pl.UInt32),
                "w": pl.Series([w for w, _ in found], dtype=pl.Int64),
            }
        )
        place = [pl.lit(0, dtype=pl.Int64).alias("bucket"), pl.lit(OTHER, dtype=pl.UInt64).alias("h")]
        rows = decoded.rows.drop("h").join(at, on="_block").with_columns(place)
        empty = pl.DataFrame(schema={"w": pl.Int64(), "bucket": pl.Int64(), "h": pl.UInt64(), **states})
        rows = pl.concat(
            [empty, rows.select(*KEYS, *(name for name in states if name in rows.columns))], how="diagonal"
        )
        merges = [merge for column in columns for merge in column.aggregation.merge(column.id)]
        items = {}
        for column in columns:
            if column.aggregation.items is not None:
                raw = decoded.items.get(column.id)
                parts = [
                    pl.DataFrame(
                        schema={"w": pl.Int64, "bucket": pl.Int64, "h": pl.UInt64, "item": pl.Int64, "k": pl.Int64}
                    )
                ]
                if raw is not None:
                    parts.append(raw.drop("h").join(at, on="_block").with_columns(place).select(*KEYS, "item", "k"))
                items[column.id] = column.aggregation.merge_items(pl.concat(parts), KEYS)
        w = np.arange(len(spans), dtype=np.int64)
        progress = [sum(share.progress for share in self.shares[span].values()) if part == 0 else 0 for span in spans]
        sums = Sums(Keys(w, np.zeros_like(w)), np.array(progress, dtype=np.int64))
        return Merged(rows.group_by(KEYS).agg(*merges).sort(KEYS), items, sums, np.zeros_like(w))

    def drop_until(self, time_us: int) -> list[bytes]:
        """Let go of windows that can change no more; the keys of records that nobody reads any more, to tombstone."""
        tombstones, self._unread = self._unread, []
        upto = min(time_us, self.closed_us)
        for span in [span for span in self.shares if span[1] <= upto and span not in self._changed]:
            del self.shares[span]
            tombstones.extend(self._keys.pop(span, set()))
        return tombstones
