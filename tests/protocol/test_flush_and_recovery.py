"""Protocol rules 1 to 5: what a flush writes, and that nothing which happens between two steps changes a number."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.accumulating import Flush, Progress, SourcePartition
from engine.blocks import BLOCK, BlockKey, stamp_of
from engine.plan import Plan
from engine.records import ASSIGNMENT, MANIFEST, SEGMENT, decode_manifest, record_key, record_kind
from engine.recovery import recover
from streams.dedupe_files import DedupeFiles
from tests.engine.rig import AT_END, HOUR, MINUTE, T0, Event, Rig, end, order, orders, planned, run, shop

KPIS = """
  by_region: {metric: revenue, group_by: [region], window: {type: tumble, size: 1h}}
  rolling: {metric: revenue, window: {type: hop, size: 3h, slide: 1h}}
  distinct: {metric: buyers, window: {type: tumble, size: 1h}}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(shop(KPIS))


@pytest.fixture(scope="module")
def deduping() -> Plan:
    return planned(shop(KPIS, lateness="1h", identity="identity: id\n    dedupe: 2h"))


def flush_of(rig: Rig, partition: int = 0) -> Flush:
    return rig.sources[partition].flush(AT_END)


def finish(rig: Rig) -> Rig:
    """Read all, then an event far ahead in each partition, so that everything before it closes."""
    for p in range(rig.partitions):
        rig.send(p, [order(T0 + 100 * HOUR, "late closer", id="closer")])
        rig.flush(p)
    rig.publish()
    return rig


# -- rule 1


def test_rule_01_the_manifest_follows_state_and_partials_and_the_heartbeat_follows_it(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, orders(20, hours=2))
    steps = rig.steps(0, flush_of(rig))
    kinds = [(kind, record_kind(what[0])) for kind, _, what in steps if isinstance(what, tuple) and what[1] is not None]
    manifest = kinds.index(("table", MANIFEST))
    assert {kind for _, kind in kinds[:manifest]} == {BLOCK}
    assert [kind for kind, _ in kinds[manifest + 1 :]] == ["partials"]


def test_rule_01_the_manifest_holds_all_that_decides_and_a_stamp_is_the_offset_after_the_last_event(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [order(T0), order(T0 + HOUR), order(T0 + 30 * HOUR), order(T0 + 29 * HOUR)])
    flush = flush_of(rig)
    manifest = decode_manifest(flush.manifest[1])
    assert (manifest.offset, manifest.highest_us) == (4, T0 + 30 * HOUR)
    assert manifest.floor_us == T0 + 6 * HOUR  # the watermark less the lateness
    assert (manifest.partitions, manifest.decision.allowed_lateness_us) == (1, 24 * HOUR)
    stamps = {
        (BlockKey.unpack(key).pane * 1.0, stamp_of(value))
        for _, key, value in flush.partials
        if BlockKey.unpack(key).view == plan.views[0].id
    }
    first = T0 // HOUR
    assert stamps == {(first + hour, stamp) for hour, stamp in [(0, 1), (1, 2), (30, 3), (29, 4)]}


# -- rule 2


def crashed_after(plan: Plan, steps: int, events: list[Event]) -> tuple[Rig, int]:
    """Two flushes, the second of which stops after so many steps; a new owner goes on. And how many there were."""
    rig = Rig(plan, partitions=1)
    half = len(events) // 2
    rig.send(0, events[:half])
    rig.flush(0)
    rig.publish()
    rig.send(0, events[half:])
    second = rig.steps(0, flush_of(rig))
    rig.write(second[:steps])
    rig.publish()
    rig.restart(0)
    rig.read(0, upto=half + (len(events) - half) // 3)  # in other portions than before
    rig.flush(0)
    rig.read(0)
    rig.publish()
    return finish(rig), len(second)


def test_rules_01_and_02_a_crash_between_any_two_steps_changes_no_number(plan: Plan) -> None:
    events = orders(60, hours=5)
    events = events[::2] + events[1::2]
    plain = Rig(plan, partitions=1)
    run(plain, events, chunk=60)
    expected = finish(plain).answers()
    _, steps = crashed_after(plan, 0, events)
    assert steps > 10
    for count in range(steps + 1):
        assert crashed_after(plan, count, events)[0].answers() == expected, f"after {count} of {steps} steps"


def test_rule_02_a_new_owner_sends_what_may_not_have_gone_out(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, orders(10, hours=1))
    steps = rig.steps(0, flush_of(rig))
    blocks = [step for step in steps if step[0] == "table" and step[2][0] != b"" and record_kind(step[2][0]) == BLOCK]  # type: ignore[index]
    rig.write(blocks)  # neither partials nor a manifest
    before = len(rig.log[0])
    rig.restart(0)
    assert rig.sources[0].offset == 0
    sent = [BlockKey.unpack(key) for key, _ in rig.log[0][before:] if record_kind(key) == BLOCK]
    assert len(sent) == len(blocks)
    assert {key.epoch for key in sent} == {rig.sources[0].epoch}


def test_rule_02_what_was_judged_before_is_judged_by_the_settings_of_then() -> None:
    """An event that the former lateness accepted stays in, one after the highest stamp is judged by the present one."""
    before, after = planned(shop(KPIS)), planned(shop(KPIS, lateness="1h"))
    rig = Rig(before, partitions=1)
    rig.send(0, [order(T0 + 10 * HOUR)])
    rig.flush(0)
    rig.send(0, [order(T0 + 3 * HOUR, amount=7), order(T0 + 10 * HOUR)])
    blocks = [step for step in rig.steps(0, flush_of(rig)) if step[0] == "table"]
    rig.write(blocks[:-1])  # all but the manifest
    rig.plan = after
    rig.restart(0)
    rig.read(0)
    assert not rig.rejects
    rig.send(0, [order(T0 + 4 * HOUR)])
    assert [reject.reason for reject in rig.rejects] == ["late"]
    assert decode_manifest(flush_of(rig).manifest[1]).decision.allowed_lateness_us == HOUR


def test_rule_02_former_settings_stay_in_the_manifest_until_all_they_judged_was_passed() -> None:
    before, after = planned(shop(KPIS)), planned(shop(KPIS, lateness="1h"))
    rig = Rig(before, partitions=1)
    rig.send(0, [order(T0 + 10 * HOUR)])
    rig.flush(0)
    rig.send(0, [order(T0 + 10 * HOUR), order(T0 + 3 * HOUR, amount=7), order(T0 + 10 * HOUR)])
    rig.write([step for step in rig.steps(0, flush_of(rig)) if step[0] == "table"][:-1])
    rig.plan = after
    rig.restart(0)
    rig.read(0, upto=2)
    rig.flush(0)
    rig.restart(0)
    rig.read(0)
    assert not rig.rejects


# -- rule 3


def test_rule_03_merge_ignores_an_owner_that_was_superseded(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    zombie = rig.sources[0]
    rig.restart(0)
    rig.sources[0], owner = zombie, rig.sources[0]
    rig.send(0, [order(T0, amount=99)])
    rig.flush(0)  # by the zombie
    rig.sources[0] = owner
    rig.publish()
    assert not [value for value in rig.values if value["samples"]]


@pytest.mark.parametrize("established", [True, False], ids=["it had taken over", "it had not taken over yet"])
def test_rule_03_recovery_ignores_what_a_superseded_owner_wrote_once_the_next_one_had_taken_over(
    plan: Plan, established: bool
) -> None:
    """Keys that it shares with nobody, and keys that it wrote before; the numbers are those of the topic."""
    events = orders(40, hours=3)
    plain = Rig(plan, partitions=1)
    run(plain, events, chunk=40)
    expected = finish(plain).answers()
    rig = Rig(plan, partitions=1)
    rig.send(0, events[:20])
    rig.flush(0)
    zombie = rig.sources[0]
    if established:
        rig.restart(0)
    else:
        rig.tables[0].append(
            (record_key(ASSIGNMENT, 0, 0, 99, "dead"), b"")
        )  # assigned, and dead before it wrote anything more
    owner, rig.sources[0] = rig.sources[0], zombie
    rig.send(0, events[20:30])
    rig.flush(0)
    if established:
        assert owner.offset == 20
    rig.restart(0)
    assert rig.sources[0].offset == (20 if established else 30)
    rig.read(0)
    rig.send(0, events[30:])
    assert finish(rig).answers() == expected


def test_rule_03_keys_of_earlier_owners_are_deleted_behind_the_next_manifest(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, orders(10, hours=1))
    rig.flush(0)
    rig.restart(0)
    newest = dict(rig.tables[0])
    left = [key for key, value in newest.items() if value is not None and record_kind(key) in (BLOCK, MANIFEST)]
    assert {int.from_bytes(key[-8:], "big") if record_kind(key) == BLOCK else key[14:22] for key in left} == {
        rig.sources[0].epoch,
        rig.sources[0].epoch.to_bytes(8, "big"),
    }


def as_former(rig: Rig, former: SourcePartition, events: list[Event]) -> None:
    """A superseded owner reads events, which the owner has yet to read, and flushes."""
    owner, rig.sources[0] = rig.sources[0], former
    rig.send(0, events)
    rig.flush(0)
    rig.sources[0] = owner


def test_rule_03_what_a_superseded_owner_deletes_takes_no_dedupe_segment_from_the_next_one(deduping: Plan) -> None:
    """It reads on, and what has expired for it has not for its successor."""
    rig = Rig(deduping, partitions=1)
    rig.send(0, [order(T0, id="a")])
    rig.flush(0)
    former = rig.sources[0]
    rig.restart(0)
    as_former(rig, former, [order(T0, id="a"), order(T0 + 5 * HOUR, id="b")])
    rig.restart(0)
    rig.read(0)
    assert dict(rig.sources[0].take_counts()) == {"accepted": 1, "duplicate": 1, "late": 0, "invalid": 0}


def last_day(rig: Rig) -> object:
    """The open window of 24 hours, as merge has it now."""
    rig.merges[0].republish()
    rig.publish()
    return [value["value"] for value in rig.values if value["kpi"] == "day"][-1]


@pytest.mark.parametrize("at", [T0, T0 + 3 * HOUR], ids=["in a block of both", "in a block that nobody else has"])
def test_rule_03_merge_recovers_without_what_a_superseded_owner_wrote_by_other_settings(at: int) -> None:
    """It accepts an event that its successor, by a shorter lateness, refuses. Compaction keeps its record, since keys
    end in their epochs, and its stamp is the higher one.
    """
    day = "  day: {metric: revenue, window: {type: hop, size: 24h, slide: 1h}}\n"
    rig = Rig(planned(shop(day)), partitions=1)
    rig.send(0, [order(T0, amount=5), order(T0 + 10 * HOUR)])
    rig.flush(0)
    former, rig.plan = rig.sources[0], planned(shop(day, lateness="1h"))
    rig.restart(0)
    as_former(rig, former, [order(at, amount=7)])
    rig.read(0)
    rig.flush(0)
    assert last_day(rig) == 6
    rig.restart_merge()
    assert last_day(rig) == 6


@pytest.mark.parametrize("steps", [None, -1, 0], ids=["a whole flush", "a flush without its manifest", "nothing"])
def test_rule_03_what_an_owner_writes_until_its_successor_announces_itself_counts(steps: int | None) -> None:
    """The successor reads it as well, though it lies behind its assignment, and judges those events as they were."""
    day = "  day: {metric: revenue, window: {type: hop, size: 24h, slide: 1h}}\n"
    rig = Rig(planned(shop(day)), partitions=1)
    rig.send(0, [order(T0, amount=5), order(T0 + 10 * HOUR)])
    rig.flush(0)
    rig.send(0, [order(T0, amount=7)])
    flush, rig.plan = flush_of(rig), planned(shop(day, lateness="1h"))
    manifest = rig.steps(0, flush).index(("table", 0, flush.manifest))
    rig.unannounced.append(lambda: rig.write(rig.steps(0, flush)[: manifest if steps == -1 else steps]))
    rig.restart(0)
    expected = 13 if steps != 0 else 6
    assert last_day(rig) == expected
    rig.read(0)
    rig.flush(0)
    assert len(rig.rejects) == (steps == 0)
    assert last_day(rig) == expected
    rig.restart(0)
    rig.restart_merge()
    assert last_day(rig) == expected


def test_rule_03_what_it_writes_then_until_its_successor_has_taken_over_does_not_count() -> None:
    day = "  day: {metric: revenue, window: {type: hop, size: 24h, slide: 1h}}\n"
    rig = Rig(planned(shop(day)), partitions=1)
    rig.send(0, [order(T0, amount=5), order(T0 + 10 * HOUR)])
    rig.flush(0)
    rig.send(0, [order(T0, amount=7)])
    flush, rig.plan = flush_of(rig), planned(shop(day, lateness="1h"))
    rig.unestablished.append(lambda: rig.write(rig.steps(0, flush)))
    rig.restart(0)
    rig.read(0)
    rig.flush(0)
    assert last_day(rig) == 6
    rig.restart(0)
    rig.restart_merge()
    assert last_day(rig) == 6


def test_rule_03_a_dedupe_segment_from_behind_an_assignment_is_known_to_all_who_come_after(deduping: Plan) -> None:
    rig = Rig(deduping, partitions=1)
    rig.send(0, [order(T0, id="a")])
    flush = flush_of(rig)
    rig.unannounced.append(lambda: rig.write(rig.steps(0, flush)))
    rig.restart(0)
    rig.restart(0)
    rig.send(0, [order(T0, id="a")])
    assert dict(rig.sources[0].take_counts()) == {"accepted": 0, "duplicate": 1, "late": 0, "invalid": 0}


def test_rule_03_what_a_newer_owner_wrote_is_passed_over_by_one_that_reads_too_late(plan: Plan) -> None:
    """It is superseded, and must neither count on its successor's keys nor delete them."""
    rig = Rig(plan, partitions=1)
    rig.send(0, orders(10, hours=1))
    rig.flush(0)
    records = [(key, value, offset) for offset, (key, value) in enumerate(rig.tables[0]) if value is not None]
    epoch = len(records)
    rig.restart(0)
    table = [(key, value, offset) for offset, (key, value) in enumerate(rig.tables[0]) if value is not None]
    found, alone = recover(table, epoch - 1), recover(records, epoch - 1)
    assert found == alone


def test_rule_03_of_blocks_with_the_same_stamp_the_newer_owners_counts() -> None:
    """It may have a column that the older one's catalog did not."""
    day = "  day: {metric: revenue, window: {type: hop, size: 24h, slide: 1h}}\n"
    more = "  count: {metric: orders, window: {type: hop, size: 24h, slide: 1h}}\n"
    rig = Rig(planned(shop(day)), partitions=1)
    rig.send(0, [order(T0)])
    steps = rig.steps(0, flush_of(rig))
    rig.write(step for step in steps if step[0] == "partials" and record_kind(step[2][0]) == BLOCK)  # type: ignore[index]
    rig.plan = planned(shop(day + more))
    rig.restart_merge()
    rig.publish()
    rig.restart(0)
    rig.read(0)
    rig.flush(0)
    rig.publish()
    assert {value["kpi"]: value["value"] for value in rig.values} == {"day": 1, "count": 1}


# -- rule 4


def test_rule_04_no_block_is_made_below_the_floor_even_with_a_longer_lateness_after_a_restart() -> None:
    """The pane was let go of: what came to it now would be taken for all of it."""
    rig = Rig(planned(shop(KPIS, lateness="1h")), partitions=1)
    rig.send(0, [order(T0, amount=5), order(T0 + 10 * HOUR)])
    rig.flush(0)
    rig.publish()
    rig.plan = planned(shop(KPIS, lateness="48h"))
    rig.restart(0)
    rig.send(0, [order(T0 + 1, amount=1)])
    rig.flush(0)
    assert [reject.reason for reject in rig.rejects] == ["late"]
    rig.publish()
    assert rig.newest("by_region")["EU", end(1)]["value"] == 5


def test_rule_04_a_final_pane_is_deleted_from_the_table_behind_the_manifest_whose_floor_covers_it(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [order(T0)])
    rig.flush(0)
    rig.send(0, [order(T0 + 30 * HOUR)])
    flush = flush_of(rig)
    deleted = [BlockKey.unpack(key) for key in flush.tombstones]
    assert deleted and all((key.pane + 1) * HOUR <= decode_manifest(flush.manifest[1]).floor_us for key in deleted)
    steps = rig.steps(0, flush)
    rig.write(steps[: len(steps) - len(deleted)])  # a crash before they are deleted
    rig.restart(0)
    newest = {key: value for key, value in rig.tables[0] if record_kind(key) == BLOCK}
    assert T0 // HOUR not in {BlockKey.unpack(key).pane for key, value in newest.items() if value is not None}


def test_rule_04_the_manifest_keeps_the_topics_id(plan: Plan) -> None:
    """Also where the broker asked last did not tell; one that none had gets it at the next assignment."""

    def owner(topic_id: str, before: Flush | None) -> SourcePartition:
        restored = [(*before.manifest, 0)] if before else []
        return SourcePartition(
            plan, "orders", 0, partitions=1, merge_partitions=1, topic_id=topic_id, epoch=1, restored=restored
        )

    flush, kept = None, []
    for topic_id in ("", "Zx0s1XJ2QnK0yCXM0p0Fxg", ""):
        flush = owner(topic_id, flush).take_over()
        kept.append(decode_manifest(flush.manifest[1]).topic_id)
    assert kept == ["", "Zx0s1XJ2QnK0yCXM0p0Fxg", "Zx0s1XJ2QnK0yCXM0p0Fxg"]


def test_rule_04_lost_events_are_told_of(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [order(T0)])
    rig.flush(0)
    rig.restart(0)
    rig.sources[0].lost_history()
    rig.topic[0] += [order(T0 + HOUR)] * 3
    rig.sources[0].offset = 4
    rig.send(0, [order(T0 + 2 * HOUR + 1), order(T0 + 3 * HOUR), order(T0 + 5 * HOUR)])
    rig.flush(0)
    rig.publish()
    values = rig.newest("by_region")
    reasons = {hour: values["EU", end(hour)]["reason"] for hour in (1, 3, 4)}
    assert reasons == {1: "incomplete_history", 3: "incomplete_history", 4: None}


# -- rule 5


def test_rule_05_a_duplicate_is_known_after_a_restart(deduping: Plan) -> None:
    rig = Rig(deduping, partitions=1)
    rig.send(0, [order(T0, id="a"), order(T0 + 1, id="b")])
    rig.flush(0)
    rig.restart(0)
    rig.send(0, [order(T0, id="a"), order(T0 + 2, id="c")])
    assert dict(rig.sources[0].take_counts()) == {"accepted": 1, "duplicate": 1, "late": 0, "invalid": 0}


def test_rule_05_what_was_not_in_a_manifest_is_no_duplicate_of_itself(deduping: Plan) -> None:
    rig = Rig(deduping, partitions=1)
    rig.send(0, [order(T0, id="a")])
    steps = rig.steps(0, flush_of(rig))
    rig.write([step for step in steps if step[0] == "table" and record_kind(step[2][0]) == SEGMENT])  # type: ignore[index]
    rig.restart(0)
    rig.read(0)
    assert rig.sources[0].take_counts()["accepted"] == 1


def test_rule_05_segments_are_deleted_under_the_keys_they_were_written_under(deduping: Plan) -> None:
    rig = Rig(deduping, partitions=1)
    rig.send(0, [order(T0, id="a")])
    rig.flush(0)
    rig.restart(0)
    rig.send(0, [order(T0 + 5 * HOUR, id="b")])
    rig.flush(0)
    newest = dict(rig.tables[0])
    assert len([key for key, value in newest.items() if record_kind(key) == SEGMENT and value is not None]) == 1


def test_rule_05_of_segments_that_begin_at_one_offset_none_goes_before_all_have_expired(deduping: Plan) -> None:
    """One of a flush that never became durable, and that of the owner who made it again, later and with more in it."""
    rig = Rig(deduping, partitions=1)
    rig.send(0, [order(T0 + hour * HOUR // 2, id=f"early {hour}") for hour in range(4)])
    rig.write(step for step in rig.steps(0, flush_of(rig)) if step[0] == "table" and record_kind(step[2][0]) == SEGMENT)  # type: ignore[index]
    rig.restart(0)
    rig.send(0, [order(T0 + 3 * HOUR, id=f"later {number}") for number in range(252)])
    rig.flush(0)
    rig.restart(0)
    rig.send(0, [order(T0 + 4 * HOUR, id="b")])
    rig.flush(0)
    rig.restart(0)
    rig.send(0, [order(T0 + 3 * HOUR, id="later 7")])
    assert dict(rig.sources[0].take_counts()) == {"accepted": 0, "duplicate": 1, "late": 0, "invalid": 0}


def test_rule_05_beyond_their_memory_ids_go_to_files_and_nothing_is_decided_otherwise(
    deduping: Plan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also after restarts, and for an event that came before them."""
    caplog.set_level("INFO", "streams.dedupe_files")
    rng = random.Random(5)
    events = orders(20_000, hours=3)
    for number, event in enumerate(events):
        again = rng.randrange(max(0, number - 8_000), number + 1) if rng.random() < 0.2 else number
        events[number] = {
            **(events[again] if rng.random() < 0.9 else event),
            "id": str(events[again].get("id", number)),
        }
    counts, answers = [], []
    for store in (None, DedupeFiles(tmp_path, memory_bytes=1)):
        rig = Rig(deduping, partitions=1, store=store)
        found = Counter[str]()
        for first in range(0, len(events), 500):
            rig.send(0, events[first : first + 500])
            found.update(rig.sources[0].take_counts())
            rig.flush(0)
            if first % 7_000 == 6_500:
                rig.restart(0)
        rig.publish()
        counts.append(found)
        answers.append(finish(rig).answers())
    assert counts[0] == counts[1]
    assert counts[0]["duplicate"] > 2_000
    assert answers[0] == answers[1]
    assert "go to files in" in caplog.text


# -- all of them


def restart(rig: Rig, p: int, _: float) -> None:
    rig.restart(p)


def fold(rig: Rig, p: int, share: float) -> None:
    offset, length = rig.sources[p].offset, len(rig.topic[p])
    rig.read(p, upto=offset + max(1, round((length - offset) * share)))


def flush(rig: Rig, p: int, _: float) -> None:
    rig.flush(p)


def crash_in_a_flush(rig: Rig, p: int, share: float) -> None:
    steps = rig.steps(p, rig.sources[p].flush(AT_END))
    rig.write(steps[: round(len(steps) * share)])
    rig.restart(p)


def crash_while_taking_over(rig: Rig, p: int, share: float) -> None:
    dead = SourcePartition.take_over
    try:
        SourcePartition.take_over = lambda self: _cut(dead(self), share)  # type: ignore[method-assign]
        rig.restart(p)
    finally:
        SourcePartition.take_over = dead  # type: ignore[method-assign]
    rig.restart(p)


def _cut(flush: Flush, share: float) -> Flush:
    no_manifest = (record_key(ASSIGNMENT, 0, 0, 0, "dead"), b"")  # its place is taken by what says nothing
    return Flush(flush.state[: round(len(flush.state) * share)], [], no_manifest, flush.heartbeat, [], 0)


def zombie(rig: Rig, p: int, _: float) -> None:
    """A former owner reads on and flushes, once its successor has taken over."""
    former = rig.sources[p]
    rig.restart(p)
    owner, rig.sources[p] = rig.sources[p], former
    rig.read(p)
    rig.flush(p)
    rig.sources[p] = owner


def former_in_a_takeover(rig: Rig, p: int, share: float) -> None:
    """A former owner reads on and flushes, or a part of it, before its successor announces itself."""
    former = rig.sources[p]

    def reads_on() -> None:
        rig.read(p)
        steps = rig.steps(p, former.flush(AT_END))
        rig.write(steps[: round(len(steps) * share)])

    rig.unannounced.append(reads_on)
    rig.restart(p)


def publish(rig: Rig, _: int, share: float) -> None:
    rig.publish(open_windows=share < 0.5)


def crash_in_a_publication(rig: Rig, _: int, share: float) -> None:
    steps = rig.publication()
    rig.write(steps[: round(len(steps) * share)])
    rig.restart_merge()


ACTIONS: list[Callable[[Rig, int, float], None]] = [
    restart, fold, fold, flush, crash_in_a_flush, crash_while_taking_over, zombie, former_in_a_takeover,
    publish, crash_in_a_publication,
]  # fmt: skip


PLANS = [planned(shop(KPIS)), planned(shop(KPIS, lateness="1h", identity="identity: id\n    dedupe: 2h"))]


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_rules_01_to_05_and_14_whatever_happens_the_numbers_are_those_of_the_topic(data: st.DataObject) -> None:
    used = PLANS[data.draw(st.integers(0, 1), label="plan")]
    events = orders(60, seed=data.draw(st.integers(0, 50)), hours=4)
    for number, event in enumerate(events):
        event["id"] = str(number - number % 7 % 2)  # some come twice
    plain, rig = Rig(used), Rig(used)
    for p in range(2):
        plain.send(p, events[p::2])
        plain.flush(p)
        rig.send(p, events[p::2], fold=False)
    plain.publish()
    for name, p, share in data.draw(
        st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1), st.floats(0, 1)), min_size=4, max_size=12),
        label="what happens",
    ):
        name(rig, p, share)
    assert finish(rig).answers() == finish(plain).answers()


def test_rule_01_a_heartbeat_speaks_for_what_was_flushed_and_not_for_what_waits(plan: Plan) -> None:
    rig = Rig(plan, partitions=1)
    rig.send(0, [order(T0)])
    rig.flush(0)
    rig.send(0, [order(T0 + 5 * HOUR)])
    beat = rig.sources[0].heartbeat(Progress(at_end=True, silent_us=10 * MINUTE, now_us=T0 + 9 * HOUR))
    assert (beat.watermark_us, beat.idle) == (T0, False)
