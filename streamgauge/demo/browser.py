"""Opening the board in a browser, where the person at the terminal would see it."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping


def has_browser(environment: Mapping[str, str], platform: str) -> bool:
    """Whether a page that is opened here appears beside the terminal, and not in it or on another machine's screen.

    A browser that somebody chose by BROWSER is taken at its word.
    """
    if environment.get("BROWSER"):
        return True
    if "SSH_CONNECTION" in environment:
        return False
    return platform == "darwin" or bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_page(address: str) -> None:
    """Without waiting for the browser, which may stay in the foreground. Where none opens, the address was told."""
    if has_browser(os.environ, sys.platform):
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
