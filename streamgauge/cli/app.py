"""The command `streamgauge` put together."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from streamgauge.cli import (
    alerts,
    backtest,
    demo,
    dlq,
    generate,
    lint,
    send,
    serve,
    services,
    silence,
    simulate,
    token,
    topics,
    validate,
    values,
    watch,
    worker,
)
from streamgauge.cli.failures import Exit, Failure
from streamgauge.cli.output import complain

app = typer.Typer(
    name="streamgauge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every option --some-name can be set as STREAMGAUGE_SOME_NAME. "
    "Exit codes: 0 success, 1 the answer is no, 2 wrong use, 3 a service cannot be reached.",
)
for module in (demo, services, validate, lint, backtest, topics, worker, serve, send, values, watch):
    module.add_to(app)
app.add_typer(alerts.app)
app.add_typer(silence.app)
app.add_typer(simulate.app)
app.add_typer(dlq.app)
app.add_typer(token.app)
app.add_typer(generate.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamgauge {metadata.version('streamgauge')}")
        raise typer.Exit


@app.callback()
def streamgauge(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """KPIs from the events on your Kafka topics: declared in YAML, exact, current within a second.

    Start with [bold]streamgauge demo[/bold].
    """


def run(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code, after its one message went to stderr."""
    try:
        app(list(arguments), prog_name="streamgauge")
    except SystemExit as end:
        return _flushed(end.code if isinstance(end.code, int) else Exit.SUCCESS)
    except Failure as failure:
        if str(failure):
            complain(str(failure))
        return _flushed(failure.code)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.SUCCESS
    except OSError as error:  # a full disk, a folder that may not be written
        complain(f"{f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
        return _flushed(Exit.NO)
    return Exit.SUCCESS


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
