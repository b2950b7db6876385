"""What the closed windows must say, summed by DuckDB, and how what was published differs from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import msgspec
import polars as pl
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from streamgauge.retail import EPOCH, MICROSECOND, TIMEZONE, TillLines

Place = tuple[str, str | None, int, int]  # kpi, department, window start and end in us
CLOSED = ("closed", "revised")
_DAYS = 30

_ANSWERS = {
    "sales_per_hour": "sum(sales), null, s.kpi = 'sales_per_hour'",
    "sales_today": "sum(sales), null, s.kpi = 'sales_today'",
    "baskets_today": "count(distinct basket), null, s.kpi = 'baskets_today'",
    "sales_by_department_30d": "sum(sales), department, s.kpi = 'sales_by_department_30d'",
}


def expected(lines: TillLines, until: datetime) -> dict[Place, Decimal]:
    """The value of every window of these KPIs that holds a line and ends by `until`."""
    frame = pl.read_parquet(lines.path, columns=["sales_value", "department", "basket_id"])
    events = pl.DataFrame(
        {
            "t": lines.sold_us,
            "sales": frame["sales_value"],
            "department": frame["department"],
            "basket": frame["basket_id"],
        }
    ).to_arrow()
    first, last = lines.sold_at(0), lines.sold_at(lines.rows - 1)
    spans = pl.DataFrame(list(_spans(first, last, until)), schema=["kpi", "starts", "ends"], orient="row").to_arrow()
    found: dict[Place, Decimal] = {}
    with duckdb.connect() as connection:
        connection.sql("set threads = 1")
        connection.register("spans", spans)
        connection.register("events", events)
        connection.sql(
            "create table lines as select t, cast(sales as decimal(12,2)) as sales, department, basket from events"
        )
        for kpi, text in _ANSWERS.items():
            value, dimension, chosen = text.rsplit(", ", 2)
            rows = connection.sql(
                f"select {dimension} as dimension, s.starts, s.ends, {value} from spans s join lines l "
                f"on l.t >= s.starts and l.t < s.ends where {chosen} group by all"
            ).fetchall()
            for department, start, end, result in rows:
                found[kpi, department, start, end] = Decimal(result)
    return found


def _spans(first: datetime, last: datetime, until: datetime) -> Iterator[tuple[str, int, int]]:
    """The windows of the four KPIs, in us; days begin at local midnight."""
    zone = ZoneInfo(TIMEZONE)
    hour = timedelta(hours=1)
    day = first.astimezone(zone).date()
    while day <= last.astimezone(zone).date() + timedelta(days=_DAYS):
        midnight, following = (_midnight(day + timedelta(days=days), zone) for days in (0, 1))
        begins = midnight
        while begins < following:
            if begins + hour <= until:
                yield "sales_per_hour", _us(begins), _us(begins + hour)
                yield "sales_today", _us(midnight), _us(begins + hour)
                yield "baskets_today", _us(midnight), _us(begins + hour)
            begins += hour
        if following <= until:
            earlier = _midnight(day + timedelta(days=1 - _DAYS), zone)
            yield "sales_by_department_30d", _us(earlier), _us(following)
        day += timedelta(days=1)


def _midnight(day: Any, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(EPOCH.tzinfo)


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


class _Window(msgspec.Struct):
    start: str
    end: str


class Value(msgspec.Struct):
    """What is compared of a published value."""

    kpi: str
    dims: dict[str, str | int | None]
    window: _Window
    state: str
    revision: int
    progress: int
    value: Decimal | None
    samples: int


@dataclass
class Published:
    """The newest value of each window, and of each series."""

    windows: dict[Place, Value] = field(default_factory=dict)
    series: dict[tuple[str, str], tuple[tuple[int, int, int], Value]] = field(default_factory=dict)
    records: int = 0
    went_back: int = 0  # values whose progress lies below one that was published before

    def take(self, key: bytes, raw: bytes, times: dict[str, int]) -> int:
        """Takes one record in; the end of its window in us."""
        value = _DECODER.decode(raw)
        start, end = (_moment(text, times) for text in (value.window.start, value.window.end))
        self.records += 1
        department = value.dims.get("department")
        if not value.dims or department is not None or "department" in value.dims:
            place = (value.kpi, None if department is None else str(department), start, end)
            known = self.windows.get(place)
            if known is None or (value.progress, value.revision) >= (known.progress, known.revision):
                self.windows[place] = value
            else:
                self.went_back += 1
        series = value.kpi, key.decode().partition("|")[2]
        order = (end, value.progress, value.revision)
        if series not in self.series or order >= self.series[series][0]:
            self.series[series] = order, value
        return end

    def differences(self, answers: Mapping[Place, Decimal]) -> list[str]:
        """Where closed windows are missing or not equal."""
        wrong = []
        for place, right in answers.items():
            value = self.windows.get(place)
            if value is None or value.state not in CLOSED:
                wrong.append(f"{_shown(place)} is {'missing' if value is None else value.state}, expected {right}")
            elif value.value != right:
                wrong.append(f"{_shown(place)} is {value.value}, expected {right}")
        kpis = {place[0] for place in answers}
        for place, value in self.windows.items():
            if place[0] in kpis and value.state in CLOSED and value.samples and place not in answers:
                wrong.append(f"{_shown(place)} is {value.value} of {value.samples} samples, expected nothing")
        return wrong


_DECODER = msgspec.json.Decoder(Value)


def _moment(text: str, times: dict[str, int]) -> int:
    moment = times.get(text)
    if moment is None:
        moment = times[text] = _us(datetime.fromisoformat(text))
    return moment


def _shown(place: Place) -> str:
    kpi, department, start, end = place
    begins, ends = (EPOCH + moment * MICROSECOND for moment in (start, end))
    return f"{kpi} {department or '-'} [{begins:%Y-%m-%dT%H:%M}, {ends:%Y-%m-%dT%H:%M})"


@dataclass
class Reader:
    """Reads a values topic further each time."""

    brokers: str
    topic: str
    partitions: int
    published: Published = field(default_factory=Published)
    _times: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": self.brokers, "group.id": f"soak-{self.topic}", "enable.auto.commit": False}
        )
        self._consumer.assign([TopicPartition(self.topic, n, OFFSET_BEGINNING) for n in range(self.partitions)])

    def further(self) -> int:
        """Takes in what is there; how many records came."""
        came = 0
        while messages := self._consumer.consume(10_000, 1.0):
            for message in messages:
                key, value = message.key(), message.value()
                if message.error() is None and key is not None and value is not None:
                    self.published.take(key, value, self._times)
                    came += 1
        return came

    def close(self) -> None:
        self._consumer.close()


def dead_letters(brokers: str, topic: str, partitions: int) -> dict[str, int]:
    """Reason -> refused events, each counted once however often it was written."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": f"soak-{topic}", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(partitions)])
    reasons: dict[tuple[bytes, bytes], str] = {}
    try:
        while messages := consumer.consume(10_000, 5.0):
            for message in messages:
                headers: dict[str, Any] = dict(message.headers() or ())
                if message.error() is None:
                    origin = headers["kpi.errors.partition"], headers["kpi.errors.offset"]
                    reasons[origin] = headers["kpi.errors.reason"].decode()
    finally:
        consumer.close()
    counts: dict[str, int] = {}
    for reason in reasons.values():
        counts[reason] = counts.get(reason, 0) + 1
    return counts
