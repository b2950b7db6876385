"""Every topic a catalog needs: made where missing, checked where there.

Partition counts belong together: dead letters and the blocks' changelog have as many as their source, values and the
windows' changelog as many as partials. The counts of sources and partials are fixed when they are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from engine.catalog.model import Catalog, Source
from sinks import names
from streams.security import KafkaSecurity

DEFAULT_PARTITIONS = 2
MOST_REPLICAS = 3  # of topics that are made without saying how many
VISIBLE_SECONDS = 15.0

COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.3", "segment.bytes": str(64 * 1024 * 1024)}
# A block with large sketches, or the ids for deduplication of a large batch, are records of several megabytes.
INTERNAL = COMPACTED | {"max.message.bytes": str(32 * 1024 * 1024)}


class TopicsDiffer(Exception):
    """Topics are missing or not as the catalog needs them; the message names each."""


@dataclass(frozen=True, slots=True)
class Needed:
    """A topic as it has to be. ``config`` is what it is made with; of it, only the clean-up policy is checked."""

    topic: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is. ``partitions`` is the count it has, or should have where it is missing."""

    topic: str
    partitions: int
    state: Literal["made", "present", "missing", "differs"]
    difference: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The partition counts that a running worker goes by."""

    sources: Mapping[str, int]  # by source name
    merge: int


def blocks_changelog(catalog: Catalog, source: Source) -> str:
    """One per source, since their partition counts differ (protocol rule 4)."""
    return names.changelog_topic(catalog.name, f"blocks-{source.name}")


def windows_changelog(catalog: Catalog) -> str:
    return names.changelog_topic(catalog.name, "windows")


def needed_topics(catalog: Catalog, present: Mapping[str, int], partitions: int = DEFAULT_PARTITIONS) -> list[Needed]:
    """What the catalog needs, given the partition counts of the topics that are there. `partitions` is for new ones."""
    needed: dict[str, Needed] = {}
    for source in catalog.sources.values():
        count = present.get(source.topic, partitions)
        for topic, config in (
            (source.topic, {}),
            (names.dead_letter_topic(source.topic), {}),
            (blocks_changelog(catalog, source), INTERNAL),
        ):
            needed.setdefault(topic, Needed(topic, count, config))
    merge = present.get(names.partials_topic(catalog.name), partitions)
    for topic, count, config in (
        (names.partials_topic(catalog.name), merge, INTERNAL),
        (windows_changelog(catalog), merge, INTERNAL),
        (names.values_topic(catalog.name), merge, {}),
        (names.definitions_topic(catalog.name), 1, INTERNAL),
        (names.alerts_topic(catalog.name), 1, COMPACTED),
        (names.silences_topic(catalog.name), 1, COMPACTED),
        (names.notifications_changelog(catalog.name), 1, COMPACTED),
    ):
        needed.setdefault(topic, Needed(topic, count, config))
    return list(needed.values())


async def ensure_topics(
    catalog: Catalog,
    brokers: str,
    security: KafkaSecurity | None = None,
    *,
    partitions: int = DEFAULT_PARTITIONS,
    replication: int | None = None,
    create: bool = True,
) -> list[TopicState]:
    """Make what is missing, unless `create` is false, and say how every topic is. Raises KafkaError."""
    async with _admin(brokers, security or KafkaSecurity()) as admin:
        present = await _partition_counts(admin)
        needed = needed_topics(catalog, present, partitions)
        missing = [topic for topic in needed if topic.topic not in present]
        if create and missing:
            replicas = replication or min(MOST_REPLICAS, len((await admin.describe_cluster())["brokers"]))
            await _create(admin, missing, replicas)
        policies = await _policies(admin, [topic.topic for topic in needed if topic.topic in present])
        return [_state(topic, present, policies, create) for topic in needed]


async def check_topics(catalog: Catalog, brokers: str, security: KafkaSecurity | None = None) -> Layout:
    """The partition counts, when every topic is as it has to be; raises TopicsDiffer with all that is wrong else."""
    states = await ensure_topics(catalog, brokers, security, create=False)
    wrong = [state for state in states if state.state != "present"]
    if wrong:
        listed = "; ".join(f"{state.topic} {state.difference or 'is missing'}" for state in wrong)
        raise TopicsDiffer(f"topics are not as the catalog needs them: {listed}; run `streamgauge topics` first")
    counts = {state.topic: state.partitions for state in states}
    return Layout(
        {name: counts[source.topic] for name, source in catalog.sources.items()},
        counts[names.partials_topic(catalog.name)],
    )


@asynccontextmanager
async def _admin(brokers: str, security: KafkaSecurity) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers, **security.client_options())
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Of all topics: asking for one by name would make it, on brokers that create topics by themselves."""
    return {
        found["topic"]: len(found["partitions"])
        for found in await admin.describe_topics()
        if found["error_code"] == NoError.errno
    }


async def _create(admin: AIOKafkaAdminClient, missing: Iterable[Needed], replicas: int) -> None:
    wanted = [NewTopic(topic.topic, topic.partitions, replicas, topic_configs=dict(topic.config)) for topic in missing]
    response = await admin.create_topics(wanted)
    for topic, code, *message in response.topic_errors:
        if code not in (NoError.errno, TopicAlreadyExistsError.errno):
            error: type[KafkaError] = for_code(code)
            raise error(f"topic {topic}: {message[0] if message and message[0] else error.description}")
    async with asyncio.timeout(VISIBLE_SECONDS):
        while not {topic.name for topic in wanted} <= (await _partition_counts(admin)).keys():
            await asyncio.sleep(0.05)


async def _policies(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, str]:
    if not topics:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": None}) for topic in topics]
    return {
        resource[3]: entry[1]
        for response in await admin.describe_configs(resources)
        for resource in response.resources
        for entry in resource[4]
        if entry[0] == "cleanup.policy"
    }


def _state(needed: Needed, present: Mapping[str, int], policies: Mapping[str, str], create: bool) -> TopicState:
    count = present.get(needed.topic)
    if count is None:
        return TopicState(needed.topic, needed.partitions, "made" if create else "missing")
    differences = []
    if count != needed.partitions:
        differences.append(f"has {count} partitions instead of {needed.partitions}")
    policy, wanted = policies.get(needed.topic), needed.config.get("cleanup.policy")
    if wanted and policy and policy != wanted:
        differences.append(f"has cleanup.policy {policy} instead of {wanted}")
    return TopicState(needed.topic, count, "differs" if differences else "present", " and ".join(differences))
