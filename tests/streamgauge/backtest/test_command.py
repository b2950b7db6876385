"""`streamgauge backtest`: its answers, its page, and what it says of mistakes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.streamgauge.backtest.conftest import CATALOG, lines
from tests.streamgauge.conftest import Run


def test_a_table_a_file_and_a_page(streamgauge: Run, shop: Path, orders: Path, tmp_path: Path) -> None:
    (tmp_path / "incidents.csv").write_text(
        "kpi,from,to,comment\nrevenue_hour,2026-01-04T09:00Z,2026-01-04T12:00Z,till down\n"
    )
    ended = streamgauge(
        "backtest", shop, f"orders={orders}", "--incidents", tmp_path / "incidents.csv", "--out", tmp_path / "out",
        "--from", "2026-01-02",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    report = json.loads((tmp_path / "out" / "backtest.json").read_text())
    assert report["from"] == "2026-01-02T00:00:00Z" and report["events"]["accepted"] == len(lines())
    low = report["alerts"][0]
    assert (low["kpi"], low["alert"]) == ("revenue_hour", "Low") and low["pages"] > 0
    assert low["detected"] == 1 and low["incidents"][0]["comment"] == "till down"
    row = next(line for line in ended.out.splitlines() if line.startswith("revenue_hour  ") and " Low " in line)
    assert row.split()[2] == str(low["pages"])
    page = (tmp_path / "out" / "backtest.html").read_text()
    images = Images()
    images.feed(page)
    assert len(images.sources) == 3 and all(source.startswith("data:image/svg+xml;") for source in images.sources)
    assert not re.search(r"(?:src|href)=.https?:", page)


class Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")


def test_json_of_one_kpi_twice_the_same(streamgauge: Run, shop: Path, orders: Path) -> None:
    arguments = ("backtest", shop, f"orders={orders}", "--kpi", "revenue_hour", "--format", "json", "--suggest")
    once, again = streamgauge(*arguments), streamgauge(*arguments)
    assert once.code == 0 and once.out == again.out
    report = json.loads(once.out)
    assert [one["alert"] for one in report["alerts"]] == ["Low", "Lowish"]
    assert [one["alert"] for one in report["suggestions"]] == ["Low", "Lowish"]


def test_csv_says_the_same_as_json_lines(streamgauge: Run, shop: Path, orders: Path, tmp_path: Path) -> None:
    events = [json.loads(line) for line in lines()]
    table = tmp_path / "orders.csv"
    table.write_text("at,region,amount\n" + "".join(f"{e['at']},{e['region']},{e['amount']}\n" for e in events))
    found = [streamgauge("backtest", shop, f"orders={file}", "--format", "json") for file in (orders, table)]
    assert found[0].code == 0 and found[0].out == found[1].out


NO_ALERTS = re.sub(r"    alerts:\n(?:      - .*\n)+", "", CATALOG).split("silences:")[0]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--kpi", "sales"), 2, "catalog shop has no KPI 'sales'; it has revenue_hour"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), 2, "--from 2026-02-01 is not before --to 2026-01-01"),
        (("--from", "someday"), 2, "--from someday: write a time as"),
        (("--from", "2027-01-01"), 1, "there are no events from --from on"),
        (("--to", "2030-01-01"), 1, "more than 366 days later"),
        (("--budget", "few"), 2, "--budget few is no budget; write 2/month"),
        (("--incidents", "nowhere.yaml"), 1, "nowhere.yaml does not exist"),
    ],
)
def test_mistakes(streamgauge: Run, shop: Path, orders: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    ended = streamgauge("backtest", shop, f"orders={orders}", *arguments)
    assert ended.code == code and said in ended.err


def test_mistakes_about_files(streamgauge: Run, shop: Path, orders: Path, tmp_path: Path) -> None:
    missing = streamgauge("backtest", shop, f"orders={tmp_path / 'gone.jsonl'}")
    assert missing.code == 1 and "gone.jsonl does not exist" in missing.err
    unnamed = streamgauge("backtest", shop, orders)
    assert unnamed.code == 2 and "write SOURCE=FILE; the sources are orders" in unnamed.err
    unknown = streamgauge("backtest", shop, f"sales={orders}")
    assert unknown.code == 2 and "has no source 'sales'" in unknown.err
    neither = streamgauge("backtest", shop)
    assert neither.code == 2 and "SOURCE=FILE, or --brokers" in neither.err


def test_a_catalog_without_alerts(streamgauge: Run, shop: Path, orders: Path) -> None:
    shop.write_text(NO_ALERTS)
    ended = streamgauge("backtest", shop, f"orders={orders}")
    assert ended.code == 1 and "catalog shop has no alerts; there is nothing to test" in ended.err


def test_of_the_topic_as_of_the_file(streamgauge: Run, shop: Path, orders: Path, kafka: str) -> None:
    assert streamgauge("topics", shop, "--brokers", kafka, "--partitions", 2).code == 0
    assert streamgauge("send", shop, "orders", orders, "--brokers", kafka).code == 0
    topic = streamgauge("backtest", shop, "--brokers", kafka, "--format", "json")
    file = streamgauge("backtest", shop, f"orders={orders}", "--format", "json")
    assert topic.code == 0, topic.err
    assert json.loads(topic.out)["alerts"] == json.loads(file.out)["alerts"]
