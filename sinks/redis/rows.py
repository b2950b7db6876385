"""Rows of values as the scripts take them: MessagePack of texts, since numbers of Lua end at 2^53."""

from __future__ import annotations

import json
import math
from typing import Final

import msgspec
import polars as pl

from engine.values import (
    FEW,
    PACE_COLUMNS,
    KpiFacts,
    PaceTexts,
    ValueRows,
    dimension_object,
    has_pace,
    json_object,
    local_time,
    row_texts,
    utc_time,
)
from sinks.names import redis_key, redis_prefix

OTHER_HASH: Final = 2**64 - 1
_WEEK_MS: Final = 7 * 86_400_000
_END_OFFSET: Final = 2**62  # makes times before 1970 sort as text too

# The current hash, beside `order`. Empty means null.
FIELDS: Final = (
    "kpi",
    "unit",
    "definition",
    "dims",
    "window_start",
    "window_end",
    "state",
    "revision",
    "progress",
    "value",
    "reason",
    "samples",
    "watermark",
    "target",
    "status",
    "status_reason",
    "compare_value",
    "compare_change",
    "final_after",
)
# Behind those, where a KPI has pacing; ``write.lua`` takes them away where it has none any more.
PACE_FIELDS: Final = tuple(PACE_COLUMNS)
_encode = msgspec.msgpack.Encoder().encode


def ttl_ms(kpi: KpiFacts) -> int:
    """What the catalog says with ``expires``; else three times the window, at least 7 days."""
    if kpi.expires_us is not None:
        return kpi.expires_us // 1000
    return max(3 * kpi.length_us // 1000, _WEEK_MS)


def oldest_ms(kpi: KpiFacts) -> int | str:
    """How far behind the newest window those in history may end; empty where only their number is bounded."""
    return "" if kpi.expires_us is None else kpi.expires_us // 1000


def order_text(sequence: int, end_us: int, progress: int, revision: int) -> str:
    """The order of values of a series (protocol rule 14) as text that sorts: 20, 20, 20 and 10 digits."""
    return f"{sequence:020d}:{end_us + _END_OFFSET:020d}:{progress:020d}:{revision:010d}"


def keys(name: str, kpi: str) -> tuple[str, str, str, str]:
    """KEYS of ``write.lua``."""
    return (
        redis_key(name, kpi, "index"),
        redis_key(name, kpi, "rank"),
        redis_key(name, kpi, "newest"),
        redis_key(name, kpi, "updates"),
    )


def arguments(
    name: str, kpi: KpiFacts, payload: bytes, *, history: int, kpi_history: int, updates: int
) -> tuple[str | int | bytes, ...]:
    """ARGV of ``write.lua``. The three caps: history entries of a series, and of the KPI, and updates of the KPI."""
    return redis_prefix(name, kpi.name), ttl_ms(kpi), history, kpi_history, updates, payload, oldest_ms(kpi)


def payloads(rows: ValueRows, chunk: int) -> list[tuple[int, bytes]]:
    """The rows in chunks of at most so many: (rows, MessagePack)."""
    paced = has_pace(rows.frame)
    packed = _few(rows, paced=paced) if rows.frame.height <= FEW else _many(rows, paced=paced)
    parts = (packed[start : start + chunk] for start in range(0, len(packed), chunk))
    names = FIELDS + PACE_FIELDS if paced else FIELDS
    return [(len(part), _encode((names, part))) for part in parts]


def _few(rows: ValueRows, *, paced: bool) -> list[tuple[object, ...]]:
    """What `_many` gives, one by one."""
    kpi, frame = rows.kpi, rows.frame
    unit = kpi.unit or ""
    packed: list[tuple[object, ...]] = []
    for text, series, end_us in zip(row_texts(rows), frame["h"].to_list(), frame["window_end"].to_list(), strict=True):
        order = order_text(kpi.definition_sequence, end_us, text.progress, text.revision)
        score = text.value if series != OTHER_HASH and _is_number(text.value) else ""
        parts = (*text[1:-1], *text.pace) if paced else text[1:-1]
        values = ["" if part is None else str(part) for part in parts]
        fields = (kpi.name, unit, kpi.definition, *values)
        open_ = "1" if text.state == "open" else ""
        packed.append((text.dims, order, str(end_us // 1000), score, open_, text.json(kpi), fields))
    return packed


def _is_number(text: str | None) -> bool:
    if not text:
        return False
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _many(rows: ValueRows, *, paced: bool) -> list[tuple[object, ...]]:
    kpi, frame = rows.kpi, rows.frame
    number = pl.col("value").cast(pl.Float64, strict=False)
    ranked = number.is_finite() & (pl.col("h") != OTHER_HASH)
    pace = [_text_or_empty(name, kind) for name, kind in PACE_COLUMNS.items()] if paced else []
    texts = frame.select(
        "dims",
        _order(kpi).alias("order"),
        (pl.col("window_end") // 1000).cast(pl.String).alias("end_ms"),
        pl.when(ranked).then("value").otherwise(pl.lit("")).fill_null("").alias("score"),
        pl.when(pl.col("state") == "open").then(pl.lit("1")).otherwise(pl.lit("")).alias("open"),
        json_object(rows),
    )
    fields = frame.select(
        pl.lit(kpi.name).alias("kpi"),
        pl.lit(kpi.unit or "").alias("unit"),
        pl.lit(kpi.definition).alias("definition"),
        dimension_object(rows).alias("dims"),
        local_time(frame["window_start"], kpi.timezone).alias("window_start"),
        local_time(frame["window_end"], kpi.timezone).alias("window_end"),
        "state",
        pl.col("revision", "progress").cast(pl.String),
        pl.col("value", "reason").fill_null(""),
        pl.col("samples").cast(pl.String),
        utc_time(frame["watermark"]).fill_null("").alias("watermark"),
        pl.col("target", "status", "status_reason", "compare_value").fill_null(""),
        _text_or_empty("compare_change", pl.Float64()),
        local_time(frame["final_after"], kpi.timezone).fill_null("").alias("final_after"),
        *pace,
    )
    assert tuple(fields.columns) == (FIELDS + PACE_FIELDS if paced else FIELDS)
    values = zip(*(column.to_list() for column in fields.get_columns()), strict=True)
    return list(zip(*(column.to_list() for column in texts.get_columns()), values, strict=True))


def _text_or_empty(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.Float64:
        return pl.when(column.is_finite()).then(column.cast(pl.String)).otherwise(pl.lit("")).alias(name)
    return column.fill_null("")


def refill_arguments(
    name: str, kpi: KpiFacts, payload: bytes, *, history: int, kpi_history: int
) -> tuple[str | int | bytes, ...]:
    """ARGV of ``refill.lua``."""
    return redis_prefix(name, kpi.name), ttl_ms(kpi), history, kpi_history, payload, oldest_ms(kpi)


def refill_payload(series: dict[str, list[tuple[str, str]]]) -> bytes:
    """dims -> [(order, JSON)] as ``refill.lua`` takes it."""
    return _encode(list(series.items()))


def _order(kpi: KpiFacts) -> pl.Expr:
    return pl.concat_str(
        pl.lit(f"{kpi.definition_sequence:020d}:"),
        (pl.col("window_end") + _END_OFFSET).cast(pl.String).str.zfill(20),
        pl.lit(":"),
        pl.col("progress").cast(pl.String).str.zfill(20),
        pl.lit(":"),
        pl.col("revision").cast(pl.String).str.zfill(10),
    )


def object_of(fields: dict[str, str]) -> str:
    """The JSON object of a value, put together from its current hash: the same that `NAME.values` carries.

    A worker that knew nothing of pace wrote no fields of it.
    """
    quoted = {name: json.dumps(fields[name], ensure_ascii=False) if fields[name] else "null" for name in FIELDS}
    plain = {name: fields[name] or "null" for name in FIELDS}
    pace = PaceTexts(*(fields.get(name) or None for name in PACE_FIELDS)).json()
    compare = "null"
    if fields["compare_value"] or fields["compare_change"]:
        compare = f'{{"value":{plain["compare_value"]},"change":{plain["compare_change"]}}}'
    return (
        f'{{"kpi":{quoted["kpi"]},"dims":{fields["dims"]},"window":{{"start":{quoted["window_start"]},'
        f'"end":{quoted["window_end"]}}},"state":{quoted["state"]},"revision":{fields["revision"]},'
        f'"progress":{fields["progress"]},"value":{plain["value"]},"reason":{quoted["reason"]},'
        f'"samples":{fields["samples"]},"watermark":{quoted["watermark"]},"definition":{quoted["definition"]},'
        f'"unit":{quoted["unit"]},"target":{plain["target"]},"status":{quoted["status"]},'
        f'"status_reason":{quoted["status_reason"]},"pace":{pace},"compare":{compare},'
        f'"final_after":{quoted["final_after"]}}}'
    )
