"""Security settings: what Faust and aiokafka are told, and combinations that make no sense."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.security import KafkaSecurity, SecurityError

USER: dict[str, Any] = {"username": "ann", "password": "secret"}


@pytest.mark.parametrize(
    "security",
    [
        KafkaSecurity(),
        KafkaSecurity("SSL"),
        KafkaSecurity("SASL_PLAINTEXT", "PLAIN", **USER),
        KafkaSecurity("SASL_PLAINTEXT", "SCRAM-SHA-512", **USER),
        KafkaSecurity("SASL_SSL", "SCRAM-SHA-256", **USER),
    ],
    ids=lambda security: f"{security.protocol}-{security.mechanism}",
)
def test_faust_and_plain_clients_are_told_the_same(security: KafkaSecurity) -> None:
    faust = dict(credentials_to_aiokafka_auth(security.credentials(), None))
    plain = security.client_options()
    for options in (faust, plain):
        context = options.pop("ssl_context", None)
        assert isinstance(context, ssl.SSLContext) == security.protocol.endswith("SSL")
    assert faust == plain
    assert faust["security_protocol"] == security.protocol


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "SASL_SSL"}, "SASL_SSL needs a user name and a password"),
        ({"protocol": "SSL", **USER}, "does not use it; did you mean SASL_SSL?"),
        ({"ca": Path("ca.pem")}, "does not use TLS; did you mean SSL?"),
        ({"protocol": "SSL", "cert": Path("c.pem")}, "needs its key"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SecurityError, match=message.replace("?", r"\?")):
        KafkaSecurity(**settings)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecurityError, match="the TLS files cannot be used"):
        KafkaSecurity("SSL", ca=tmp_path / "missing.pem").context()


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(KafkaSecurity("SASL_SSL", **USER))
