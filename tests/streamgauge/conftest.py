"""Running the command line as a person does: arguments in, exit code and two texts out."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamgauge.cli.app import run

ROOT = Path(__file__).parent.parent.parent
RETAIL = ROOT / "deploy" / "catalogs" / "retail.yaml"

ORDERS = """\
version: 1
name: {name}
sources:
  orders:
    topic: {name}.orders
    event_time: at
    identity: id
    dedupe: 72h
    fields: {{id: string, at: timestamp, region: string, amount: "decimal(10,2)", vip: "boolean?"}}
metrics:
  revenue: {{source: orders, agg: sum, expr: amount, unit: EUR}}
kpis:
  revenue_today: {{metric: revenue, window: {{type: cumulate, grain_to_date: day, step: 1h}}}}
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def streamgauge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in this process."""
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_") and name != "STREAMGAUGE_CACHE_DIR"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")

    def runner(*arguments: object) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return runner


@pytest.fixture
def command() -> Run:
    """Runs the installed command as a process of its own, with pipes as output."""

    def runner(*arguments: object, **environment: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "streamgauge", *(str(argument) for argument in arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=120,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return runner


@pytest.fixture
def orders(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A small catalog whose name, and so its topics, belong to this test alone."""
    told = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())[:50].strip("-")
    name = f"{told}-{uuid.uuid4().hex[:6]}"
    path = tmp_path / "orders.yaml"
    path.write_text(ORDERS.format(name=name))
    return path
