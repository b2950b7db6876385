"""What a process is told from outside: options, environment variables, and files that hold a secret.

Every option ``--some-name`` can be given as ``STREAMGAUGE_SOME_NAME`` as well. Secrets are never options, since
arguments can be read by everybody on the machine: ``STREAMGAUGE_X``, or ``STREAMGAUGE_X_FILE`` naming a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from sinks.redis.connection import RedisAddress
    from streams.security import KafkaSecurity

PREFIX = "STREAMGAUGE_"
KAFKA_PASSWORD = "KAFKA_SASL_PASSWORD"
REDIS_PASSWORD = "REDIS_PASSWORD"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)")
_BYTES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class SettingsError(Exception):
    """A setting cannot be used; the message names it and says what would work."""


def prepare_process() -> None:
    """Called once, before polars is imported: it gets one thread, since partitions are the parallelism."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")


def environment_name(option: str) -> str:
    """``--kafka-ssl-ca`` or ``kafka_ssl_ca`` -> ``STREAMGAUGE_KAFKA_SSL_CA``."""
    return PREFIX + option.lstrip("-").replace("-", "_").upper()


def secret(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The secret `name` from its variable, or the file of ``<variable>_FILE``, else None. Raises SettingsError."""
    variable = PREFIX + name
    given, path = environment.get(variable), environment.get(f"{variable}_FILE")
    if given is not None and path is not None:
        raise SettingsError(f"{variable} and {variable}_FILE are both set; keep one")
    if path is None:
        return given
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}_FILE: {path} cannot be read: {_why(error)}") from error


def seconds(text: str) -> float:
    """``500ms``, ``2s``, ``1.5m``, ``1h`` in seconds. Raises SettingsError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise SettingsError(f"{text!r} is not a length of time; write for example 500ms or 2s")
    return float(match[1]) * _SECONDS[match[2]]


def size(text: str) -> int:
    """``512MiB``, ``1.5 GiB``, ``64KiB`` in bytes. Raises SettingsError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise SettingsError(f"{text!r} is not a size; write for example 512MiB or 2GiB")
    return int(float(match[1]) * _BYTES[match[2]])


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """How to reach Kafka: ``host:port,...`` and who we are."""

    brokers: str
    security: KafkaSecurity


def kafka_address(
    brokers: str,
    *,
    security_protocol: str = "PLAINTEXT",
    sasl_mechanism: str = "PLAIN",
    sasl_username: str | None = None,
    ssl_ca: Path | None = None,
    ssl_cert: Path | None = None,
    ssl_key: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> KafkaAddress:
    """Checked settings, with the password from the environment. Raises SettingsError."""
    from streams.security import KafkaSecurity, Mechanism, Protocol, SecurityError

    protocol, mechanism = security_protocol.upper(), sasl_mechanism.upper()
    if protocol not in get_args(Protocol):
        raise SettingsError(
            f"--kafka-security-protocol {security_protocol}: use one of {', '.join(get_args(Protocol))}"
        )
    if mechanism not in get_args(Mechanism):
        raise SettingsError(f"--kafka-sasl-mechanism {sasl_mechanism}: use one of {', '.join(get_args(Mechanism))}")
    addresses = [address.strip() for address in brokers.split(",")]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise SettingsError(f"--brokers {brokers}: {address!r} is not HOST:PORT")
    authenticated = protocol.startswith("SASL")
    password = secret(KAFKA_PASSWORD, environment) if authenticated else None
    if authenticated and not (sasl_username and password):
        variable = PREFIX + KAFKA_PASSWORD
        raise SettingsError(
            f"{protocol} needs --kafka-sasl-username, and the password in {variable} or {variable}_FILE"
        )
    try:
        security = KafkaSecurity(
            protocol=cast(Protocol, protocol), mechanism=cast(Mechanism, mechanism),
            username=sasl_username, password=password, ca=ssl_ca, cert=ssl_cert, key=ssl_key,
        )  # fmt: skip
        security.context()
    except SecurityError as error:
        raise SettingsError(str(error)) from error
    return KafkaAddress(",".join(addresses), security)


def redis_address(
    url: str, *, ssl_ca: Path | None = None, from_argument: bool = True, environment: Mapping[str, str] = os.environ
) -> RedisAddress:
    """Checked settings, with the password from the environment. Raises SettingsError.

    A URL with a password in it is accepted from ``STREAMGAUGE_REDIS`` only (`from_argument` false).
    """
    from sinks.redis.connection import RedisAddress

    parts = urlsplit(url)
    shown = _without_password(url)
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        raise SettingsError(f"--redis {shown}: write redis://HOST:PORT/DB, or rediss:// for TLS")
    try:
        _ = parts.port
    except ValueError as error:
        raise SettingsError(f"--redis {shown}: {error}") from error
    if ssl_ca and parts.scheme != "rediss":
        raise SettingsError(f"--redis-ssl-ca needs TLS: write rediss:// in --redis {shown}")
    password = parts.password
    if password is not None and from_argument:
        variable = PREFIX + REDIS_PASSWORD
        raise SettingsError(
            f"--redis holds a password, which everybody on this machine can read; set {variable} or {variable}_FILE"
        )
    return RedisAddress(
        shown, password=password or secret(REDIS_PASSWORD, environment), ca_file=str(ssl_ca) if ssl_ca else None
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return parts._replace(netloc=f"{name}@{host}" if name else host).geturl()


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
