"""`streamgauge serve`: values over HTTP, and the live board."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.cli.failures import refused, unreachable, usage
from streamgauge.cli.loading import loaded_catalog, without_problems
from streamgauge.cli.options import CatalogPath, Host, option, with_connections

if TYPE_CHECKING:
    from sinks.redis.connection import RedisAddress
    from streamgauge.settings import KafkaAddress

LOOPBACK = ("127.0.0.1", "::1", "localhost")


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
) -> None:
    """Serve the live board and the HTTP API of current values, until SIGTERM or Ctrl-C."""
    from sinks.board.facts import Told
    from sinks.errors import SinkError
    from streamgauge.catalog_files import catalog_texts
    from streamgauge.serving import PortTaken, ServeSettings, run_serve
    from streams.definitions import Definitions

    loaded = loaded_catalog(catalog)
    found = without_problems(catalog, loaded)
    if host not in LOOPBACK:
        raise usage(f"--host {host}: without tokens only this machine is served")
    files = catalog_texts(catalog)
    definition = Definitions(found.name, files, kafka.brokers, kafka.security).id
    try:
        run_serve(ServeSettings(Told(loaded, tuple(files), definition), redis, host, port))
    except SinkError as error:
        raise unreachable(str(error)) from error
    except PortTaken as error:
        raise refused(str(error)) from error
