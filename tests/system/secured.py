"""Kafka and Valkey that ask who is there: certificates, users, and listeners for each way to say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from streamgauge.services import Additions, embedded_services, free_port

USER, PASSWORD = "kpi", "correct-horse-7Gq"
ACL_USER, ACL_PASSWORD = "writer", "battery-staple-9Tz"
READER = "reader"  # with the same password, and no right to write
# What a worker's user needs, and no more (docs/operations.md).
ACL_RULES = (
    "resetkeys ~kpi:* resetchannels &kpi:* -@all +@read +@write +@connection +@scripting +@transaction +publish "
    "-@dangerous"
)


@dataclass(frozen=True)
class Secured:
    """Addresses by security protocol; ``ca`` is the authority that the TLS listeners' certificate is from (PEM)."""

    plain: str
    listeners: dict[str, str]
    redis: str
    ca: Path
    other_ca: Path
    client: Path  # a client's certificate with its key (PEM)


@contextmanager
def secured_services(folder: Path) -> Iterator[Secured]:
    """A plain listener for preparing things, and SASL_PLAINTEXT, SASL_SSL and SSL; the last wants a certificate."""
    authority, stranger = trustme.CA(), trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("kpi.example.org")
    ca, other_ca = folder / "ca.pem", folder / "other.pem"
    authority.cert_pem.write_to_path(ca)
    stranger.cert_pem.write_to_path(other_ca)
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    keystore = folder / "server.pem"
    chain = b"".join(blob.bytes() for blob in server.cert_chain_pems)
    keystore.write_bytes(_pkcs8(server.private_key_pem.bytes()) + chain)
    taken: set[int] = set()
    for _ in range(3):
        taken.add(free_port(0, frozenset(taken)))
    listeners = dict(zip(("SASL_PLAINTEXT", "SASL_SSL", "SSL"), sorted(taken), strict=True))
    (folder / "users.acl").write_text(
        f"user default on >{PASSWORD} ~* &* +@all\nuser {ACL_USER} on >{ACL_PASSWORD} {ACL_RULES}\n"
        f"user {READER} on >{ACL_PASSWORD} ~kpi:* -@all +@read +@connection\n"
    )
    more = Additions(
        listeners=listeners,
        kafka=_kafka_settings(keystore, ca),
        kafka_format=tuple(
            argument
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for argument in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
        ),
        valkey={"aclfile": str(folder / "users.acl")},
    )
    with embedded_services(folder, kafka_port=0, redis_port=0, more=more) as services:
        assert services.kafka and services.redis
        addresses = {protocol: f"127.0.0.1:{port}" for protocol, port in listeners.items()}
        yield Secured(services.kafka, addresses, services.redis, ca, other_ca, folder / "client.pem")


def _kafka_settings(keystore: Path, ca: Path) -> dict[str, str]:
    modules = {
        "plain": f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
        "scram-sha-256": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "scram-sha-512": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    }
    logins = {
        f"listener.name.{listener}.{mechanism}.sasl.jaas.config": module
        for listener in ("sasl_plaintext", "sasl_ssl")
        for mechanism, module in modules.items()
    }
    return {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        **logins,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "listener.name.ssl.ssl.client.auth": "required",
    }


def _pkcs8(key: bytes) -> bytes:
    """The form of a private key that Java reads."""
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
