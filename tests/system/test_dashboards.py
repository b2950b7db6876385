"""Every query of every dashboard, asked of a real Prometheus that scraped real workers: each answers with data."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from redis import Redis

from engine.catalog.loader import parse
from engine.catalog.model import Catalog, Cumulate, Tumble
from sinks import names
from sinks.grafana.generating import dashboards
from tests.sinks.grafana.conftest import EVERY_KIND, Json, panels_of, targets_of
from tests.system.composed import Composed
from tests.system.prometheus import SCRAPE_S, Labels, Prometheus, numbers, running_prometheus
from tests.system.workers import Shop, open_shop

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

DAYS = 3  # of orders: some KPIs compare with yesterday
COMPARED_DAYS = 65  # of what the compose file simulates: some compare 30 days with the 30 days before
ANSWER_S = 120.0
VARIABLE = re.compile(r"\$\{?(\w+)\}?")
SELECTOR = re.compile(r"[a-zA-Z_:][\w:]*\{[^{}]*\}")
SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")
OF_GRAFANA = {"__rate_interval": f"{4 * SCRAPE_S}s", "__range": "6h", "top": "10"}
ALL = ".*"


@dataclass(frozen=True, slots=True)
class Shown:
    catalog: Catalog
    dashboards: dict[str, Json]
    prometheus: Prometheus
    redis: str

    def present(self, kpi: str) -> dict[str, float]:
        """By metric, what Redis has of a KPI without dimensions; NaN for what it has not."""
        with Redis.from_url(self.redis, decode_responses=True) as client:
            row = client.hgetall(names.redis_series_key(self.catalog.name, kpi, "current", "-"))
        status = names.STATUS_NUMBERS.get(row.get("status", ""), "NaN")
        return {names.KPI_VALUE: float(row.get("value") or "NaN"), names.KPI_STATUS: float(status)}

    @property
    def judged_later(self) -> set[str]:
        """KPIs whose present value has no status: its calendar grain is not over."""
        return {
            name
            for name, kpi in self.catalog.kpis.items()
            if isinstance(kpi.window, Cumulate) or (isinstance(kpi.window, Tumble) and kpi.window.grain is not None)
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["every kind", "compose"])
async def shown(
    request: pytest.FixtureRequest, kafka: str, valkey: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shown]:
    folder = tmp_path_factory.mktemp("dashboards")
    if request.param == "every kind":
        async with every_kind(kafka, valkey, folder) as found:
            yield found
    else:
        with composed(kafka, valkey, folder) as found:
            yield found


@asynccontextmanager
async def every_kind(kafka: str, redis: str, folder: Path) -> AsyncIterator[Shown]:
    """Two workers share a catalog of every kind of KPI; Prometheus has seen them before the first event."""
    text = re.sub(r"\btopic: [\w-]+\.", "topic: {name}.", EVERY_KIND.read_text().replace("{", "{{").replace("}", "}}"))
    text = re.sub(r"(?m)^name: .*$", "name: {name}", text)
    async with open_shop(kafka, redis, folder, partitions=2, catalog=text) as shop:
        catalog = loaded(shop.catalog)
        made = {name: json.loads(text) for name, text in dashboards(catalog).items()}
        with ExitStack() as stack:
            workers = [stack.enter_context(shop.worker()) for _ in range(2)]
            targets = {"streamgauge": [worker.port for worker in workers]}
            prometheus = stack.enter_context(running_prometheus(folder, targets, rules_of(catalog)))
            for worker in workers:
                await worker.ready()
            await until(lambda: len(prometheus.now(f"{names.BUILD_INFO}")) == len(workers), "both workers are scraped")
            await send_orders(shop)
            yield Shown(catalog, made, prometheus, redis)


@contextmanager
def composed(kafka: str, redis: str, folder: Path) -> Iterator[Shown]:
    """What the compose file starts, with the dashboards that its own line writes."""
    services = Composed.prepared(folder, kafka, redis, f"c{uuid.uuid4().hex[:10]}")
    catalog = loaded(services.catalog)
    with ExitStack() as stack:
        targets = stack.enter_context(services.up("--days", str(COMPARED_DAYS)))
        tokens = services.here("/tokens")
        prometheus = stack.enter_context(running_prometheus(folder, targets, rules_of(catalog), tokens))
        made = {path.name: json.loads(path.read_text()) for path in services.here("/dashboards").iterdir()}
        assert set(made) == set(dashboards(catalog))
        yield Shown(catalog, made, prometheus, redis)


def loaded(path: Path) -> Catalog:
    catalog = parse([(path.name, path.read_text())]).catalog
    assert catalog is not None
    return catalog


def rules_of(catalog: Catalog) -> Json:
    """An alert that fires for each series of each KPI, and one that is pending."""
    kpis = "|".join(catalog.kpis)
    alert = {"expr": f'{names.KPI_SAMPLES}{{kpi=~"{kpis}"}} >= 0', "labels": {"severity": "warning"}}
    return {"groups": [{"name": "all", "rules": [{"alert": "Has", **alert}, {"alert": "Had", "for": "1h", **alert}]}]}


async def send_orders(shop: Shop) -> None:
    """Orders of the last days up to now, in each region; one that is far too late, and one that is none."""
    now = datetime.now(UTC)
    step, count = timedelta(seconds=30), DAYS * 24 * 120
    events = [order(number, now - step * (count - 1 - number)) for number in range(count)]
    await shop.send(events, count=False)
    await shop.send([order(count, now - timedelta(days=30))], count=False)
    await shop.send_raw([(None, b'{"at": "yesterday"}')])


def order(number: int, at: datetime) -> Json:
    return {
        "id": str(number), "at": at.isoformat(), "region": ["EU", "US", "APAC", None][number % 4],
        "store": number % 3 + 1, "gift": number % 2 == 0, "amount": 10 + number % 7, "weight": 0.5 + number % 3,
    }  # fmt: skip


async def until(met: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not await asyncio.to_thread(met):
        assert time.monotonic() < deadline, f"not within {ANSWER_S:g} s: {what}"
        await asyncio.sleep(0.2)


def filled(text: str, chosen: Labels) -> str:
    """With a value for every variable; all of a dimension where none is chosen."""

    def value(found: re.Match[str]) -> str:
        return OF_GRAFANA.get(found[1]) or chosen.get(found[1], ALL)

    return VARIABLE.sub(value, text)


def answered(prometheus: Prometheus, target: Json, chosen: Labels) -> str | None:
    """What is wrong with the answer to a query, None where nothing is.

    There is a number in it, and each of its selectors finds a series: an `or vector(0)` alone would not do.
    """
    expr = filled(target["expr"], chosen)
    found = prometheus.now(expr) if target.get("instant") else prometheus.so_far(expr)
    if not numbers(found):
        return f"no number: {expr}"
    empty = [one for one in SELECTOR.findall(expr) if not prometheus.now(one)]
    return f"nothing is {empty[0]}: {expr}" if empty else None


def has_no_status(shown: Shown, expr: str) -> bool:
    """Whether a query is for the status of one KPI that has none at present."""
    return any(f'{names.KPI_STATUS}{{job=~"$job",kpi="{kpi}"' in expr for kpi in shown.judged_later)


def of_alertmanager(expr: str) -> bool:
    """Whether a query is for what Alertmanager says of itself, which does not run here."""
    return "alertmanager_alerts{" in expr


def all_targets(shown: Shown) -> Iterator[tuple[Json, Json]]:
    for dashboard in shown.dashboards.values():
        yield from targets_of(dashboard)


async def test_every_target_is_scraped(shown: Shown) -> None:
    def up() -> list[float]:
        return [number for _, number in shown.prometheus.now("up")]

    await until(lambda: up() == [1.0] * len(up()) != [], "every target is up")


async def test_every_query_of_every_panel_finds_data(shown: Shown) -> None:
    queries = [target for _, target in all_targets(shown)]
    left = [one for one in queries if not has_no_status(shown, one["expr"]) and not of_alertmanager(one["expr"])]
    assert len(left) > 100
    wrong: list[str] = []

    def met() -> bool:
        nonlocal left, wrong
        found = [(target, why) for target in left if (why := answered(shown.prometheus, target, {}))]
        left, wrong = [target for target, _ in found], [why for _, why in found]
        return not wrong

    try:
        await until(met, "every query has data")
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *wrong])) from None


async def test_every_variable_has_choices_and_choosing_one_chooses(shown: Shown) -> None:
    for dashboard in shown.dashboards.values():
        chosen: Labels = {}
        for variable in dashboard["templating"]["list"]:
            if variable["type"] != "query":
                continue
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked is not None
            selector, label = filled(asked[1], chosen), asked[2]
            present = sorted(labels[label] for labels, _ in shown.prometheus.now(f"count by ({label}) ({selector})"))
            assert present and set(present) <= set(shown.prometheus.label_values(selector, label))
            chosen[variable["name"]] = SPECIAL.sub(r"\\\\\g<0>", present[0])  # as Grafana does
            for _, target in targets_of(dashboard):
                if f"${variable['name']}" not in target["expr"]:
                    continue
                for one in SELECTOR.findall(filled(target["expr"], chosen)):
                    found = {labels.get(label) for labels, _ in shown.prometheus.now(one)}
                    assert found <= {present[0]}, one
                    assert found or not one.startswith((names.KPI_VALUE, names.KPI_SAMPLES)), one


async def test_tables_have_the_columns_that_they_name(shown: Shown) -> None:
    for dashboard in shown.dashboards.values():
        for panel in panels_of(dashboard):
            if panel["type"] != "table":
                continue
            labels = {
                label
                for target in panel["targets"]
                for found, _ in shown.prometheus.now(filled(target["expr"], {}))
                for label in found
            }
            organized = panel["transformations"][-1]["options"]
            named = {name for name in organized["indexByName"] if not name.startswith("Value")}
            assert named <= labels, panel["title"]
            if "ALERTS" not in panel["targets"][0]["expr"]:  # those have the labels of their KPIs as well
                assert labels <= {*named, *organized["excludeByName"]}, panel["title"]


async def test_tiles_show_what_redis_has(shown: Shown) -> None:
    """Value and status of each KPI without dimensions, whose tile and strip follow each other."""
    plain = [name for name, kpi in shown.catalog.kpis.items() if not kpi.group_by]
    assert plain

    def differing() -> list[str]:
        wrong = []
        for kpi in plain:
            panels = panels_of(shown.dashboards[f"{names.dashboard_uid('kpi', shown.catalog.name, kpi)}.json"])
            queries = [target["expr"] for panel in panels[1:3] for target in panel["targets"]]
            expected = shown.present(kpi)
            for metric, number in expected.items():
                expr = filled(next((one for one in queries if f"{metric}{{" in one), "vector(NaN)"), {})
                [(_, found)] = shown.prometheus.now(expr)
                if repr(found) != repr(number):
                    wrong.append(f"{kpi}: {metric} is {found}, in Redis {number}")
        return wrong

    await until(lambda: not differing(), "tiles show what Redis has")
