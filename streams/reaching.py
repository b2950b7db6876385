"""Whether Kafka answers at all, asked before anything else: aiokafka's clients lose the reason when it does not."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed
from aiokafka.protocol.metadata import MetadataRequest

from streams.security import KafkaSecurity

ANSWER_SECONDS = 10.0
RUNNING = "is it running, and is --brokers right?"


class NotReached(KafkaConnectionError):
    """No broker answered; ``why`` says why, and what may be wrong."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


async def reach(brokers: str, security: KafkaSecurity, *, within: float = ANSWER_SECONDS) -> None:
    """Returns when one of the bootstrap brokers answered as Kafka does, to us.

    Raises NotReached with the first one's reason when none did within so many seconds, or the KafkaError by which one
    refused the credentials.
    """
    reasons: list[str] = []
    try:
        async with asyncio.timeout(within):
            for address in brokers.split(","):
                host, _, port = address.rpartition(":")
                try:
                    await _greet(host.strip("[]"), int(port), security)
                except SaslAuthenticationFailed:
                    raise
                except (KafkaConnectionError, OSError) as error:
                    reasons.append(f"{address}: {_reason(error, security)}")
                else:
                    return
    except TimeoutError:
        reasons.append(f"{brokers}: no answer within {within:g} s; {RUNNING}")
    raise NotReached(reasons[0])


async def _greet(host: str, port: int, security: KafkaSecurity) -> None:
    connect: Callable[..., Any] = create_conn
    connection = await connect(host, port, **security.client_options())
    try:
        await connection.send(MetadataRequest([]))
    finally:
        closing = connection.close()
        if closing is not None:
            await closing


def _reason(error: KafkaConnectionError | OSError, security: KafkaSecurity) -> str:
    """In a few words. A listener that expects another protocol ends the connection, or is not understood."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); see --kafka-ssl-ca"
    if isinstance(error, ssl.SSLError):
        told = (error.reason or str(error)).lower().replace("_", " ")
        if "certificate" in told:  # its words about ours
            return f"{told}; see --kafka-ssl-cert"
        return f"{told}; is --kafka-security-protocol {security.protocol} what it speaks?"
    if isinstance(error, KafkaConnectionError | ConnectionResetError):
        certificate = (
            ", and does it ask for --kafka-ssl-cert" if security.protocol == "SSL" and not security.cert else ""
        )
        return f"it ended the connection; is --kafka-security-protocol {security.protocol} what it speaks{certificate}?"
    if error.errno is not None and error.errno > 0:
        return f"{os.strerror(error.errno).lower()}; {RUNNING}"
    told = str(error.strerror or error or type(error).__name__).splitlines()[0].lower()
    return f"{told}; {RUNNING}"
