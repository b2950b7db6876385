"""Whether what is stored and what a topic holds belong together; else a worker refuses to run (protocol rule 4)."""

from __future__ import annotations

from aiokafka.structs import TopicPartition
from faust.types import TP

from engine.records import Manifest, MergeManifest

_ANEW = "delete the consumer group and all topics of this catalog to start anew"


class StateLost(Exception):
    """State and topic do not belong together any more; the message says how, and what can be done."""


def check_topic(topic: str, stored: str, now: str) -> None:
    """The ids, as text, of the topic that the state is of, and of the one there is; "" where it is not known.

    Raises StateLost when they differ, whatever the offsets say.
    """
    if stored and now and stored != now:
        raise StateLost(
            f"{topic}: the topic was deleted and made again since its state was written (id {now}, before {stored}): "
            f"the offsets of one say nothing of the other; {_ANEW}"
        )


def check_source(
    tp: TP, manifest: Manifest | None, *, partitions: int, topic_id: str, committed: int | None, end: int
) -> None:
    """Of a source partition: its manifest, and what the topic and the group say. Raises StateLost."""
    name = f"{tp.topic}[{tp.partition}]"
    if manifest is None:
        if committed:
            raise StateLost(
                f"{name}: offset {committed} is committed, but the state behind it is gone from the changelog; "
                f"restore the changelog, or {_ANEW}"
            )
        return
    check_topic(tp.topic, manifest.topic_id, topic_id)
    if manifest.partitions != partitions:
        raise StateLost(
            f"{name}: the state is of a topic of {manifest.partitions} partitions, now it has {partitions}; "
            "partitions cannot be added to a source that is being counted"
        )
    if committed is not None and committed > manifest.offset:
        raise StateLost(
            f"{name}: offset {committed} is committed, the state ends at {manifest.offset}: the changelog lacks records"
        )
    _check_end(name, manifest.offset, end)


def check_partials(
    tp: TP | TopicPartition, manifest: MergeManifest | None, *, topic_id: str, committed: int | None, end: int
) -> None:
    """Of a partition of partials, in the same way. Raises StateLost."""
    name = f"{tp.topic}[{tp.partition}]"
    if manifest is None:
        if committed:
            raise StateLost(
                f"{name}: offset {committed} is committed, but the state behind it is gone from the windows' "
                f"changelog; restore it, or {_ANEW}"
            )
        return
    check_topic(tp.topic, manifest.topic_id, topic_id)
    if committed is not None and committed > manifest.offset:
        raise StateLost(f"{name}: offset {committed} is committed, but the state ends at {manifest.offset}")
    _check_end(name, manifest.offset, end)


def _check_end(name: str, offset: int, end: int) -> None:
    if offset > end:
        raise StateLost(
            f"{name}: the state ends at offset {offset}, the topic at {end}: was it deleted and made again? If so, "
            f"{_ANEW}"
        )
