"""`streamgauge alerts`: what is pending and firing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamgauge.cli import alert_drill
from streamgauge.cli.completion import complete_kpi
from streamgauge.cli.default_command import DefaultCommand
from streamgauge.cli.failures import reaching_redis
from streamgauge.cli.options import OutputFormat, option, with_connections
from streamgauge.cli.output import Format, print_json, say, stdout
from streamgauge.cli.values import only_catalog

if TYPE_CHECKING:
    from sinks.redis.connection import RedisAddress

app = typer.Typer(name="alerts", cls=DefaultCommand, help="Alerts: what is pending and firing now.")


@with_connections
def list_(
    redis: RedisAddress,
    kpi: Annotated[
        str | None,
        typer.Argument(
            metavar="[KPI]", help="Only those of this KPI.", autocompletion=complete_kpi, show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None, option("name", "The catalog's name, where Redis holds the values of several.", metavar="NAME")
    ] = None,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Print the alerts that are pending or firing, and why. `streamgauge alerts` alone means this.

    Who is not told of one, since another alert or a silence speaks for it, sees by which.
    """
    with reaching_redis(str(redis)):
        catalog, found = asyncio.run(_active(redis, name))
    if kpi is not None:
        found = [one for one in found if one.get("kpi") == kpi]
    if format_ is Format.JSON:
        print_json(found)
        return
    of = f"of KPI {kpi}" if kpi is not None else f"of {catalog}"
    if not found:
        say(f"no alert {of} is pending or firing")
        return
    from streamgauge.active_alerts import Active, counted_states, shown_alerts

    alerts = [Active.read(one) for one in found]
    console = stdout()
    console.print(shown_alerts(alerts, datetime.now(UTC), console.width))
    say(counted_states(alerts))


async def _active(address: RedisAddress, name: str | None) -> tuple[str, list[dict[str, Any]]]:
    """The catalog's name, and its alerts. Raises Failure."""
    from sinks.redis import reading
    from sinks.redis.connection import connect

    redis = connect(address)
    try:
        catalog = name or await only_catalog(redis)
        return catalog, await reading.alerts(redis, catalog)
    finally:
        await redis.aclose()


app.command("list", epilog="Example: streamgauge alerts list --redis redis://localhost:6379")(list_)
app.command("test", epilog=alert_drill.EXAMPLE)(alert_drill.test)
