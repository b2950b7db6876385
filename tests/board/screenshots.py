"""`python -m tests.board.screenshots`: the pictures of the board in docs/screenshots, of a simulated business.

Starts what it needs and ends it. With `--data-dir`, a second start goes on from the first. `--pages` takes pictures of
other pages.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Page, expect

from streamgauge.services import embedded_services, free_port
from tests.board.browsing import PHONE, chromium, live, looking
from tests.system.processes import Process, serving

ROOT = Path(__file__).parents[2]
CATALOG = Path("deploy", "catalogs", "business.yaml")  # the page says where it is, so it is named from here
OUT = Path("docs", "screenshots")
MOST_BYTES = 200_000
COUNTED_S = 900.0
RECENT = timedelta(hours=3)  # some KPIs move once a day

DESK = {"viewport": {"width": 1360, "height": 850}}
SCREEN = {"viewport": {"width": 1600, "height": 900}}
REGION = "/kpi/sales_by_region_7d?dim.region=DACH"


@dataclass(frozen=True)
class Shot:
    name: str
    path: str
    scheme: str
    device: dict[str, Any]


SHOTS = (
    Shot("overview-light", "/", "light", DESK),
    Shot("overview-dark", "/", "dark", DESK),
    Shot("kpi-light", REGION, "light", DESK),
    Shot("wall-dark", "/wall?every=0", "dark", SCREEN),
    Shot("phone-light", "/", "light", PHONE),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--pages", nargs="*", help="paths to take in light, dark and on a phone, all of each page")
    given = parser.parse_args()
    os.chdir(ROOT)
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, business(given.data_dir or Path(folder)) as served:
        asyncio.run(take(served, given.out, given.pages))


@contextmanager
def business(folder: Path) -> Iterator[Process]:
    """A year of it is sent, and then what happens now."""
    with ExitStack() as stack:
        services = stack.enter_context(embedded_services(folder, kafka_port=0, redis_port=0))
        assert services.kafka and services.redis
        where = ["--brokers", services.kafka]
        subprocess.run(program("topics", CATALOG, *where), check=True, capture_output=True)
        stack.enter_context(running(folder, "simulate", "business", "--live", *where))
        worker = ["--redis", services.redis, "--data-dir", folder, "--port", free_port(0)]
        stack.enter_context(running(folder, "worker", CATALOG, *where, *worker))
        yield stack.enter_context(serving(folder, CATALOG, services.kafka, services.redis))


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "streamgauge", *map(str, arguments)]


@contextmanager
def running(folder: Path, *arguments: object) -> Iterator[None]:
    with (folder / f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen(program(*arguments), stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, log.name
    finally:
        process.terminate()
        process.wait()


async def take(served: Process, out: Path, pages: list[str] | None) -> None:
    await served.ready()
    await until_counted(served)
    shots = SHOTS
    if pages is not None:
        kinds = (("light", DESK), ("dark", DESK), ("light", PHONE))
        shots = tuple(
            Shot(f"{number}-{scheme}-{device['viewport']['width']}", path, scheme, device)
            for number, path in enumerate(pages)
            for scheme, device in kinds
        )
    async with chromium() as browser:
        for shot in shots:
            async with looking(browser, served.url, color_scheme=shot.scheme, **shot.device) as page:
                await page.goto(shot.path)
                await is_drawn(page)
                path = out / f"{shot.name}.png"
                await page.screenshot(path=path, full_page=pages is not None)
                size = path.stat().st_size
                print(f"{path}: {size:,} bytes")
                assert pages is not None or size < MOST_BYTES, "too large to be kept in a repository"


async def until_counted(served: Process) -> None:
    """Until every KPI has values up to now."""
    async with asyncio.timeout(COUNTED_S), httpx.AsyncClient(base_url=f"{served.url}/api/v1", timeout=30) as client:
        for kpi in (await client.get("/kpis")).json()["kpis"]:
            while not recent((await client.get(f"/kpis/{kpi['name']}/values")).json()["values"]):
                await asyncio.sleep(1)


def recent(values: list[dict[str, Any]]) -> bool:
    marks = [datetime.fromisoformat(value["watermark"]) for value in values if value["watermark"]]
    return bool(marks) and max(marks) > datetime.now(UTC) - RECENT


async def is_drawn(page: Page) -> None:
    """Until values, their lines and the font are there."""
    if "/wall" not in page.url:
        await live(page)
    await expect(page.locator("[data-condition]")).to_have_count(0, timeout=COUNTED_S * 1_000)
    await expect(page.locator("article data, .now data, .nothing").first).to_be_visible()
    lines = page.locator("article:has(data)")
    for number in range(await lines.count()):
        await lines.nth(number).scroll_into_view_if_needed()
        await expect(lines.nth(number).locator("path.line")).to_be_attached()
    await page.evaluate("scrollTo(0, 0)")
    await page.evaluate("document.fonts.ready")
    await page.wait_for_timeout(500)  # a canvas is drawn


if __name__ == "__main__":
    main()
