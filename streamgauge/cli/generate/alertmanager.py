"""`streamgauge generate alertmanager`: whom Alertmanager tells of a catalog's alerts, and which say nothing new."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from engine.catalog.alerting import Severity
from streamgauge.cli.generate.files import Check, write_or_check
from streamgauge.cli.loading import usable_catalog
from streamgauge.cli.options import CatalogPath, option

DEFAULT_KEYS = Path("/etc/alertmanager/secrets")


class Kind(StrEnum):
    pagerduty = "pagerduty"
    opsgenie = "opsgenie"
    slack = "slack"
    nobody = "nobody"


def add_to(app: typer.Typer) -> None:
    app.command(
        "alertmanager", epilog="Example: streamgauge generate alertmanager retail.yaml --out alertmanager --info slack"
    )(alertmanager)


def alertmanager(
    catalog: CatalogPath,
    out: Annotated[Path, option("out", "The folder to write to.", metavar="DIR", show_default=False)],
    critical: Annotated[
        Kind,
        option(
            "critical", "How people are told of critical alerts: pagerduty, opsgenie, slack or nobody.", metavar="KIND"
        ),
    ] = Kind.pagerduty,
    warning: Annotated[Kind, option("warning", "How people are told of warnings.", metavar="KIND")] = Kind.slack,
    info: Annotated[Kind, option("info", "How people are told of the rest.", metavar="KIND")] = Kind.nobody,
    keys: Annotated[
        Path,
        option(
            "keys",
            "Folder with a file of each receiver's name that holds its key or address, as Alertmanager sees it.",
            metavar="DIR",
        ),
    ] = DEFAULT_KEYS,
    check: Check = False,
) -> None:
    """Alertmanager's configuration: routes by severity and owner, and what mutes what.

    Written is NAME.alertmanager.yml. It holds no secret: of each receiver, the name of the file that does.
    """
    from sinks.alertmanager_config.generating import configuration

    kinds: dict[Severity, str] = {"critical": critical.value, "warning": warning.value, "info": info.value}
    made = configuration(usable_catalog(catalog), kinds, str(keys))
    write_or_check({out / name: text for name, text in made.items()}, check=check)
