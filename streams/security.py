"""How clients prove who they are to Kafka, in librdkafka's names, for Faust and for plain aiokafka clients alike."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiokafka.helpers import create_ssl_context
from faust import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class SecurityError(ValueError):
    """The settings do not fit together, or a file of theirs cannot be used."""


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """`ca`, `cert` and `key` are PEM files; without `ca` the system's authorities count."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.protocol.startswith("SASL") and not (self.username and self.password):
            raise SecurityError(f"{self.protocol} needs a user name and a password")
        if not self.protocol.startswith("SASL") and self.username:
            raise SecurityError(f"a user name is given, but {self.protocol} does not use it; did you mean SASL_SSL?")
        if not self.protocol.endswith("SSL") and (self.ca or self.cert or self.key):
            raise SecurityError(f"TLS files are given, but {self.protocol} does not use TLS; did you mean SSL?")
        if bool(self.cert) != bool(self.key):
            raise SecurityError("a client certificate needs its key, and a key its certificate")

    def context(self) -> ssl.SSLContext | None:
        """The TLS settings; None without TLS. Raises SecurityError when a file cannot be read."""
        if not self.protocol.endswith("SSL"):
            return None
        files = {"cafile": self.ca, "certfile": self.cert, "keyfile": self.key}
        try:
            context: ssl.SSLContext = create_ssl_context(**{name: str(path) for name, path in files.items() if path})
        except (OSError, ssl.SSLError) as error:
            raise SecurityError(f"the TLS files cannot be used: {error}") from error
        return context

    def credentials(self) -> CredentialsT | None:
        """For Faust. Its SASL credentials turn TLS off without a word when they are given no context."""
        context = self.context()
        if self.protocol.startswith("SASL"):
            return SASLCredentials(
                username=self.username, password=self.password, mechanism=self.mechanism, ssl_context=context
            )
        return SSLCredentials(context=context) if context is not None else None

    def client_options(self) -> dict[str, Any]:
        """For aiokafka's clients."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.context()}
        if self.protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options
