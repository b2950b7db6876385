"""Programs that no Python package ships. Where one is missing, its tests say so; in `.ci/run` they fail."""

from __future__ import annotations

import os
import shutil

import pytest

PACKAGES = {  # of Debian
    "chromium": "chromium",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
}
REQUIRED = "PROGRAMS_REQUIRED"


def program(name: str) -> str:
    """Where the program is; else the test is skipped, or fails, and names what to install."""
    found = shutil.which(name)
    if found is not None:
        return found
    missing = f"{name} is not on PATH; Debian has it in the package {PACKAGES[name]}"
    if os.environ.get(REQUIRED):
        pytest.fail(missing)
    pytest.skip(missing)
