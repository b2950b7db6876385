"""Published values against expected ones: every difference, none forgiven that the catalog does not forgive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import msgspec

from engine.catalog.model import Catalog
from tests.oracle.answers import Answer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A relative change is published as a double of unstated digits.
_CHANGE_SLACK = 5e-4


class Window(msgspec.Struct):
    start: str
    end: str


class Comparison(msgspec.Struct):
    value: Decimal | None = None
    change: float | None = None


class Value(msgspec.Struct):
    """What the comparison needs of a value object; the other members are passed over."""

    kpi: str
    dims: dict[str, str | int | bool | None]
    window: Window
    state: str
    revision: int
    progress: int
    value: Decimal | None
    reason: str | None
    samples: int
    compare: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    kpi: str
    dims: tuple[str | None, ...]
    start: str
    end: str
    what: str
    expected: object
    actual: object

    def __str__(self) -> str:
        dims = ",".join("null" if d is None else d for d in self.dims) or "-"
        return f"{self.kpi}|{dims} [{self.start}, {self.end}): {self.what}: expected {self.expected}, got {self.actual}"


Key = tuple[str, tuple[str | None, ...], int, int]


class Published:
    """The last revision of every closed window, as records of the values topic arrive in offset order of their
    partitions."""

    def __init__(self, catalog: Catalog) -> None:
        self._dimensions = {kpi.name: kpi.group_by for kpi in catalog.kpis.values()}
        self._decoder = msgspec.json.Decoder(Value)
        self.closed: dict[Key, Value] = {}
        self.seen = 0

    def add(self, records: Iterable[bytes]) -> None:
        for record in records:
            self.add_value(self._decoder.decode(record))

    def add_value(self, value: Value) -> None:
        self.seen += 1
        if value.state not in ("closed", "revised"):
            return
        dims = tuple(_text(value.dims[name]) for name in self._dimensions[value.kpi])
        key = (value.kpi, dims, instant_us(value.window.start), instant_us(value.window.end))
        known = self.closed.get(key)
        if known is None or (value.progress, value.revision) >= (known.progress, known.revision):
            self.closed[key] = value


def compare(
    expected: Iterable[Answer], actual: Published | Mapping[Key, Value], *, closed_upto_us: int | None = None
) -> list[Difference]:
    """Every difference between ``expected`` and ``actual``, in expected order, then what was published and not
    expected.

    Windows that end after ``closed_upto_us`` are passed over in ``actual``; by default those that end after the last
    expected one of their KPI are (the clock may have closed them).
    """
    found = actual.closed if isinstance(actual, Published) else actual
    differences: list[Difference] = []
    expected_keys: set[Key] = set()
    last_end: dict[str, int] = {}
    for answer in expected:
        key = (answer.kpi, answer.dims, answer.start_us, answer.end_us)
        expected_keys.add(key)
        last_end[answer.kpi] = max(last_end.get(answer.kpi, answer.end_us), answer.end_us)
        value = found.get(key)
        if value is None:
            differences.append(_difference(answer, "value", _shown(answer), "nothing"))
        else:
            differences.extend(_differences(answer, value))
    for key, value in found.items():
        kpi, dims, start, end = key
        if key not in expected_keys and end <= (last_end.get(kpi, end) if closed_upto_us is None else closed_upto_us):
            differences.append(Difference(kpi, dims, iso(start), iso(end), "value", "nothing", value.value))
    return differences


def _differences(answer: Answer, value: Value) -> Iterable[Difference]:
    if value.samples != answer.samples:
        yield _difference(answer, "samples", answer.samples, value.samples)
    if not _agrees(answer.value, answer.low, answer.high, value.value):
        yield _difference(answer, "value", _shown(answer), value.value)
    if (value.value is None) != (value.reason is not None) or (
        answer.reason == "zero_denominator" and value.reason != "zero_denominator"
    ):
        yield _difference(answer, "reason", answer.reason, value.reason)
    if answer.compared is not None:
        wanted = answer.compared
        got = value.compare or Comparison()
        if not _agrees(wanted.value, wanted.low, wanted.high, got.value):
            yield _difference(answer, "compare.value", wanted.value, got.value)
        elif wanted.change is not None and (
            got.change is None or abs(got.change - wanted.change) > _CHANGE_SLACK * max(1.0, abs(wanted.change))
        ):
            yield _difference(answer, "compare.change", wanted.change, got.change)


def _agrees(value: Decimal | None, low: Decimal | None, high: Decimal | None, actual: Decimal | None) -> bool:
    if value is None or actual is None:
        return value is None and actual is None
    if low is None or high is None:
        return actual == value
    return low <= actual <= high


def _shown(answer: Answer) -> object:
    return answer.value if answer.low is None else f"{answer.value} in [{answer.low}, {answer.high}]"


def _difference(answer: Answer, what: str, expected: object, actual: object) -> Difference:
    return Difference(answer.kpi, answer.dims, iso(answer.start_us), iso(answer.end_us), what, expected, actual)


def _text(dimension: str | int | bool | None) -> str | None:
    if isinstance(dimension, bool):
        return "true" if dimension else "false"
    return None if dimension is None else str(dimension)


@lru_cache(maxsize=100_000)
def instant_us(text: str) -> int:
    """RFC 3339 text as microseconds since the epoch."""
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


def iso(us: int) -> str:
    return (_EPOCH + us * _MICROSECOND).isoformat().replace("+00:00", "Z")
