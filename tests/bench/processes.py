"""A contender as a process group of its own, and what it uses, read from /proc."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Group:
    """Started processes (and their children) that end with this object's ``stop``; output goes to ``log``."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def cpu_seconds(self) -> float:
        """User and system time of all processes of the group, those that ended included."""
        # utime, stime, and those of reaped children: fields 14 to 17 of stat, counted from 1.
        return sum(sum(map(int, fields[11:15])) for fields in self._stats()) / _TICKS

    def resident_bytes(self) -> int:
        return sum(int(fields[21]) for fields in self._stats()) * _PAGE

    def ended(self) -> str | None:
        """The end of the log when the first process has ended, else None."""
        if self._process.poll() is None:
            return None
        tail = self.log.read_text(errors="replace").splitlines()[-20:]
        return f"status {self._process.returncode}:\n" + "\n".join(tail)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends the signal to all of the group, and waits for the first process."""
        os.killpg(self._process.pid, number)
        self._process.wait()

    def stop(self) -> None:
        for wanted, patience in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self._process.pid, wanted)
            except ProcessLookupError:
                break
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()

    def _stats(self) -> Iterator[list[str]]:
        """The fields of /proc/PID/stat after the command's name, state first."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == self._process.pid:
                yield fields
