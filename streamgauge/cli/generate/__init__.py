"""`streamgauge generate ...`: files that other programs read. One module a kind."""

from __future__ import annotations

import typer

from streamgauge.cli.generate import alertmanager, asyncapi, dashboards, rules, schema

app = typer.Typer(
    name="generate", no_args_is_help=True, help="Write files for editors and other programs from the catalog."
)
for module in (schema, dashboards, asyncapi, rules, alertmanager):
    module.add_to(app)
