"""Runs one command that must not outlive the process that started it.

`python -I -S tether.py GRACE_SECONDS COMMAND...`, with a pipe as standard input whose other end the starter holds.
When the pipe closes - the starter closed it, ended or was killed - the command gets SIGTERM and, after the grace,
SIGKILL. When the command ends by itself, this process ends with its exit status. Killing this process ends the
command too, on Linux. Runs as a script, so that nothing but the standard library is imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    grace, command = float(arguments[0]), arguments[1:]
    inherited = [int(name) for name in os.environ.pop("TETHER_KEEP_FDS", "").split(",") if name]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the starter's affair
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=inherited, preexec_fn=_die_with_parent)  # noqa: PLW1509 - no thread yet
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=_end_when_released, args=(child, grace), daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


def _die_with_parent() -> None:
    """In the child, before exec: SIGTERM when the tether's (main) thread ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_when_released(child: subprocess.Popen[bytes], grace: float) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    child.terminate()
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
