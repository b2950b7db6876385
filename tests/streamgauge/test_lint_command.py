"""lint: what it says of a catalog, to people and to programs, with and without a past to judge by."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.streamgauge.conftest import Run

POOR = """version: 1
name: {name}
goals:
  grow: {{title: Grow, owner: ceo}}
sources:
  orders: {{topic: orders, event_time: at, fields: {{at: timestamp, amount: number}}}}
metrics:
  sales: {{source: orders, agg: sum, expr: amount, unit: EUR}}
kpis:
  sales_today:
    metric: sales
    window: {{type: cumulate, grain_to_date: day, step: 1h}}
    title: Sales
    goal: grow
    owner: ceo
    indicator: lagging
    review: {{every: 30d, last: 2026-11-01}}
    objectives: [{{op: gte, value: 100}}]
    lint: {{ignore: [{{rule: specific, reason: everybody here knows it}}]}}
"""
TODAY = ("--today", "2026-11-25")
SAID = """\
{path}:4: goal "grow": all its KPIs are lagging [leading]
    why: Lagging KPIs tell of a failure when it can no longer be helped.
    change: add one that moves before the result does, with indicator: leading
{path}:10: kpi "sales_today": specific is ignored: everybody here knows it

goal  score  KPIs  title
grow     80     1  Grow
"""


@pytest.fixture
def poor(tmp_path: Path) -> Path:
    path = tmp_path / "poor.yaml"
    path.write_text(POOR.format(name="poor"))
    return path


def test_each_says_why_and_what_to_change_and_each_goal_has_a_score(command: Run, poor: Path) -> None:
    ended = command("lint", poor, *TODAY, TERM="xterm-256color")
    shown = "".join(f"{line.rstrip()}\n" for line in ended.out.splitlines())
    assert (ended.code, shown) == (0, SAID.format(path=poor))
    assert ended.err == f"{poor}: 1 piece of advice, 1 more piece ignored\n"


def test_programs_get_the_same(streamgauge: Run, poor: Path) -> None:
    ended = streamgauge("lint", poor, *TODAY, "--format", "json", "--strict")
    assert ended.code == 1
    found = json.loads(ended.out)
    assert found["scores"] == {"grow": 80}
    assert found["findings"] == [
        {
            "rule": "leading",
            "severity": "warning",
            "at": f"{poor}:4",
            "subject": 'goal "grow"',
            "message": "all its KPIs are lagging",
            "why": "Lagging KPIs tell of a failure when it can no longer be helped.",
            "change": "add one that moves before the result does, with indicator: leading",
        }
    ]
    assert [(one["rule"], one["reason"]) for one in found["ignored"]] == [("specific", "everybody here knows it")]


def test_it_is_coloured_on_a_terminal_and_nowhere_else(poor: Path, command: Run) -> None:
    ours, theirs = pty.openpty()
    environment = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    arguments = [sys.executable, "-m", "streamgauge", "lint", str(poor), *TODAY]
    subprocess.run(arguments, stdout=theirs, env={**environment, "TERM": "xterm-256color"}, check=True)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65_536):
            shown += part
    except OSError:  # Linux tells the end so
        pass
    os.close(ours)
    assert b"\x1b[33m [leading]" in shown and b"all its KPIs are lagging" in shown
    assert "\x1b" not in command("lint", poor, *TODAY, TERM="xterm-256color").out


def test_it_judges_by_the_past_where_redis_has_one(streamgauge: Run, poor: Path, valkey: str) -> None:
    ended = streamgauge("lint", poor, *TODAY, "--redis", valkey)
    assert ended.code == 0 and "Redis holds no past values of catalog poor" in ended.err
    away = streamgauge("lint", poor, *TODAY, "--redis", "redis://127.0.0.1:1/0")
    assert away.code == 3 and "127.0.0.1:1" in away.err and not away.out
