"""Settings from options, variables and files; secrets in none of the texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamgauge.settings import SettingsError, environment_name, kafka_address, redis_address, seconds, secret, size


def test_environment_names_follow_the_options() -> None:
    assert environment_name("--kafka-ssl-ca") == "STREAMGAUGE_KAFKA_SSL_CA"


@pytest.mark.parametrize(("text", "expected"), [("500ms", 0.5), ("2s", 2.0), ("1.5m", 90.0), ("1h", 3600.0)])
def test_lengths_of_time(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "0s", "-1s", "1 day", "1d"])
def test_other_texts_are_no_length_of_time(text: str) -> None:
    with pytest.raises(SettingsError, match="500ms or 2s"):
        seconds(text)


@pytest.mark.parametrize(("text", "expected"), [("512MiB", 2**29), ("1.5 GiB", 3 * 2**29), ("64KiB", 65_536)])
def test_sizes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "512", "512MB", "-1MiB", "half a GiB"])
def test_other_texts_are_no_size(text: str) -> None:
    with pytest.raises(SettingsError, match="512MiB or 2GiB"):
        size(text)


def test_a_secret_comes_from_its_variable_or_a_file_but_not_both(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    assert secret("X", {}) is None
    assert secret("X", {"STREAMGAUGE_X": "direct"}) == "direct"
    assert secret("X", {"STREAMGAUGE_X_FILE": str(file)}) == "s3cret"
    with pytest.raises(SettingsError, match="both set"):
        secret("X", {"STREAMGAUGE_X": "a", "STREAMGAUGE_X_FILE": str(file)})
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        secret("X", {"STREAMGAUGE_X_FILE": str(tmp_path / "none")})


def test_kafka_with_a_password() -> None:
    environment = {"STREAMGAUGE_KAFKA_SASL_PASSWORD": "s3cret"}
    address = kafka_address(
        "a:9092, b:9092",
        security_protocol="sasl_plaintext",
        sasl_mechanism="scram-sha-256",
        sasl_username="kpi",
        environment=environment,
    )
    assert address.brokers == "a:9092,b:9092"
    options = address.security.client_options()
    assert (options["sasl_mechanism"], options["sasl_plain_password"]) == ("SCRAM-SHA-256", "s3cret")
    assert "s3cret" not in repr(address)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"brokers": "localhost"}, "not HOST:PORT"),
        ({"brokers": "localhost:0"}, "not HOST:PORT"),
        ({"brokers": "a:1,,b:2"}, "not HOST:PORT"),
        ({"security_protocol": "TLS"}, "use one of PLAINTEXT, SSL"),
        ({"sasl_mechanism": "GSSAPI"}, "use one of PLAIN, SCRAM"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "kpi"}, "STREAMGAUGE_KAFKA_SASL_PASSWORD_FILE"),
        ({"sasl_username": "kpi"}, "did you mean SASL_SSL"),
        ({"security_protocol": "SSL", "ssl_ca": Path("/nowhere.pem")}, "TLS files cannot be used"),
    ],
)
def test_kafka_settings_that_cannot_work_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        kafka_address(**{"brokers": "localhost:9092", "environment": {}, **given})  # type: ignore[arg-type]


def test_redis_passwords_come_from_the_environment() -> None:
    assert redis_address("redis://localhost:6379/0", environment={"STREAMGAUGE_REDIS_PASSWORD": "x"}).password == "x"
    from_variable = redis_address("rediss://:hunter2@example.org:6380", from_argument=False, environment={})
    assert (from_variable.url, from_variable.password) == ("rediss://example.org:6380", "hunter2")
    with pytest.raises(SettingsError, match="everybody on this machine can read"):
        redis_address("redis://:hunter2@localhost", environment={})


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://", "redis://localhost:port"])
def test_other_urls_are_no_redis(url: str) -> None:
    with pytest.raises(SettingsError, match="--redis"):
        redis_address(url, environment={})
