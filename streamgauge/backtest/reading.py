"""Where the events of a backtest come from: files, or the topics themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import numpy as np

from engine.admission import Batch
from engine.catalog.model import Catalog
from streamgauge.backtest.replay import Replay
from streamgauge.sending.event_files import EventFile, open_event_file
from streamgauge.settings import KafkaAddress

Report = Callable[[int], None]  # told how much more was read, in the unit of `total`
FOLDED = 5_000  # events at a time


def open_files(catalog: Catalog, files: Sequence[tuple[str, Path]]) -> dict[str, list[EventFile]]:
    """By source, in the order given. Raises UnusableFile."""
    opened: dict[str, list[EventFile]] = {}
    for source, path in files:
        file = open_event_file(path, catalog.sources[source])
        file.check(catalog.sources[source])
        opened.setdefault(source, []).append(file)
    return opened


def replay_files(
    catalog: Catalog,
    files: Mapping[str, Sequence[EventFile]],
    *,
    until_us: int | None = None,
    rows: int = FOLDED,
    report: Report = lambda _: None,
) -> Replay:
    """The files of a source one after the other, as one partition. Raises UnusableFile."""
    replay = Replay(catalog, dict.fromkeys(files, 1))
    batches = {source: _batches(of, rows, report) for source, of in files.items()}
    while (wanted := replay.next()) is not None:
        source, partition = wanted
        batch = next(batches[source], None)
        if batch is None or _is_over(replay, until_us):
            replay.end(source, partition)
        else:
            replay.take(source, partition, batch)
    replay.finish(until_us)
    return replay


def _batches(files: Sequence[EventFile], rows: int, report: Report) -> Iterator[Batch]:
    offset = 0
    for file in files:
        for chunk in file.chunks(None, None):
            for first in range(0, len(chunk.values), rows):
                values = chunk.values[first : first + rows]
                offsets = np.arange(offset, offset + len(values), dtype=np.int64)
                offset += len(values)
                yield Batch(0, values, offsets, np.empty(0, dtype=np.int64), offset)
            report(chunk.progress)


def _is_over(replay: Replay, until_us: int | None) -> bool:
    return until_us is not None and replay.reached_us >= until_us + max(
        source.watermark.delay_us for source in replay.plan.catalog.sources.values()
    )


async def replay_topics(
    catalog: Catalog, kafka: KafkaAddress, *, until_us: int | None = None, report: Callable[[int, int], None]
) -> Replay:
    """All that the topics hold now. ``report`` is told (records read, records there).

    Raises MissingTopic, KafkaError.
    """
    from streams.reading import topic_reader

    async with topic_reader(kafka.brokers, kafka.security) as reader:
        sources = {source.topic: source.name for source in catalog.sources.values()}
        found = {topic: await reader.partitions(topic) for topic in sources}
        for topic, partitions in found.items():
            if not partitions:
                raise MissingTopic(f"there is no topic {topic}")
        ends = await reader.ends([tp for partitions in found.values() for tp in partitions])
        starts = await reader.starts(list(ends))
        total, read = sum(ends[tp] - starts[tp] for tp in ends), 0
        replay = Replay(catalog, {sources[topic]: len(partitions) for topic, partitions in found.items()})
        open_ = {tp for tp in ends if starts[tp] < ends[tp]}
        for tp in ends:
            if tp not in open_:
                replay.end(sources[tp.topic], tp.partition)
        async with aclosing(reader.messages(ends)) as given:
            async for tp, messages in given:
                records = [message for message in messages if message.offset < ends[tp]]
                if not records:
                    continue
                following = records[-1].offset + 1
                headers = [tuple(record.headers) for record in records]
                batch = Batch(
                    tp.partition,
                    [record.value for record in records],
                    np.array([record.offset for record in records], dtype=np.int64),
                    np.array([record.timestamp for record in records], dtype=np.int64),
                    following,
                    headers.__getitem__,
                )
                replay.take(sources[tp.topic], tp.partition, batch)
                read += len(records)
                report(read, total)
                if following >= ends[tp] and tp in open_:
                    open_.discard(tp)
                    replay.end(sources[tp.topic], tp.partition)
                if _is_over(replay, until_us):
                    break
        for tp in open_:
            replay.end(sources[tp.topic], tp.partition)
    replay.finish(until_us)
    return replay


class MissingTopic(Exception):
    """A source's topic is not there; the message says which."""
