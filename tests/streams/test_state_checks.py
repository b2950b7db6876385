"""When state and topic do not belong together: what is refused, with which words (protocol rule 4)."""

from __future__ import annotations

import pytest
from faust.types import TP

from engine.decisions import DecisionSettings
from engine.event_time import NEVER
from engine.records import Manifest, MergeManifest
from streams.state_checks import StateLost, check_partials, check_source, check_topic

SETTINGS = DecisionSettings("json", "UTC", "at", None, (), 0, None, 0, 0)
NAME = "shop.orders[1]"
ANEW = "delete the consumer group and all topics of this catalog to start anew"


def manifest(offset: int = 10, topic_id: str = "one") -> Manifest:
    return Manifest(offset, 0, NEVER, topic_id, 2, SETTINGS, {})


def partials_manifest(offset: int = 10, topic_id: str = "one") -> MergeManifest:
    return MergeManifest(offset, [], {}, {}, {}, {}, topic_id)


@pytest.mark.parametrize(
    ("stored", "partitions", "topic_id", "committed", "end", "refused"),
    [
        pytest.param(None, 2, "one", None, 5, None, id="nothing was counted yet"),
        pytest.param(None, 2, "one", 0, 5, None, id="nothing was committed yet"),
        pytest.param(
            None, 2, "one", 3, 5, f"{NAME}: offset 3 is committed, but the state behind it is gone", id="no state"
        ),
        pytest.param(manifest(), 2, "one", 10, 10, None, id="all read"),
        pytest.param(manifest(), 2, "one", None, 20, None, id="the group is gone"),
        pytest.param(manifest(topic_id=""), 2, "two", 10, 20, None, id="the manifest has no id"),
        pytest.param(manifest(), 2, "", 10, 20, None, id="the broker tells no ids"),
        pytest.param(
            manifest(), 2, "two", None, 20, "shop.orders: the topic was deleted and made again", id="made anew"
        ),
        pytest.param(
            manifest(), 2, "two", None, 5, "shop.orders: the topic was deleted and made again", id="and shorter"
        ),
        pytest.param(manifest(), 3, "one", 10, 20, f"{NAME}: the state is of a topic of 2 partitions, now", id="more"),
        pytest.param(manifest(), 2, "one", 11, 20, f"{NAME}: offset 11 is committed, the state ends at 10", id="cut"),
        pytest.param(manifest(), 2, "", 10, 9, f"{NAME}: the state ends at offset 10, the topic at 9", id="short"),
    ],
)
def test_rule_04_a_source_that_its_state_does_not_fit_is_refused(
    stored: Manifest | None, partitions: int, topic_id: str, committed: int | None, end: int, refused: str | None
) -> None:
    def check() -> None:
        check_source(
            TP("shop.orders", 1), stored, partitions=partitions, topic_id=topic_id, committed=committed, end=end
        )

    if refused is None:
        check()
        return
    with pytest.raises(StateLost) as error:
        check()
    assert str(error.value).startswith(refused)


@pytest.mark.parametrize(
    ("stored", "topic_id", "committed", "end", "refused"),
    [
        pytest.param(None, "one", 0, 5, None, id="nothing was committed yet"),
        pytest.param(None, "one", 3, 5, "the state behind it is gone from the windows' changelog", id="no state"),
        pytest.param(partials_manifest(), "one", 10, 10, None, id="all read"),
        pytest.param(partials_manifest(topic_id=""), "two", 10, 10, None, id="the manifest has no id"),
        pytest.param(partials_manifest(), "two", None, 20, "was deleted and made again", id="made anew"),
        pytest.param(partials_manifest(), "one", 11, 20, "offset 11 is committed, but the state ends at 10", id="cut"),
        pytest.param(partials_manifest(), "one", 10, 9, "was it deleted and made again?", id="short"),
    ],
)
def test_rule_04_partials_that_their_state_does_not_fit_are_refused(
    stored: MergeManifest | None, topic_id: str, committed: int | None, end: int, refused: str | None
) -> None:
    def check() -> None:
        check_partials(TP("shop.partials", 0), stored, topic_id=topic_id, committed=committed, end=end)

    if refused is None:
        check()
        return
    with pytest.raises(StateLost, match="shop.partials") as error:
        check()
    assert refused in str(error.value)


def test_rule_04_the_refusal_names_both_ids_and_says_what_to_do() -> None:
    with pytest.raises(StateLost) as error:
        check_topic("shop.orders", "b8FZL2wBTQuMRQUyvPzTEg", "Zx0s1XJ2QnK0yCXM0p0Fxg")
    told = str(error.value)
    assert "(id Zx0s1XJ2QnK0yCXM0p0Fxg, before b8FZL2wBTQuMRQUyvPzTEg)" in told
    assert told.endswith(ANEW)
