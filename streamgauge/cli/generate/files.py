"""Writing what was generated into a folder, or comparing it with what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from streamgauge.cli.failures import refused, usage
from streamgauge.cli.options import option
from streamgauge.cli.output import complain, say

Check = Annotated[bool, option("check", "Write nothing; exit with 1 where a file differs.")]


def write_or_check(files: Mapping[Path, str], *, check: bool, leftover: Iterable[Path] = ()) -> None:
    """Writes each text to its path and removes what is `leftover` of an earlier run; with `check` only compares.

    Raises Failure when something differs, every difference told, or when a file cannot be written.
    """
    path = Path()
    try:
        if check:
            differing = [path for path, text in files.items() if not path.exists() or _text(path) != text]
            for path in differing:
                complain(f"{path} differs from what would be generated")
            gone = list(leftover)
            for path in gone:
                complain(f"{path} would not be generated any more")
            if differing or gone:
                raise refused("run the same command without --check")
            return
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            say(f"wrote {path}")
        for path in leftover:
            path.unlink()
            say(f"removed {path}")
    except OSError as error:
        raise usage(f"{error.filename or path}: {error.strerror}") from error


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
