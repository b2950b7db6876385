"""`deploy/compose.yaml`: its services, and the command lines of those that are ours."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("streamgauge:"))
ENVIRONMENT: dict[str, str] = SERVICES["worker"]["environment"]


def script(service: str) -> str:
    """What a service gives to its shell."""
    [text] = SERVICES[service]["command"]
    return str(text).replace("$$", "$")


def lines(service: str) -> Iterator[list[str]]:
    """Words of each of our command lines."""
    if "entrypoint" not in SERVICES[service]:
        yield SERVICES[service]["command"]
        return
    for found in re.finditer(r"(?m)^\s*streamgauge (.*)$", script(service)):
        yield shlex.split(found[1].partition(">")[0])
