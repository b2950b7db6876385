"""Where a command's words go: results to stdout, messages to stderr; colour only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TextIO

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 1_000  # nothing is cut off or wrapped in a file


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def stdout() -> Console:
    return _console(sys.stdout)


def stderr() -> Console:
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    if stream.isatty():
        return Console(file=stream, highlight=False)
    return Console(file=stream, highlight=False, width=PIPE_WIDTH, no_color=True, force_terminal=False)


def say(message: str, *, style: str | None = None) -> None:
    """A message for the person at the terminal, on stderr. Shown as it is: brackets in it mean nothing."""
    stderr().print(message, style=style, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    say(message, style="yellow")


def complain(message: str) -> None:
    say(message, style="red")


def result(line: str, *, style: str | None = None) -> None:
    """One line of the answer, on stdout."""
    stdout().print(line, style=style, markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """The answer as JSON, decimals with all their digits: indented on a terminal, one line in a pipe."""
    text = msgspec.json.Encoder(decimal_format="number").encode(value)
    sys.stdout.write((msgspec.json.format(text, indent=2) if sys.stdout.isatty() else text).decode() + "\n")


def print_rows(
    rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], format_: Format, *, right: Iterable[str] = ()
) -> None:
    """The answer as a table with `columns` (field -> heading), or as a JSON array of the whole rows."""
    if format_ is Format.JSON:
        print_json(list(rows))
        return
    table = new_table()
    numbers = set(right)
    for field, heading in columns.items():
        table.add_column(heading, justify="right" if field in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(field)) for field in columns))
    stdout().print(table)


def new_table() -> Table:
    return Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")


def cell(value: object) -> str:
    """A cell's text, with rich's markup disarmed."""
    from rich.markup import escape

    return "-" if value is None else escape(str(value))
