"""Kafka's ids of topics, which a topic that is deleted and made again does not keep (KIP-516, brokers since 2.8).

aiokafka asks in versions of the protocol that do not know them yet.
"""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Collection
from io import BytesIO
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, NodeNotReadyError, NoError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_UNKNOWN = uuid.UUID(int=0)


class _Uuid:
    @staticmethod
    def encode(value: uuid.UUID) -> bytes:
        return value.bytes

    @staticmethod
    def decode(data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


_TEXT = CompactString("utf-8")
_NUMBERS = CompactArray(Int32)


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", _NUMBERS),
                        ("in_sync", _NUMBERS),
                        ("offline", _NUMBERS),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("cluster_operations", Boolean),
        ("topic_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataStruct]):
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        no_tags: dict[int, bytes] = {}
        self._topics = [(_UNKNOWN, topic, no_tags) for topic in topics]

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        return request_struct_class(self._topics, False, False, False, {})


async def topic_ids(client: Any, topics: Collection[str]) -> dict[str, bytes]:
    """The id of each topic, by its name; those without are left out: old brokers give none.

    Raises KafkaError when none of the brokers answers.
    """
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    random.shuffle(nodes)
    failed: KafkaError = NodeNotReadyError("no broker is known")
    for node in nodes:
        try:
            response = await client.send(node, _Metadata(sorted(topics)))
        except (NotImplementedError, IncompatibleBrokerVersion):  # so old a broker
            return {}
        except KafkaError as error:
            failed = error
        else:
            return {
                found[1]: found[2].bytes
                for found in response.topics
                if found[0] == NoError.errno and found[2] != _UNKNOWN
            }
    raise failed


async def topic_id_texts(client: Any, topics: Collection[str]) -> dict[str, str]:
    """The same, as text."""
    return {topic: topic_id_text(raw) for topic, raw in (await topic_ids(client, topics)).items()}


def topic_id_text(raw: bytes) -> str:
    """As Kafka's own tools show it."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
