"""The board's page in a real browser, while events arrive."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Locator, Page, expect
from redis.asyncio import Redis

from sinks.alerting.silence_records import SilenceRecord
from sinks.names import SESSION_COOKIE, redis_alerts, redis_silences
from tests.alert_objects import alert_object
from tests.board.browsing import PHONE, card_titles, live, looking, serious_violations
from tests.board.set_up import LATE_AMOUNT, PRODUCTS, Live
from tests.streamgauge.conftest import Run

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EU = "/kpi/revenue_by_region?dim.region=EU"
PAGES = ("/", EU, "/kpi/revenue_by_product", "/alerts", "/wall?every=0", "/kpi/nowhere")
MOST_ROWS = 60  # of a long table in the document: those on a tall screen, and some around them
MOST_STOPS = 200
Scheme = Literal["light", "dark"]


async def values_have_come(page: Page) -> None:
    await live(page)
    await expect(page.locator("article data, .now data").first).to_be_visible()


async def test_values_change_while_events_arrive(shown: Live, browser: Browser) -> None:
    async with looking(browser, shown.url) as page:
        await page.goto("/")
        await live(page)
        card = page.get_by_role("article", name="Revenue", exact=True)
        value = card.locator("data")
        for _ in range(3):
            before = await value.get_attribute("value")
            assert before and Decimal(before) > 0
            await expect(value).not_to_have_attribute("value", before)
        await expect(card).to_contain_text("On target")
        await expect(card.locator(".age")).to_have_text(re.compile(r"data \d+ s old"))


def region(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Region")


async def test_a_shared_address_shows_the_same(shown: Live, browser: Browser) -> None:
    async with looking(browser, shown.url) as page:
        await page.goto("/")
        await values_have_come(page)
        assert len(await card_titles(page)) == 4
        await page.get_by_label("Owner").select_option("head of sales")
        await page.get_by_role("button", name="Critical").click()
        await page.get_by_placeholder("Search KPIs").fill("each minute")
        await region(page).focus()
        await region(page).select_option("EU")
        await expect(page.locator("article")).to_have_count(1)
        address = page.url
        assert address.partition("?")[2] == "q=each+minute&owner=head_of_sales&status=critical&dim.region=EU"
        async with looking(browser, shown.url) as other:
            await other.goto(address)
            await expect(other.locator("article")).to_have_count(1)
            assert await card_titles(other) == await card_titles(page) == ["Revenue by region"]
            await expect(other.get_by_label("Owner")).to_have_value("head_of_sales")
            await expect(region(other)).to_have_value("EU")
            await expect(other.get_by_placeholder("Search KPIs")).to_have_value("each minute")
            await expect(other.get_by_role("button", name="Critical")).to_have_attribute("aria-pressed", "true")
            await other.get_by_role("button", name="Clear filters").click()
            await expect(other.locator("article")).to_have_count(4)
            assert other.url == f"{shown.url}/"


async def test_a_kpi_has_its_chart_breakdown_definition_and_alerts(shown: Live, browser: Browser) -> None:
    async with looking(browser, shown.url) as page:
        await page.goto("/")
        await page.get_by_role("link", name="Revenue", exact=True).click()
        await expect(page).to_have_url(f"{shown.url}/kpi/revenue")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Revenue")
        await values_have_come(page)

        chart = page.get_by_role("img", name=re.compile("^Revenue, .* windows: first .*target at least 1 EUR"))
        assert await chart.locator("canvas").evaluate(DRAWN)
        await chart.focus()
        reading = page.locator("figcaption .when")
        newest = await reading.inner_text()
        await page.keyboard.press("Home")
        await expect(reading).not_to_have_text(newest)

        definition = page.get_by_role("region", name="Definition")
        await expect(definition).to_contain_text("Sum of amount (EUR) of orders")
        await expect(definition).to_contain_text("Overdue since")
        await definition.get_by_text("As YAML").click()
        await expect(definition.locator("pre")).to_contain_text("window: {type: hop, size: 10m, slide: 1m}")

        alerts = page.get_by_role("region", name="Alerts")
        await expect(alerts).to_contain_text("RevenueLow")
        await expect(alerts).to_contain_text("below 100 EUR for 15 minutes, until it is back at 200 EUR")
        await expect(alerts).to_contain_text("Look at the regions first")


# Whether something is drawn in a canvas: not all pixels are transparent.
DRAWN = (
    """canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(byte => byte > 0)"""
)


async def test_an_address_that_leads_nowhere_says_so_and_leads_back(shown: Live, browser: Browser) -> None:
    async with looking(browser, shown.url, errors=True) as page:
        found = await page.goto("/reports/today")
        assert found is not None and found.status == 404
        await expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
        assert await serious_violations(page) == []
        await page.goto("/kpi/%zz")
        await expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
        await page.goto("/kpi/revenue_per_region")
        await expect(page.get_by_role("heading", level=1)).to_have_text("There is no KPI “revenue_per_region”")
        await page.get_by_role("link", name="Revenue by region").click()
        await expect(page).to_have_url(f"{shown.url}/kpi/revenue_by_region")
        await page.goto("/kpi/revenue_by_region?dim.region=Mars")
        await expect(page.get_by_text("No series has region “Mars”.")).to_be_visible()
        await page.get_by_role("link", name=re.compile("^Show all")).click()
        await values_have_come(page)
        await page.goto("/?goal=nothing")
        await expect(page.get_by_label("Goal")).to_have_value("nothing")
        await page.get_by_role("button", name="Show all 4 KPIs").click()
        await expect(page.locator("article")).to_have_count(4)
        await page.goto("/nowhere")
        await page.get_by_role("link", name="To the overview").click()
        await expect(page).to_have_url(f"{shown.url}/")


async def test_what_was_found_in_the_catalog_is_told_with_why(shown: Live, browser: Browser) -> None:
    async with looking(browser, shown.url) as page:
        await page.goto("/")
        await page.get_by_text("About the catalog: 1 review due").click()
        notes = page.locator("details")
        await expect(notes).to_contain_text("Review due Revenue was last reviewed on 1 Jan 2024")
        await expect(notes).to_contain_text("Two people who read a name differently argue about numbers")


async def test_a_breakdown_is_sorted_and_searched(shown: Live, browser: Browser) -> None:
    async with looking(browser, shown.url) as page:
        await page.goto("/kpi/revenue_by_product")
        await live(page)
        breakdown = page.locator("section[aria-labelledby=breakdown]")
        await expect(breakdown.get_by_role("status")).to_have_text(f"{PRODUCTS:,} series")
        for wanted, order in (("ascending", sorted), ("descending", lambda names: sorted(names, reverse=True))):
            header = breakdown.get_by_role("columnheader", name="product")
            await header.get_by_role("button").click()
            await expect(header).to_have_attribute("aria-sort", wanted)
            names = await breakdown.locator("tbody a").all_inner_texts()
            assert names == order(names) and len(names) > 10
        assert "sort=-dim.product" in page.url
        await breakdown.get_by_label("Search series").fill("p0042")
        await expect(breakdown.get_by_role("status")).to_have_text(f"1 of {PRODUCTS:,} series")
        await breakdown.get_by_role("link", name="P0042").click()
        await expect(page.locator("#now")).to_have_text("P0042")
        assert "dim.product=P0042" in page.url and "q=p0042" in page.url


async def test_past_windows_are_exact_and_say_what_was_revised(shown: Live, browser: Browser) -> None:
    expected = {amount for (region, _), amount in shown.minutes.items() if region == "EU"}
    async with looking(browser, shown.url) as page:
        await page.goto(EU)
        await live(page)
        windows = page.get_by_role("region", name="Windows")
        more = windows.get_by_role("button", name="Show more")
        while True:
            told = await windows.locator("td.amount").all_inner_texts()
            if expected <= {Decimal(text.split()[0].replace(",", "")) for text in told if text != "no value"}:
                break
            if await more.count():
                await more.click()
            await page.wait_for_timeout(50)
        await windows.get_by_role("button", name="Only revised").click()
        await expect(windows.locator("tbody tr")).to_have_count(1)
        amount = shown.minutes["EU", min(minute for region, minute in shown.minutes if region == "EU")]
        assert amount > LATE_AMOUNT
        await expect(windows.locator("tbody tr")).to_contain_text(f"{amount:,} EUR")


async def test_alerts_come_and_go_with_reason_and_runbook(shown: Live, browser: Browser) -> None:
    silence = SilenceRecord(
        id="3f9c1a7b20", comment="stocktaking", by="duty", from_=NOON, until=NOON + timedelta(days=36_500)
    )
    firing = alert_object(
        "RegionLow", "revenue_by_region", dims={"region": "EU"}, since="2026-01-01T00:00:00Z",
        annotations={"summary": "Look at the shop first"}, runbook_url="https://wiki.example.org/region-low",
        muted_by=None, silenced_by=None,
    )  # fmt: skip
    quiet = alert_object(
        "RegionLow", "revenue_by_region", dims={"region": "US"}, state="pending", severity="warning", value=None,
        muted_by="RevenueLow|revenue|-", silenced_by=silence.id,
    )  # fmt: skip
    keys = (redis_alerts(shown.shop.name), redis_silences(shown.shop.name))
    async with Redis.from_url(shown.shop.redis) as redis, looking(browser, shown.url) as page:
        await page.goto("/alerts")
        await live(page)
        await expect(page.get_by_text("No alert is pending or firing.")).to_be_visible()
        await redis.hset(keys[0], mapping=dict(firing | quiet))
        await redis.hset(keys[1], silence.id, silence.encode())
        try:
            rows = page.get_by_role("row", name=re.compile("RegionLow"))
            await expect(rows).to_have_count(2)  # without a reload
            row, other = rows.nth(0), rows.nth(1)
            await expect(row).to_contain_text("firing, critical")
            await expect(row).to_contain_text("812.50 EUR is below 1,000 EUR")
            await expect(row).to_contain_text("Look at the shop first")
            await expect(row.get_by_role("cell").nth(5)).to_have_text("812.50\u00a0EUR")
            await expect(row.get_by_role("cell").nth(6)).to_have_text("1,000\u00a0EUR")
            await expect(other.get_by_role("cell").nth(5)).to_have_text("none")
            runbook = row.get_by_role("link", name="Runbook of RegionLow")
            await expect(runbook).to_have_attribute("href", "https://wiki.example.org/region-low")
            await expect(other).to_contain_text("pending, warning")
            await expect(other).to_contain_text("Muted by RevenueLow of Revenue, which says it already.")
            await expect(other).to_contain_text(re.compile("Silenced by duty until .*: stocktaking"))
            await expect(page.get_by_text("1 firing, 1 pending")).to_be_visible()
            await expect(page.get_by_role("link", name=re.compile("^Alerts"))).to_contain_text("2")
            assert await serious_violations(page) == []
            await row.get_by_role("link", name="Revenue by region").click()
            await expect(page).to_have_url(f"{shown.url}{EU}")
            alerts = page.get_by_role("region", name="Alerts")
            await expect(alerts).to_contain_text("1 firing, 1 pending.")
            await expect(alerts).to_contain_text("812.50 EUR is below 1,000 EUR")
            assert await serious_violations(page) == []
            await redis.delete(*keys)
            await expect(alerts).not_to_contain_text("firing")
        finally:
            await redis.delete(*keys)


async def test_the_wall_shows_one_goal_after_the_other(shown: Live, browser: Browser) -> None:
    async with looking(browser, shown.url, viewport={"width": 1920, "height": 1080}) as page:
        await page.goto("/wall?every=0")
        await expect(page.locator("article data")).to_be_visible()
        goal = page.get_by_role("heading", level=1)
        await expect(goal).to_have_text("Grow what we sell")
        assert await page.evaluate(
            "document.documentElement.scrollHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth"
        )
        await page.keyboard.press("ArrowRight")
        await expect(goal).to_have_text("Deliver what was promised")
        await page.keyboard.press("ArrowLeft")
        await expect(goal).to_have_text("Grow what we sell")
        await page.keyboard.press(" ")
        await expect(page.get_by_role("button", name="Held")).to_have_attribute("aria-pressed", "true")
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(f"{shown.url}/")
        await page.goto("/wall?every=1")
        await expect(goal).to_have_text("Deliver what was promised")  # by itself


async def test_a_server_that_was_killed_is_told_of_and_followed_again(shown: Live, browser: Browser) -> None:
    served = await shown.serve()
    async with looking(browser, served.url, errors=True) as page:
        await page.goto("/")
        await values_have_come(page)
        await page.evaluate("window.opened = 'once'")
        served.kill()
        await says_disconnected(page)
        assert (await shown.serve(port=served.port)).url == served.url
        await follows_again(page)


async def test_a_server_that_says_nothing_is_told_of_and_followed_again(shown: Live, browser: Browser) -> None:
    served = await shown.serve()
    async with looking(browser, served.url, errors=True) as page:
        await page.goto("/")
        await values_have_come(page)
        await page.evaluate("window.opened = 'once'")
        served.process.send_signal(signal.SIGSTOP)
        await says_disconnected(page)
        served.process.send_signal(signal.SIGCONT)
        await follows_again(page)


async def says_disconnected(page: Page) -> None:
    """What is on the screen is marked as old."""
    await expect(page.get_by_test_id("condition")).to_have_text("Disconnected")
    await expect(page.locator("[data-condition=disconnected]")).to_contain_text("The values are those of")
    await expect(page.locator("main")).to_have_attribute("data-current", "false")


async def follows_again(page: Page) -> None:
    """By itself: nobody loads the page anew."""
    await live(page)
    await expect(page.locator("main")).to_have_attribute("data-current", "true")
    await expect(page.locator("[data-condition]")).to_have_count(0)
    value = page.get_by_role("article", name="Revenue", exact=True).locator("data")
    before = await value.get_attribute("value")
    await expect(value).not_to_have_attribute("value", before or "")
    assert await page.evaluate("window.opened") == "once"


async def test_a_token_is_entered_once(shown: Live, browser: Browser, streamgauge: Run, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    token = streamgauge("token", "make", "wall", "--right", "read", "--tokens", tokens).out.strip()
    served = await shown.serve("--tokens", tokens)
    async with looking(browser, served.url, errors=True) as page:
        await page.goto(EU)
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert await serious_violations(page) == []
        for text, refusal in (("no such token", "This token is not known."), (token, "")):
            await page.get_by_label("Token").fill(text)
            await page.keyboard.press("Enter")
            if refusal:
                await expect(page.get_by_role("alert")).to_have_text(refusal)
        await values_have_come(page)
        [cookie] = await page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (SESSION_COOKIE, True, "Strict")
        assert token not in json.dumps([cookie, await page.evaluate("({...localStorage, ...sessionStorage})")])
        await page.reload()
        await values_have_come(page)
        assert streamgauge("token", "revoke", "wall", "--tokens", tokens).code == 0
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(page.locator("data")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_keeps_anybody_out(shown: Live, browser: Browser, scheme: Scheme) -> None:
    async with looking(browser, shown.url, color_scheme=scheme) as page:
        for path in PAGES:
            await page.goto(path)
            await is_shown(page)
            assert await serious_violations(page) == [], path


@pytest.mark.parametrize("width", [390, 320])
async def test_a_phone_scrolls_down_alone(shown: Live, browser: Browser, width: int) -> None:
    phone = {**PHONE, "viewport": {"width": width, "height": 844}}
    async with looking(browser, shown.url, **phone) as page:
        for path in PAGES:
            await page.goto(path)
            await is_shown(page)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path


async def is_shown(page: Page) -> None:
    """Until what the page is about is on it."""
    await expect(page.locator("article data, .now data, .worst, .nothing, h1").last).to_be_visible()
    if "/wall" not in page.url:
        await live(page)
    if "/kpi/revenue" in page.url:
        await expect(page.locator(".now data")).to_be_visible()
        await expect(page.get_by_text("As YAML")).to_be_visible()


async def test_the_keyboard_reaches_everything(shown: Live, browser: Browser) -> None:
    async with looking(browser, shown.url) as page:
        await page.goto("/")
        await values_have_come(page)
        await page.keyboard.press("Tab")
        assert await focused(page) == "Skip to the content"
        reached = await tabbed(page)
        wanted = {"Overview", "Alerts", "Wall", "Colours: Auto", "Search", "Goal", "Owner", "Region", "Product"}
        assert wanted | set(await card_titles(page)) | {"EU"} <= set(reached)
        assert len([name for name in reached if re.match("(Critical|Warning|On target|No status)", name)]) == 4

        await page.keyboard.press("/")
        await page.keyboard.type("deliveries")
        await expect(page.locator("article")).to_have_count(1)
        await page.get_by_role("link", name="Share of late deliveries").focus()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{shown.url}/kpi/late_share")
        assert await page.evaluate("document.activeElement.id") == "content"

        await page.goto("/kpi/revenue_by_product")
        await values_have_come(page)
        await expect(page.get_by_text("As YAML")).to_be_visible()
        reached = await tabbed(page)
        wanted = {"All", "product", "Value", "Status", "Samples", "Data age", "Search series", "As YAML"}
        assert wanted <= set(reached)
        header = page.locator(".frame").get_by_role("columnheader", name="Samples")
        await header.get_by_role("button").focus()
        await page.keyboard.press("Enter")
        await expect(header).to_have_attribute("aria-sort", "descending")


async def tabbed(page: Page) -> list[str]:
    """What Tab goes to, from here until it comes round; everything shows that it has the focus."""
    found: list[str] = []
    while True:
        await page.keyboard.press("Tab")
        name, outlined, again = await page.evaluate(FOCUS)
        if again or len(found) > MOST_STOPS:
            return found
        assert outlined, name
        found.append(name)


async def focused(page: Page) -> str:
    name, _, _ = await page.evaluate(FOCUS)
    return str(name)


# What has the focus: its name, whether it shows it, and whether it had it before.
FOCUS = """() => {
  const at = document.activeElement;
  if (at === document.body || at.dataset.reached) return ['', true, true];
  at.dataset.reached = 'yes';
  const named = at.labels?.[0]?.querySelector('.heard') ?? at.cloneNode(true);
  for (const sign of named.querySelectorAll('[aria-hidden]')) sign.remove();
  const name = at.getAttribute('aria-label') ?? named.textContent;
  return [name.trim(), getComputedStyle(at).outlineStyle !== 'none', false];
}"""


async def test_a_thousand_series_that_change_leave_the_page_usable(
    shown: Live, browser: Browser, record_property: Callable[[str, object], None]
) -> None:
    async with looking(browser, shown.url) as page:
        await page.goto("/kpi/revenue_by_product?sort=dim.product")
        await expect(page.locator("section header [role=status]")).to_have_text(f"{PRODUCTS:,} series")
        await page.evaluate(COUNTING)
        while await page.evaluate("counted.updates") < 20:
            await page.wait_for_timeout(100)
        await page.get_by_label("Search series").fill("P0999")
        await expect(page.locator("tbody a")).to_have_text("P0999")
        counted = await page.evaluate("counted")
        for name, count in counted.items():
            record_property(name, count)
        print(counted)
        assert 0 < counted["most_rows"] <= MOST_ROWS
        assert counted["most_elements"] < 2_000
        assert counted["frames"] > 20  # the page goes on being drawn


# Counts in the page: frames, times that the table changed, changes of the document, tasks of 50 ms and more.
COUNTING = """() => {
  const table = document.querySelector('.frame tbody');
  window.counted = {frames: 0, updates: 0, changes: 0, long_tasks: 0, long_ms: 0, most_rows: 0, most_elements: 0};
  const frame = () => { counted.frames += 1; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  new MutationObserver((changes) => {
    counted.updates += 1;
    counted.changes += changes.length;
    counted.most_rows = Math.max(counted.most_rows, table.rows.length);
    counted.most_elements = Math.max(counted.most_elements, document.querySelectorAll('*').length);
  }).observe(table, {subtree: true, childList: true, characterData: true, attributes: true});
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) { counted.long_tasks += 1; counted.long_ms += Math.round(task.duration); }
  }).observe({type: 'longtask'});
}"""
