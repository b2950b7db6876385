"""Groups of commands of which one is meant where none is named: `streamgauge alerts` lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup

_HELP = ("-h", "--help")


class DefaultCommand(TyperGroup):
    """What does not begin with one of the group's commands, or ask for help, goes to `default`."""

    default = "list"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._with_command(args))

    def _with_command(self, args: Sequence[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] in _HELP)
        return list(args) if named else [self.default, *args]
