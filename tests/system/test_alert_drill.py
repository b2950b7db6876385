"""`streamgauge alerts test` against real Alertmanagers and a real webhook: what arrived is said, and nothing stays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.streamgauge.conftest import Run
from tests.system.receiving import Alertmanager, Hook, alertmanagers
from tests.system.test_alert_delivery import CATALOG

pytestmark = pytest.mark.system


@pytest.fixture
def managers(tmp_path: Path) -> Iterator[list[Alertmanager]]:
    with alertmanagers(tmp_path, 2) as made:
        yield made


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    found = Hook()
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
def files(tmp_path: Path, managers: list[Alertmanager], hook: Hook) -> list[object]:
    (tmp_path / "shop.yaml").write_text(CATALOG.format(name="shop"))
    (tmp_path / "receivers.yaml").write_text(
        f"""\
version: 1
receivers:
  pager: {{type: alertmanager, urls: [{managers[0].url}, {managers[1].url}], timeout: 2s}}
  hook: {{type: webhook, url: "{hook.url}", timeout: 2s}}
routes:
  - {{severity: critical, receivers: [pager]}}
  - {{receivers: [hook]}}
"""
    )
    return ["--catalog", tmp_path / "shop.yaml", "--receivers", tmp_path / "receivers.yaml"]


async def test_a_drill_says_what_arrived_where(
    streamgauge: Run, files: list[object], managers: list[Alertmanager], hook: Hook
) -> None:
    given = ["alerts", "test", "revenue", *files, "--where", "region=EU"]
    ended = await asyncio.to_thread(streamgauge, *given, "--format", "json")
    assert ended.code == 0, ended.err
    assert [(one["receiver"], one["address"], one["step"], one["arrived"]) for one in json.loads(ended.out)] == [
        ("pager", manager.url, step, True) for manager in managers for step in ("firing", "resolved")
    ]  # as the routes have it: critical goes to the pager
    assert all(not manager.alerts() for manager in managers)
    ended = await asyncio.to_thread(streamgauge, *given, "--alert", "RevenueLowish", "--receiver", "hook")
    assert (ended.code, ended.out.count("arrived")) == (0, 2), ended.err
    firing, resolved = hook.objects
    assert (firing["state"], resolved["state"], firing["id"]) == ("firing", "resolved", resolved["id"])
    assert (firing["drill"], firing["dims"], firing["alert"]) == (True, {"region": "EU"}, "RevenueLowish")


async def test_what_does_not_arrive_has_an_exit_code_of_its_own(
    streamgauge: Run, files: list[object], managers: list[Alertmanager], hook: Hook
) -> None:
    given = ["alerts", "test", "revenue", *files]
    managers[1].kill()
    ended = await asyncio.to_thread(streamgauge, *given)
    assert (ended.code, ended.out.count("arrived"), ended.out.count("MISSING")) == (3, 2, 1), ended.err
    hook.answer = 401
    ended = await asyncio.to_thread(streamgauge, *given, "--receiver", "hook")
    assert (ended.code, ended.out.count("MISSING")) == (1, 1), ended.err
    assert "answered 401" in ended.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["nothing"], "has no KPI 'nothing'; it has revenue, total"),
        (["revenue", "--alert", "Gone"], "KPI revenue has no alert Gone; it has RevenueLow, RevenueLowish"),
        (["revenue", "--where", "store=7"], "KPI revenue has no dimension store; it has region"),
        (["revenue", "--receiver", "gone"], "there is no receiver gone; there are pager, hook"),
        (["revenue", "--board-url", "board"], "--board-url: the address is none"),
    ],
)
async def test_wrong_use_is_told_before_anything_is_sent(
    streamgauge: Run, files: list[object], hook: Hook, more: list[str], said: str
) -> None:
    ended = await asyncio.to_thread(streamgauge, "alerts", "test", *more, *files)
    assert ended.code == 2
    assert said in ended.err
    assert not hook.taken
