"""`streamgauge serve`: values over HTTP, and the live board."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from streamgauge.cli.failures import refused, unreachable, usage
from streamgauge.cli.loading import loaded_catalog, without_problems
from streamgauge.cli.options import CatalogPath, Host, option, with_connections
from streamgauge.cli.token import OptionalTokensFile

if TYPE_CHECKING:
    from sinks.redis.connection import RedisAddress
    from streamgauge.settings import KafkaAddress


def add_to(app: typer.Typer) -> None:
    app.command(
        "serve",
        epilog="Example: streamgauge serve retail.yaml --brokers localhost:9092 --redis redis://localhost:6379",
    )(serve)


@with_connections
def serve(
    catalog: CatalogPath,
    kafka: KafkaAddress,
    redis: RedisAddress,
    host: Host = "127.0.0.1",
    port: Annotated[int, option("port", "The port to listen on.", metavar="PORT", min=0, max=65535)] = 8080,
    tokens: OptionalTokensFile = None,
    cors_origin: Annotated[
        list[str] | None,
        option(
            "cors-origin",
            "Pages of this origin may read and send, as https://intranet.example.org; may be repeated.",
            metavar="ORIGIN",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        option(
            "trusted-proxy",
            "An address or network whose X-Forwarded-For and -Proto are believed; may be repeated.",
            metavar="ADDRESS",
        ),
    ] = None,
    rate_limit: Annotated[
        str, option("rate-limit", "How many requests each token, or address, may send.", metavar="N/UNIT")
    ] = "200/second",
) -> None:
    """Serve the live board, the HTTP API of current values and the way in for events, until SIGTERM or Ctrl-C.

    Without --tokens everybody on this machine may use it, and nobody else: another --host needs them.
    """
    from functools import partial

    from limits import parse

    from sinks.board.access import Access
    from sinks.board.facts import Told
    from sinks.board.limits import Limits
    from sinks.board.tokens import TokensUnusable
    from sinks.errors import SinkError
    from streamgauge.catalog_files import catalog_texts
    from streamgauge.serving import PortTaken, ServeSettings, is_loopback, run_serve
    from streams.definitions import Definitions
    from streams.gateway import gateway

    loaded = loaded_catalog(catalog)
    found = without_problems(catalog, loaded)
    if tokens is None and not is_loopback(host):
        raise usage(
            f"--host {host} can be reached from other machines, which takes tokens: "
            "`streamgauge token make NAME --right read --tokens FILE`, then serve with --tokens FILE"
        )
    origins = [_origin(text) for text in cors_origin or ()]
    proxies = [_network(text) for text in trusted_proxy or ()]
    try:
        parse(rate_limit)
    except ValueError as error:
        raise usage(f"--rate-limit {rate_limit}: write N/second, N/minute or N/hour") from error
    try:
        access = Access(tokens)
    except TokensUnusable as error:
        raise usage(f"--tokens: {error}") from error
    files = catalog_texts(catalog)
    definition = Definitions(found.name, files, kafka.brokers, kafka.security).id
    settings = ServeSettings(
        Told(loaded, tuple(files), definition),
        redis,
        access,
        host,
        port,
        Limits(requests=rate_limit),
        origins,
        proxies,
        parts=[partial(gateway, brokers=kafka.brokers, security=kafka.security)],
    )
    try:
        run_serve(settings)
    except SinkError as error:
        hint = "; is it running, and is --redis right?" if error.retryable else ""
        raise unreachable(f"{error}{hint}") from error
    except PortTaken as error:
        raise refused(str(error)) from error


def _network(text: str) -> str:
    """An address or a network, as 10.0.0.0/8. Raises Failure."""
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise usage(f"--trusted-proxy {text}: write an address, or a network as 10.0.0.0/8") from error


def _origin(text: str) -> str:
    """An origin as browsers send it. Raises Failure."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or text != f"{parts.scheme}://{parts.netloc}":
        raise usage(f"--cors-origin {text}: write scheme, host and port alone, as https://intranet.example.org")
    return text
