"""Tab completion of commands, options, files, and of names inside a catalog."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.streamgauge.completing import completed
from tests.streamgauge.conftest import Run


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("streamgauge w", ["worker", "watch"]),
        ("streamgauge topics orders.yaml --bro", ["--brokers"]),
        ("streamgauge validate o", ["orders.yaml"]),
        ("streamgauge dlq list orders.yaml ", ["orders"]),
        ("streamgauge send orders.yaml o", ["orders"]),
        ("streamgauge watch re", ["revenue_today"]),
        ("streamgauge watch nothing", []),
    ],
)
def test_the_shell_offers(
    command: Run, orders: Path, monkeypatch: pytest.MonkeyPatch, words: str, offered: list[str]
) -> None:
    monkeypatch.chdir(orders.parent)
    assert completed(command, words) == offered


def test_a_redis_that_is_away_is_not_waited_for(command: Run, orders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(orders.parent)
    assert completed(command, "streamgauge watch re", STREAMGAUGE_REDIS="redis://127.0.0.1:1") == ["revenue_today"]
