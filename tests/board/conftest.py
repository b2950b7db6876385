"""One set-up for all tests of a module: real services and processes, events that keep arriving, and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.board.browsing import chromium
from tests.board.set_up import Live, live_shop
from tests.streamgauge.conftest import streamgauge

__all__ = ["browser", "shown", "streamgauge"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(
    browser: Browser, kafka: str, valkey: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    """The browser comes first: where there is none, nothing needs to be started."""
    async with live_shop(kafka, valkey, tmp_path_factory.mktemp("board")) as found:
        yield found
