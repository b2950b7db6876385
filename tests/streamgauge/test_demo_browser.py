"""Where the demo opens a page by itself."""

from __future__ import annotations

import pytest

from streamgauge.demo.browser import has_browser


@pytest.mark.parametrize(
    ("environment", "platform", "opens"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),  # what would open there is a browser of text, in this very terminal
        ({"DISPLAY": ""}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}, "darwin", False),  # on a screen that nobody looks at
        ({"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22", "DISPLAY": "localhost:10.0"}, "linux", False),
        ({"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22", "BROWSER": "/opt/editor/browser"}, "linux", True),
    ],
)
def test_beside_the_terminal_or_not_at_all(environment: dict[str, str], platform: str, opens: bool) -> None:
    assert has_browser(environment, platform) is opens
