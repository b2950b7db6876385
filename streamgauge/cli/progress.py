"""The bar that shows how far the sending of events is: on a terminal only, and on stderr."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streamgauge.cli.output import stderr


def sending_progress() -> Progress:
    """Its tasks have a field ``speed``: a text."""
    console = stderr()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def pace(events: int, seconds: float) -> str:
    return f"{events / max(seconds, 0.001):,.0f} events/s"
