"""`streamgauge generate ...`: files that other programs read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from streamgauge.cli.failures import refused, usage
from streamgauge.cli.options import option
from streamgauge.cli.output import result, say

app = typer.Typer(
    name="generate", no_args_is_help=True, help="Write files for editors and other programs from the catalog."
)

SCHEMA_FILE = "catalog.schema.json"

OutDirectory = Annotated[Path | None, option("out", "The folder to write to; default: print it.", metavar="DIR")]
Check = Annotated[bool, option("check", "Write nothing; exit with 1 where the file differs.")]


@app.command("schema", epilog="Example: streamgauge generate schema --out .vscode")
def schema(out: OutDirectory = None, check: Check = False) -> None:
    """The JSON Schema of catalogs, so that editors complete and check them.

    Put this line on top of a catalog: # yaml-language-server: $schema=catalog.schema.json
    """
    from engine.catalog.schema import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        if check:
            raise usage("--check needs --out DIR: the folder whose file is checked")
        result(text.rstrip("\n"))
        return
    write_or_check(out / SCHEMA_FILE, text, check=check)


def write_or_check(path: Path, text: str, *, check: bool) -> None:
    """Writes `text` to `path`, or only compares. Raises Failure when it differs, or cannot be written."""
    try:
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                raise refused(f"{path} differs from what would be generated; run the same command without --check")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise usage(f"{path}: {error.strerror}") from error
    say(f"wrote {path}")
