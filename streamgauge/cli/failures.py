"""How a command ends when it does not succeed: one message on stderr, and the exit code that says why."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamgauge.settings import KafkaAddress


# Of all OSErrors, those that are about a connection; the others are about files.
NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)


class Exit(IntEnum):
    SUCCESS = 0
    NO = 1  # the answer is no: an invalid catalog, a failed check
    USAGE = 2  # wrong use
    UNREACHABLE = 3  # a service cannot be reached, or turns us away


class Failure(Exception):
    """Ends the command: `message` goes to stderr. An empty one has been printed already."""

    def __init__(self, code: Exit, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def usage(message: str) -> Failure:
    return Failure(Exit.USAGE, message)


def refused(message: str = "") -> Failure:
    return Failure(Exit.NO, message)


def unreachable(message: str) -> Failure:
    return Failure(Exit.UNREACHABLE, message)


@contextmanager
def reaching_kafka(kafka: KafkaAddress) -> Iterator[None]:
    """Sees first, within seconds, that Kafka is there and takes us; then turns its errors into a Failure."""
    from streams.reaching import reach

    with told_of_kafka(kafka.brokers):
        asyncio.run(reach(kafka.brokers, kafka.security))
        yield


@contextmanager
def told_of_kafka(brokers: str) -> Iterator[None]:
    """Turns what aiokafka raises when a broker is away or refuses us into a Failure."""
    from aiokafka import errors

    from streams.producing import WriteFailed
    from streams.reaching import NotReached
    from streams.reading import ReadStalled

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is told once, here
    try:
        yield
    except (WriteFailed, ReadStalled) as error:
        raise unreachable(f"{error}; Kafka is at {brokers}") from error
    except (
        errors.TopicAuthorizationFailedError,
        errors.GroupAuthorizationFailedError,
        errors.ClusterAuthorizationFailedError,
    ) as error:
        raise unreachable(
            f"Kafka at {brokers} does not allow this: {error}; ask for the permission in its ACLs"
        ) from error
    except (errors.AuthenticationFailedError, errors.SaslAuthenticationFailed) as error:
        raise unreachable(f"Kafka at {brokers} refuses the user name or password") from error
    except errors.UnsupportedSaslMechanismError as error:
        raise unreachable(
            f"Kafka at {brokers} does not offer this SASL mechanism; see --kafka-sasl-mechanism"
        ) from error
    except errors.IllegalSaslStateError as error:
        raise unreachable(
            f"Kafka at {brokers} asks nobody for a password on this listener; is --kafka-security-protocol right?"
        ) from error
    except NotReached as error:
        raise unreachable(f"Kafka cannot be reached at {error.why}") from error
    except (errors.KafkaConnectionError, errors.KafkaTimeoutError, errors.NodeNotReadyError, *NETWORK) as error:
        raise unreachable(
            f"Kafka cannot be reached at {brokers}: {_short(error)}; is it running, and is --brokers right?"
        ) from error
    except errors.KafkaError as error:
        raise refused(f"Kafka at {brokers} refuses this: {_short(error)}") from error


@contextmanager
def reaching_redis(address: str) -> Iterator[None]:
    """Turns what redis-py raises when the server is away or refuses us into a Failure."""
    from redis import exceptions

    try:
        yield
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise unreachable(f"Redis at {address} refuses the user name or password, or the command: {error}") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, *NETWORK) as error:
        raise unreachable(
            f"Redis cannot be reached at {address}: {_short(error)}; is it running, and is --redis right?"
        ) from error


def _short(error: BaseException) -> str:
    """The first line, without the class name that aiokafka puts before it."""
    told = str(error).removeprefix(f"{type(error).__name__}: ") or type(error).__name__
    return told.splitlines()[0].rstrip(".")
