"""The options that commands share. Each can be given by its environment variable as well: made here, in one place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from streamgauge.cli.completion import complete_catalog, complete_kpi, complete_source
from streamgauge.cli.failures import usage
from streamgauge.cli.output import Format
from streamgauge.settings import SettingsError, environment_name, kafka_address, redis_address, seconds, size

Command = TypeVar("Command", bound=Callable[..., Any])

CONNECTIONS = "Connections"


def option(name: str, text: str, **given: Any) -> Any:
    """An option ``--name`` with its environment variable; `given` goes to typer."""
    return typer.Option(f"--{name}", envvar=environment_name(name), show_envvar=False, help=text, **given)


def duration(text: str) -> float:
    """A click parser: ``500ms`` -> 0.5. Wrong text is wrong use."""
    try:
        return seconds(text)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error


def memory(text: str) -> int:
    """A click parser: ``512MiB`` -> 536870912. Wrong text is wrong use."""
    try:
        return size(text)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error


CatalogPath = Annotated[
    Path,
    typer.Argument(
        metavar="CATALOG", help="A YAML file, or a folder of them.", autocompletion=complete_catalog, show_default=False
    ),
]
SourceName = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A source of the catalog.", autocompletion=complete_source, show_default=False
    ),
]
KpiName = Annotated[
    str, typer.Argument(metavar="KPI", help="A KPI's name.", autocompletion=complete_kpi, show_default=False)
]

OutputFormat = Annotated[Format, option("format", "How the result is written.", metavar="table|json")]
DataDir = Annotated[Path, option("data-dir", "Where data is kept between runs.", metavar="DIR")]
Host = Annotated[str, option("host", "The address to listen on.", metavar="ADDRESS")]

ALERTS = "Alerts"
ReceiversFile = Annotated[
    Path | None,
    option(
        "receivers",
        "YAML file of receivers and routes: who is told of which alerts.",
        metavar="FILE",
        rich_help_panel=ALERTS,
        show_default=False,
    ),
]
Alertmanagers = Annotated[
    list[str] | None,
    option(
        "alertmanager",
        "Address of an Alertmanager that is told of all alerts; every replica, repeated or with commas between.",
        metavar="URL",
        rich_help_panel=ALERTS,
        show_default=False,
    ),
]
BoardUrl = Annotated[
    str | None,
    option(
        "board-url",
        "Where people find the board; notifications link to it.",
        metavar="URL",
        rich_help_panel=ALERTS,
        show_default=False,
    ),
]
GrafanaUrl = Annotated[
    str | None,
    option(
        "grafana-url",
        "Where people find Grafana; notifications link to it.",
        metavar="URL",
        rich_help_panel=ALERTS,
        show_default=False,
    ),
]

_BROKERS = option(
    "brokers",
    "Kafka's bootstrap servers.",
    metavar="HOST:PORT,...",
    rich_help_panel=CONNECTIONS,
    show_default=False,
)
Brokers = Annotated[str, _BROKERS]
OptionalBrokers = Annotated[str | None, _BROKERS]
Protocol = Annotated[
    str,
    option(
        "kafka-security-protocol",
        "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
        metavar="P",
        rich_help_panel=CONNECTIONS,
    ),
]
Mechanism = Annotated[
    str,
    option("kafka-sasl-mechanism", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.", metavar="M", rich_help_panel=CONNECTIONS),
]
Username = Annotated[
    str | None,
    option(
        "kafka-sasl-username",
        "The password comes from STREAMGAUGE_KAFKA_SASL_PASSWORD or ..._FILE.",
        metavar="U",
        rich_help_panel=CONNECTIONS,
    ),
]
SslCa = Annotated[
    Path | None,
    option(
        "kafka-ssl-ca",
        "Authorities to trust (PEM); default: the system's.",
        metavar="FILE",
        rich_help_panel=CONNECTIONS,
    ),
]
SslCert = Annotated[
    Path | None,
    option("kafka-ssl-cert", "The client's certificate (PEM).", metavar="FILE", rich_help_panel=CONNECTIONS),
]
SslKey = Annotated[
    Path | None, option("kafka-ssl-key", "The client's key (PEM).", metavar="FILE", rich_help_panel=CONNECTIONS)
]
_REDIS = option(
    "redis",
    "redis://HOST:PORT/DB, or rediss:// (TLS); password from STREAMGAUGE_REDIS_PASSWORD or ..._FILE.",
    metavar="URL",
    rich_help_panel=CONNECTIONS,
    show_default=False,
)
RedisUrl = Annotated[str, _REDIS]
OptionalRedisUrl = Annotated[str | None, _REDIS]
RedisCa = Annotated[
    Path | None,
    option("redis-ssl-ca", "Authorities to trust for rediss:// (PEM).", metavar="FILE", rich_help_panel=CONNECTIONS),
]


def with_connections(command: Command) -> Command:
    """Gives a command the options behind its parameters `kafka: KafkaAddress` and `redis: RedisAddress`.

    With a default of None for either, the command can be used without it.
    The command itself gets the checked settings; whoever reads its signature (typer does) sees the single options.
    """
    # Imported by type checkers only, since that would cost half a second.
    replaced_types = {"KafkaAddress": Any, "RedisAddress": Any}
    hints = get_type_hints(command, localns=replaced_types, include_extras=True)
    signature = inspect.signature(command)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        needed = parameter.default is inspect.Parameter.empty
        replaced = {
            "kafka": _KAFKA_OPTIONS if needed else _OPTIONAL_KAFKA_OPTIONS,
            "redis": _REDIS_OPTIONS if needed else _OPTIONAL_REDIS_OPTIONS,
        }.get(parameter.name)
        if replaced is None:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        parameters.extend(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name, (annotation, default) in replaced.items()
        )

    @functools.wraps(command)
    def run(**given: Any) -> None:
        try:
            if "kafka" in signature.parameters:
                given["kafka"] = _kafka(given)
            if "redis" in signature.parameters:
                typed, authorities = _typed(given.pop("context"), "redis"), given.pop("redis_ssl_ca")
                if given["redis"] is not None:
                    given["redis"] = redis_address(given["redis"], ssl_ca=authorities, from_argument=typed)
        except SettingsError as error:
            raise usage(str(error)) from error
        command(**given)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    return run  # type: ignore[return-value]


_KAFKA_OPTIONS: dict[str, tuple[Any, Any]] = {
    "brokers": (Brokers, inspect.Parameter.empty),
    "kafka_security_protocol": (Protocol, "PLAINTEXT"),
    "kafka_sasl_mechanism": (Mechanism, "PLAIN"),
    "kafka_sasl_username": (Username, None),
    "kafka_ssl_ca": (SslCa, None),
    "kafka_ssl_cert": (SslCert, None),
    "kafka_ssl_key": (SslKey, None),
}
_OPTIONAL_KAFKA_OPTIONS: dict[str, tuple[Any, Any]] = {**_KAFKA_OPTIONS, "brokers": (OptionalBrokers, None)}
_REDIS_OPTIONS: dict[str, tuple[Any, Any]] = {
    "redis": (RedisUrl, inspect.Parameter.empty),
    "redis_ssl_ca": (RedisCa, None),
    "context": (typer.Context, inspect.Parameter.empty),
}
_OPTIONAL_REDIS_OPTIONS: dict[str, tuple[Any, Any]] = {**_REDIS_OPTIONS, "redis": (OptionalRedisUrl, None)}


def _kafka(given: dict[str, Any]) -> Any:
    brokers = given.pop("brokers")
    security = {name.removeprefix("kafka_"): given.pop(name) for name in _KAFKA_OPTIONS if name.startswith("kafka_")}
    return None if brokers is None else kafka_address(brokers, **security)


def _typed(context: typer.Context, name: str) -> bool:
    """Whether the option was typed as an argument (rather than set in the environment)."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
