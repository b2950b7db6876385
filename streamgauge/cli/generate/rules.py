"""`streamgauge generate rules`: what Prometheus records and watches of a catalog, and the tests of that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamgauge.cli.failures import refused
from streamgauge.cli.generate.files import Check, write_or_check
from streamgauge.cli.loading import usable_catalog
from streamgauge.cli.options import CatalogPath, option
from streamgauge.cli.output import complain

DEFAULT_JOB = "streamgauge"


def add_to(app: typer.Typer) -> None:
    app.command("rules", epilog="Example: streamgauge generate rules retail.yaml --out prometheus/rules")(rules)


def rules(
    catalog: CatalogPath,
    out: Annotated[Path, option("out", "The folder to write to.", metavar="DIR", show_default=False)],
    job: Annotated[
        str, option("job", "The job in Prometheus' configuration that scrapes the catalog's workers.", metavar="NAME")
    ] = DEFAULT_JOB,
    check: Check = False,
) -> None:
    """Rules for Prometheus: one series of each KPI's, alerts on the engine, and alerts with evaluator: prometheus.

    NAME.rules.yml has the rules, NAME.rules_test.yml what `promtool test rules` plays through them.
    """
    from sinks.prometheus_rules.generating import rules as generated
    from sinks.prometheus_rules.thresholds import refusals

    found = usable_catalog(catalog)
    if problems := refusals(found):
        for problem in problems:
            complain(problem)
        raise refused("Prometheus cannot evaluate every alert that is left to it")
    write_or_check({out / name: text for name, text in generated(found, job).items()}, check=check)
