"""`streamgauge alerts test`: a fire drill."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from streamgauge.cli.completion import complete_catalog
from streamgauge.cli.failures import refused, unreachable, usage
from streamgauge.cli.loading import usable_catalog
from streamgauge.cli.options import (
    Alertmanagers,
    BoardUrl,
    GrafanaUrl,
    KpiName,
    OutputFormat,
    ReceiversFile,
    option,
)
from streamgauge.cli.output import Format, print_json, stdout
from streamgauge.cli.values import dimension_values

EXAMPLE = "Example: streamgauge alerts test sales --catalog retail.yaml --receivers receivers.yaml --receiver pager"


def test(
    kpi: KpiName,
    catalog: Annotated[
        Path,
        option(
            "catalog",
            "The catalog: a YAML file, or a folder of them.",
            metavar="CATALOG",
            autocompletion=complete_catalog,
            show_default=False,
        ),
    ],
    receivers: ReceiversFile = None,
    alertmanager: Alertmanagers = None,
    receiver: Annotated[
        list[str] | None,
        option("receiver", "Only this receiver; may be repeated. Default: those that the routes give.", metavar="NAME"),
    ] = None,
    alert: Annotated[str | None, option("alert", "The alert; default: the KPI's first.", metavar="NAME")] = None,
    where: Annotated[
        list[str] | None,
        option("where", "The series that it is about; may be repeated.", metavar="DIMENSION=VALUE"),
    ] = None,
    board_url: BoardUrl = None,
    grafana_url: GrafanaUrl = None,
    format_: OutputFormat = Format.TABLE,
) -> None:
    """Send an alert that is marked as a drill to real receivers, then its end, and say what arrived.

    Of each Alertmanager it is read back. Exits with 1 where a receiver refuses it, with 3 where one cannot be reached.
    """
    from dataclasses import asdict

    from sinks.alerting.content import Links
    from streamgauge.drill import drill, drill_notice
    from streamgauge.receivers import checked_address, open_receivers, read_receivers
    from streamgauge.settings import SettingsError

    found = usable_catalog(catalog)
    if kpi not in found.kpis:
        raise usage(f"catalog {found.name} has no KPI {kpi!r}; it has {', '.join(found.kpis)}")
    of = found.kpis[kpi]
    rule = next((rule for rule in of.alerts if alert in (None, rule.name)), None)
    if rule is None:
        named = f"no alert {alert}; it has {', '.join(rule.name for rule in of.alerts)}" if of.alerts else "no alerts"
        raise usage(f"KPI {kpi} has {named}")
    dims = dimension_values(where)
    if unknown := sorted(set(dims) - set(of.group_by)):
        raise usage(f"KPI {kpi} has no dimension {unknown[0]}; it has {', '.join(of.group_by) or 'none'}")
    try:
        given = read_receivers(receivers, alertmanager or ())
        links = Links(found.name, checked_address("board-url", board_url), checked_address("grafana-url", grafana_url))
        if not given.receivers:
            raise usage("nobody to tell: name a file with --receivers, or an --alertmanager")
        routed = given.of(drill_notice(of, rule, dims, "firing", "", 0))
        names = set(receiver or routed)
        if unknown := sorted(names - {each.name for each in given.receivers}):
            raise usage(
                f"there is no receiver {unknown[0]}; there are {', '.join(each.name for each in given.receivers)}"
            )
        if not names:
            raise refused(f"the routes send alert {rule.name} of KPI {kpi} to nobody")
        outlets = open_receivers(given)
    except SettingsError as error:
        raise usage(str(error)) from error
    chosen = [each for each in given.receivers if each.name in names]

    async def run() -> list[Any]:
        return await drill(found, of, rule, dims, outlets, chosen, links)

    arrivals = asyncio.run(run())
    if format_ is Format.JSON:
        print_json([asdict(arrival) for arrival in arrivals])
    else:
        for arrival in arrivals:
            mark = "arrived" if arrival.arrived else "MISSING"
            line = f"{mark}  {arrival.receiver} ({arrival.address})  {arrival.step}: {arrival.said}"
            stdout().print(line, markup=False, highlight=False, soft_wrap=True)
    missing = [arrival for arrival in arrivals if not arrival.arrived]
    if any(arrival.unreachable for arrival in missing):
        raise unreachable("not every receiver can be reached")
    if missing:
        raise refused("not everything arrived")
