"""The command line: `streamgauge COMMAND`. One file a command; `main` is the installed entry point."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command that the process's arguments name, and ends the process with its exit code."""
    from streamgauge.settings import prepare_process

    prepare_process()
    from streamgauge.cli.app import run

    sys.exit(run(sys.argv[1:]))
