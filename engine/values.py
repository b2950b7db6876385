"""A KPI's values as rows, and as the JSON object that Kafka, the API and the streams carry.

A frame of values has one row per revision of one series' value in one window, in the columns of `columns`:

- ``h`` UInt64: the series; ``dims`` String: its key form (``region=EU``, ``-`` without dimensions)
- ``dim.<name>`` String: each dimension as text, null where the dimension is null
- ``window_start``, ``window_end`` Int64: microseconds since the epoch, end excluded
- ``state`` String: open, closed, revised; ``revision``, ``progress``, ``samples`` Int64
- ``value`` String: JSON text with all digits, or null with a ``reason``
- ``watermark`` Int64: microseconds since the epoch
- ``target`` String, ``status`` String (ok, warning, critical), ``status_reason`` String: filled by `engine.targets`
- ``compare_value`` String (as ``value``), ``compare_change`` Float64 (a share: 0.055 is 5.5 % up)
- ``pace_way`` String (linear, seasonal), null where there is no pacing, and then all of these are: ``pace_share``
  Float64 (the value as a share of what is expected by now), ``pace_expected`` String (as ``value``), ``pace_elapsed``
  Float64 (0 to 1), ``pace_forecast``, ``pace_low``, ``pace_high`` String (at the grain's end, and the 80 % interval of
  that), ``pace_reason`` String: filled by `engine.pace`
- ``final_after`` Int64: the event time in microseconds after which the value can change no more
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from engine.event_time import NEVER
from engine.event_time.zones import zone

OTHER: Final = "__other__"
NULL: Final = "__null__"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What datetime can hold, one day within: local times of year 1 and 9999 must not fall off the edge.
_EARLIEST_US: Final = -62_135_510_400_000_000
_LATEST_US: Final = 253_402_214_400_000_000
_TO_ESCAPE: Final = r'["\\\x00-\x1f]'
# Up to so many rows are quicker one by one: a columnar expression of forty parts costs about a millisecond however few.
FEW: Final = 64
PACE_COLUMNS: Final[dict[str, pl.DataType]] = {
    "pace_share": pl.Float64(),
    "pace_expected": pl.String(),
    "pace_elapsed": pl.Float64(),
    "pace_forecast": pl.String(),
    "pace_low": pl.String(),
    "pace_high": pl.String(),
    "pace_way": pl.String(),
    "pace_reason": pl.String(),
}


@dataclass(frozen=True, slots=True)
class KpiFacts:
    """What all values of a KPI share as long as its definition lasts. ``length_us`` is its longest window."""

    name: str
    dimensions: tuple[tuple[str, str], ...]  # (name, kind) in catalog order
    unit: str | None
    timezone: str
    definition: str  # 12 hex digits
    definition_sequence: int
    favorable: str | None
    title: str
    owner: str | None
    goal: str | None
    category: str | None
    indicator: str | None
    length_us: int
    expires_us: int | None = None  # how long its history is kept, where the catalog says it


@dataclass(frozen=True, slots=True, eq=False)
class ValueRows:
    """Values of one KPI. The frame is brought into the form of `columns`; what it has beside them is left out.

    Raises polars' ColumnNotFoundError when a column is missing.
    """

    kpi: KpiFacts
    frame: pl.DataFrame

    def __post_init__(self) -> None:
        form = columns(tuple(name for name, _ in self.kpi.dimensions))
        if dict(self.frame.schema) != form or self.frame.columns != list(form):
            frame = self.frame.select(pl.col(name).cast(kind) for name, kind in form.items())
            object.__setattr__(self, "frame", frame)


@functools.lru_cache(maxsize=1024)
def columns(dimensions: tuple[str, ...]) -> dict[str, pl.DataType]:
    """Names and types of a frame of values with these dimensions."""
    text, whole = pl.String(), pl.Int64()
    return {
        "h": pl.UInt64(),
        "dims": text,
        **{f"dim.{name}": text for name in dimensions},
        "window_start": whole,
        "window_end": whole,
        "state": text,
        "revision": whole,
        "progress": whole,
        "value": text,
        "reason": text,
        "samples": whole,
        "watermark": whole,
        "target": text,
        "status": text,
        "status_reason": text,
        "compare_value": text,
        "compare_change": pl.Float64(),
        **PACE_COLUMNS,
        "final_after": whole,
    }


def has_pace(frame: pl.DataFrame) -> bool:
    """Whether any row is held to a pace."""
    ways = frame["pace_way"]
    return ways.null_count() < len(ways)


def render(rows: ValueRows) -> list[tuple[bytes, bytes]]:
    """The key and the JSON object of each row, in the rows' order, as `NAME.values` carries them."""
    if rows.frame.height <= FEW:
        name = rows.kpi.name
        return [(f"{name}|{text.dims}".encode(), text.json(rows.kpi).encode()) for text in row_texts(rows)]
    texts = rows.frame.select(record_key(rows.kpi), json_object(rows))
    keys, objects = (column.cast(pl.Binary).to_list() for column in texts.get_columns())
    return list(zip(keys, objects, strict=True))


class PaceTexts(NamedTuple):
    """The pace of one row as texts, in the order of `PACE_COLUMNS`; None where null."""

    share: str | None
    expected: str | None
    elapsed: str | None
    forecast: str | None
    low: str | None
    high: str | None
    way: str | None
    reason: str | None

    def json(self) -> str:
        if self.way is None:
            return "null"
        return (
            f'{{"share":{self.share or "null"},"expected":{self.expected or "null"},'
            f'"elapsed":{self.elapsed or "null"},"forecast":{self.forecast or "null"},'
            f'"forecast_low":{self.low or "null"},"forecast_high":{self.high or "null"},'
            f'"way":"{self.way}","reason":{_json_text(self.reason)}}}'
        )


NO_PACE: Final = PaceTexts(None, None, None, None, None, None, None, None)


class RowTexts(NamedTuple):
    """One row as texts, None where null: what `json_object` and its parts are, for few rows."""

    dims: str
    dimensions: str  # a JSON object
    window_start: str | None
    window_end: str | None
    state: str
    revision: int
    progress: int
    value: str | None
    reason: str | None
    samples: int
    watermark: str | None
    target: str | None
    status: str | None
    status_reason: str | None
    compare_value: str | None
    compare_change: str | None
    final_after: str | None
    pace: PaceTexts

    def json(self, kpi: KpiFacts) -> str:
        compare = "null"
        if self.compare_value is not None or self.compare_change is not None:
            compare = f'{{"value":{self.compare_value or "null"},"change":{self.compare_change or "null"}}}'
        return (
            f'{{"kpi":"{kpi.name}","dims":{self.dimensions},"window":{{"start":"{self.window_start}",'
            f'"end":"{self.window_end}"}},"state":"{self.state}","revision":{self.revision},"progress":{self.progress},'
            f'"value":{self.value or "null"},"reason":{_json_text(self.reason)},"samples":{self.samples},'
            f'"watermark":{_json_text(self.watermark)},"definition":"{kpi.definition}","unit":{_json_text(kpi.unit)},'
            f'"target":{self.target or "null"},"status":{_json_text(self.status)},'
            f'"status_reason":{_json_text(self.status_reason)},"pace":{self.pace.json()},"compare":{compare},'
            f'"final_after":{_json_text(self.final_after)}}}'
        )


_PLAIN_COLUMNS: Final = ("state", "revision", "progress", "value", "reason", "samples")
_TARGET_COLUMNS: Final = ("target", "status", "status_reason", "compare_value")


def row_texts(rows: ValueRows) -> list[RowTexts]:
    """Each row as texts, one by one."""
    kpi, frame = rows.kpi, rows.frame

    def times(column: str, timezone_name: str = kpi.timezone) -> list[str | None]:
        return [_iso_or_none(time_us, timezone_name) for time_us in frame[column].to_list()]

    dimensions = [(json.dumps(name), kind, frame[f"dim.{name}"].to_list()) for name, kind in kpi.dimensions]
    members = [
        "{" + ",".join(f"{name}:{_dimension_text(values[i], kind)}" for name, kind, values in dimensions) + "}"
        for i in range(frame.height)
    ]
    columns = (
        frame["dims"].to_list(),
        members,
        times("window_start"),
        times("window_end"),
        *(frame[column].to_list() for column in _PLAIN_COLUMNS),
        [text and text.replace("+00:00", "Z") for text in times("watermark", "UTC")],
        *(frame[column].to_list() for column in _TARGET_COLUMNS),
        _double_texts(frame["compare_change"]),
        times("final_after"),
        _pace_texts(frame),
    )
    return [RowTexts(*row) for row in zip(*columns, strict=True)]


def _pace_texts(frame: pl.DataFrame) -> list[PaceTexts]:
    if not has_pace(frame):
        return [NO_PACE] * frame.height
    columns = (frame[name] for name in PACE_COLUMNS)
    texts = [_double_texts(column) if column.dtype == pl.Float64 else column.to_list() for column in columns]
    return [PaceTexts(*row) for row in zip(*texts, strict=True)]


def _double_texts(column: pl.Series) -> list[str | None]:
    return [None if number is None or not math.isfinite(number) else repr(number) for number in column.to_list()]


def _dimension_text(value: str | None, kind: str) -> str:
    if kind == "string" or value is None or value == OTHER:
        return _json_text(value)
    return value


def _json_text(text: str | None) -> str:
    return "null" if text is None else json.dumps(text, ensure_ascii=False)


def record_key(kpi: KpiFacts) -> pl.Expr:
    """The Kafka key ``<kpi>|<dims>``; column ``key``."""
    return pl.concat_str(pl.lit(f"{kpi.name}|"), "dims").alias("key")


def json_object(rows: ValueRows) -> pl.Expr:
    """The value as one line of JSON; column ``json``. It fits this frame only: the distinct times are built in."""
    kpi, frame = rows.kpi, rows.frame
    null = pl.lit("null")
    change = pl.col("compare_change")
    compare = pl.concat_str(
        pl.lit('{"value":'),
        pl.col("compare_value").fill_null("null"),
        pl.lit(',"change":'),
        pl.when(change.is_finite()).then(change.cast(pl.String)).otherwise(null),
        pl.lit("}"),
    )
    has_compare = pl.col("compare_value").is_not_null() | change.is_finite().fill_null(False)
    return pl.concat_str(
        pl.lit(f'{{"kpi":{json.dumps(kpi.name)},"dims":{{'),
        *_dimension_members(kpi, frame),
        pl.lit('},"window":{"start":"'),
        local_time(frame["window_start"], kpi.timezone),
        pl.lit('","end":"'),
        local_time(frame["window_end"], kpi.timezone),
        pl.lit('"},"state":"'),
        "state",
        pl.lit('","revision":'),
        pl.col("revision").cast(pl.String),
        pl.lit(',"progress":'),
        pl.col("progress").cast(pl.String),
        pl.lit(',"value":'),
        pl.col("value").fill_null("null"),
        pl.lit(',"reason":'),
        _quoted(frame, "reason"),
        pl.lit(',"samples":'),
        pl.col("samples").cast(pl.String),
        pl.lit(',"watermark":'),
        _quote(utc_time(frame["watermark"])).fill_null("null"),
        pl.lit(f',"definition":"{kpi.definition}","unit":{json.dumps(kpi.unit)},"target":'),
        pl.col("target").fill_null("null"),
        pl.lit(',"status":'),
        _quoted(frame, "status"),
        pl.lit(',"status_reason":'),
        _quoted(frame, "status_reason"),
        pl.lit(',"pace":'),
        _pace_object(frame),
        pl.lit(',"compare":'),
        pl.when(has_compare).then(compare).otherwise(null),
        pl.lit(',"final_after":'),
        _quote(local_time(frame["final_after"], kpi.timezone)).fill_null("null"),
        pl.lit("}"),
    ).alias("json")


def _pace_object(frame: pl.DataFrame) -> pl.Expr:
    null = pl.lit("null")
    if not has_pace(frame):
        return null

    def number(name: str) -> pl.Expr:
        column = pl.col(name)
        if frame.schema[name] == pl.Float64:
            return pl.when(column.is_finite()).then(column.cast(pl.String)).otherwise(null)
        return column.fill_null("null")

    found = pl.concat_str(
        pl.lit('{"share":'),
        number("pace_share"),
        pl.lit(',"expected":'),
        number("pace_expected"),
        pl.lit(',"elapsed":'),
        number("pace_elapsed"),
        pl.lit(',"forecast":'),
        number("pace_forecast"),
        pl.lit(',"forecast_low":'),
        number("pace_low"),
        pl.lit(',"forecast_high":'),
        number("pace_high"),
        pl.lit(',"way":"'),
        "pace_way",
        pl.lit('","reason":'),
        _quoted(frame, "pace_reason"),
        pl.lit("}"),
    )
    return pl.when(pl.col("pace_way").is_not_null()).then(found).otherwise(null)


def dimension_object(rows: ValueRows) -> pl.Expr:
    """The dimensions alone as a JSON object; it fits this frame only."""
    members = _dimension_members(rows.kpi, rows.frame)
    return pl.concat_str(pl.lit("{"), *members, pl.lit("}")) if members else pl.lit("{}")


def local_time(times: pl.Series, timezone_name: str) -> pl.Expr:
    """``2026-10-24T00:00:00+02:00`` of each time in microseconds; null where null or beyond the years 1 to 9999."""
    return _texts_of(times, lambda time_us: _iso(time_us, timezone_name))


def utc_time(times: pl.Series) -> pl.Expr:
    """``2026-11-22T22:41:07Z`` of each time in microseconds; null where null or beyond the years 1 to 9999."""
    return _texts_of(times, lambda time_us: _iso(time_us, "UTC").replace("+00:00", "Z"))


def _texts_of(times: pl.Series, text: Callable[[int], str]) -> pl.Expr:
    """Many rows share few times, so each distinct one is written once."""
    values = (times.fill_null(NEVER) if times.null_count() else times).to_numpy()
    if not len(values) or (values == values[0]).all():
        return pl.lit(_text_of(int(values[0]), text) if len(values) else None, pl.String)
    distinct, row = np.unique(values, return_inverse=True)
    texts = [_text_of(time_us, text) for time_us in distinct.tolist()]
    return pl.lit(pl.Series(texts, dtype=pl.String).gather(row))


def _text_of(time_us: int, text: Callable[[int], str]) -> str | None:
    return text(time_us) if _EARLIEST_US <= time_us <= _LATEST_US else None


def _iso_or_none(time_us: int | None, timezone_name: str) -> str | None:
    return None if time_us is None else _text_of(time_us, lambda time_us: _iso(time_us, timezone_name))


@functools.lru_cache(maxsize=4096)
def _iso(time_us: int, timezone_name: str) -> str:
    offset_us = int(zone(timezone_name).to_local(np.array([time_us]))[0]) - time_us
    local = timezone(timedelta(microseconds=offset_us))
    return (_EPOCH + timedelta(microseconds=time_us)).astimezone(local).isoformat()


def _quote(text: pl.Expr) -> pl.Expr:
    return pl.concat_str(pl.lit('"'), text, pl.lit('"'))


def _quoted(frame: pl.DataFrame, column: str) -> pl.Expr:
    """A column as JSON strings, ``null`` where null. Escaping is a Python call a row, so only rows that need it pay."""
    texts = frame[column]
    if texts.null_count() == len(texts):
        return pl.lit("null")
    plain = _quote(pl.col(column)).fill_null("null")
    to_escape = texts.str.contains(_TO_ESCAPE)
    if not to_escape.any():
        return plain
    escaped = pl.col(column).map_elements(lambda text: json.dumps(text, ensure_ascii=False), return_dtype=pl.String)
    return pl.when(pl.lit(to_escape)).then(escaped).otherwise(plain)


def _dimension_members(kpi: KpiFacts, frame: pl.DataFrame) -> list[pl.Expr]:
    """``"name":value`` of each dimension. The folded rest is the string ``__other__`` whatever the dimension's type."""
    members: list[pl.Expr] = []
    for position, (name, kind) in enumerate(kpi.dimensions):
        column = f"dim.{name}"
        value = pl.col(column)
        members.append(pl.lit(f"{',' if position else ''}{json.dumps(name)}:"))
        if kind == "string":
            members.append(_quoted(frame, column))
        else:
            members.append(pl.when(value == OTHER).then(pl.lit(f'"{OTHER}"')).otherwise(value.fill_null("null")))
    return members
