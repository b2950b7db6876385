"""A real Chromium, which is strict about what a page may do, and what people see on the board's pages."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.npm import board_package
from tests.programs import program

TIMEOUT_MS = 30_000
UNREACHED = "Failed to load resource"  # what Chromium says of an answer that is an error, or of none
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
expect.set_options(timeout=TIMEOUT_MS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    path = program("chromium")
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking(browser: Browser, origin: str, *, errors: bool = False, **given: Any) -> AsyncIterator[Page]:
    """A page in a browser of its own.

    At the end: it asked nothing of any other origin, no script failed, and nothing is on the console, such as what the
    page's policy forbids. ``errors`` says that answers that are errors are expected.
    """
    context = await browser.new_context(base_url=origin, **{"reduced_motion": "reduce", **given})
    context.set_default_timeout(TIMEOUT_MS)
    elsewhere: list[str] = []
    complaints: list[str] = []

    def requested(request: Request) -> None:
        if not request.url.startswith(f"{origin}/"):
            elsewhere.append(request.url)

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not (errors and message.text.startswith(UNREACHED)):
            complaints.append(message.text)

    context.on("request", requested)
    context.on("console", said)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    try:
        page = await context.new_page()
        yield page
        assert (elsewhere, complaints) == ([], [])
    finally:
        await context.close()


async def live(page: Page) -> None:
    """Until the page says that what it shows is live."""
    await expect(page.get_by_test_id("condition")).to_have_text("Live")


async def card_titles(page: Page) -> list[str]:
    return await page.locator("article h3").all_inner_texts()


async def serious_violations(page: Page) -> list[str]:
    """What axe finds that keeps people from using the page."""
    await page.evaluate((board_package("axe-core") / "axe.min.js").read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
