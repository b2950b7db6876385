"""`streamgauge token`: who may use the API."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from streamgauge.cli.failures import refused
from streamgauge.cli.options import OutputFormat, option
from streamgauge.cli.output import Format, print_rows, result, say

app = typer.Typer(name="token", no_args_is_help=True, help="Make, list and revoke the tokens of the HTTP API.")

_TOKENS = option("tokens", "The file that keeps tokens' hashes and rights.", metavar="FILE", show_default=False)
TokensFile = Annotated[Path, _TOKENS]
OptionalTokensFile = Annotated[Path | None, _TOKENS]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The token's name.", show_default=False)]


@app.command("make", epilog="Example: streamgauge token make wall --right read --tokens tokens.json")
def make(
    name: Name,
    tokens: TokensFile,
    right: Annotated[
        list[str] | None,
        option("right", "read, silence or send:SOURCE; may be repeated.", metavar="RIGHT", show_default="read"),
    ] = None,
) -> None:
    """Make a token and print it, once: the file keeps its hash alone. A server that runs takes it within a second."""
    from sinks.board.tokens import TokensUnusable, make_token

    try:
        made = make_token(tokens, name, right or ["read"], datetime.now(UTC).date())
    except TokensUnusable as error:
        raise refused(str(error)) from error
    say(f"token {name}, which is shown this once:")
    result(made)


@app.command("list", epilog="Example: streamgauge token list --tokens tokens.json")
def list_(tokens: TokensFile, format_: OutputFormat = Format.TABLE) -> None:
    """The names of the tokens, what they permit, and when they were made."""
    from sinks.board.tokens import TokensUnusable, read_tokens

    try:
        found = read_tokens(tokens)
    except TokensUnusable as error:
        raise refused(str(error)) from error
    shown = format_ is Format.TABLE
    rows = [
        {"name": one.name, "rights": " ".join(one.rights) if shown else one.rights, "made": one.made} for one in found
    ]
    print_rows(rows, {"name": "NAME", "rights": "RIGHTS", "made": "MADE"}, format_)


@app.command("revoke", epilog="Example: streamgauge token revoke wall --tokens tokens.json")
def revoke(name: Name, tokens: TokensFile) -> None:
    """Revoke a token, and the sessions it was entered for. A server that runs refuses it within a second."""
    from sinks.board.tokens import TokensUnusable, revoke_token

    try:
        revoke_token(tokens, name)
    except TokensUnusable as error:
        raise refused(str(error)) from error
    say(f"token {name} is revoked")
