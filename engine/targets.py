"""Which objective a value is held to, and how it stands against it.

The law: a value meets its objective (``ok``), misses it by at most ``warn_within`` of it (``warning``), or by more
(``critical``). A value of a calendar grain that is not over yet has no status here (with pacing it gets one from
`engine.pace`), and a missing value never has one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

import numpy as np
import polars as pl

from engine.catalog.model import Calendar, Cumulate, Kpi, Objective, Tumble
from engine.event_time import NEVER
from engine.event_time.calendars import LocalCalendar
from engine.event_time.zones import Times
from engine.keyed_rows import Indexes, Mask
from engine.values import FEW, NULL

Status = Literal["ok", "warning", "critical"]
_FILLED: Final = ("target", "status", "status_reason")
_MOST_SHOWN: Final = 1_000_000  # per cent
_LEAST_SHOWN: Final = 0.05  # of a per cent: below, one decimal would read "0.0 %"


def with_targets(frame: pl.DataFrame, kpi: Kpi) -> pl.DataFrame:
    """Fill ``target``, ``status`` and ``status_reason`` of a frame of values; all null where no objective applies.

    Of several objectives that apply, the one with the most ``where`` conditions holds, then the latest ``valid_from``,
    then the last written. An objective is valid for windows that reach into its first local day. ``target`` of
    ``between`` is the nearer bound.
    """
    ranked = by_rank(kpi)
    bounds = [Bounds.of(objective) for objective in ranked]
    judged = frame
    if any(name not in frame.columns for name in _FILLED):
        judged = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in _FILLED)
    if not bounds or frame.is_empty():
        return judged
    if frame.height <= FEW:
        return _each_judged(judged, kpi, list(zip(ranked, bounds, strict=True)))
    holding = held(frame, kpi)
    judged = judged.with_columns(
        pl.Series("_held", holding),
        _value=pl.col("value").cast(pl.Float64, strict=False),
        _unfinished=_unfinished(frame, kpi),
    )
    chosen = set(np.unique(holding).tolist())
    for position, bound in enumerate(bounds):
        if position in chosen:
            judged = _judged(judged, position, bound)
    return judged.drop("_held", "_value", "_unfinished")


def by_rank(kpi: Kpi) -> list[Objective]:
    """The objectives, the one that holds before all others last."""
    ranks = [(len(objective.where), objective.valid_from or "", n) for n, objective in enumerate(kpi.objectives)]
    return [kpi.objectives[n] for _, _, n in sorted(ranks)]


def held(frame: pl.DataFrame, kpi: Kpi) -> Indexes:
    """Which objective each row is held to, as its position in `by_rank`; -1 where none applies."""
    found = np.full(frame.height, -1, dtype=np.int64)
    for position, objective in enumerate(by_rank(kpi)):
        found[_applies(frame, objective, kpi.calendar)] = position
    return found


def _each_judged(frame: pl.DataFrame, kpi: Kpi, held: list[tuple[Objective, Bounds]]) -> pl.DataFrame:
    """What `with_targets` says, one row after the other, for few rows."""
    dimensions = {name: frame[f"dim.{name}"].to_list() for objective, _ in held for name in objective.where}
    from_us = [
        NEVER if objective.valid_from is None else _local_midnight_us(objective.valid_from, kpi.calendar)
        for objective, _ in held
    ]
    ends = frame["window_end"].to_list()
    values, reasons = frame["value"].to_list(), frame["reason"].to_list()
    unfinished = _each_unfinished(frame, kpi)
    targets: list[str | None] = [None] * frame.height
    statuses: list[str | None] = [None] * frame.height
    distances: list[str | None] = [None] * frame.height
    for i in range(frame.height):
        for (objective, bounds), valid_from_us in zip(reversed(held), reversed(from_us), strict=True):
            shown = {name: dimensions[name][i] for name in objective.where}
            if ends[i] <= valid_from_us or any((shown[n] or NULL) != text for n, text in objective.where.items()):
                continue
            value = _decimal(values[i])
            targets[i] = bounds.target(value)
            distances[i] = bounds.distance(value, values[i]) if value is not None else reasons[i] or "no value"
            statuses[i] = bounds.judge(value) if value is not None and not unfinished[i] else None
            break
    judged = frame.clone()
    for name, texts in zip(_FILLED, (targets, statuses, distances), strict=True):
        judged.replace_column(frame.get_column_index(name), pl.Series(name, texts, dtype=pl.String))
    return judged


def _decimal(text: str | None) -> Decimal | None:
    """The number of a JSON text; None where there is none."""
    try:
        value = Decimal(text or "")
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


@dataclass(frozen=True, slots=True)
class Bounds:
    """An objective as a lower and an upper bound, either may be missing, and the bounds of warning beyond them."""

    lower: Decimal | None
    upper: Decimal | None
    warn_lower: Decimal | None
    warn_upper: Decimal | None

    @classmethod
    def of(cls, objective: Objective) -> Bounds:
        lower = None if objective.op == "lte" else objective.value
        upper = objective.value if objective.op == "lte" else objective.upper if objective.op == "between" else None
        slack = objective.warn_within
        return cls(
            lower,
            upper,
            None if lower is None else lower - abs(lower) * slack,
            None if upper is None else upper + abs(upper) * slack,
        )

    @property
    def all(self) -> tuple[Decimal, ...]:
        return tuple(bound for bound in (self.lower, self.upper, self.warn_lower, self.warn_upper) if bound is not None)

    def judge(self, value: Decimal) -> Status:
        if _outside(value, self.warn_lower, self.warn_upper):
            return "critical"
        return "warning" if _outside(value, self.lower, self.upper) else "ok"

    def target(self, value: Decimal | None) -> str:
        """The bound, or the nearer one of two."""
        if self.lower is None or self.upper is None:
            return _digits(self.lower if self.lower is not None else self.upper)
        upper_is_nearer = value is not None and float(value) > float(self.lower + self.upper) / 2
        return _digits(self.upper if upper_is_nearer else self.lower)

    def distance(self, value: Decimal, text: str) -> str:
        """How far the value, shown as ``text``, is from the bound, as `_distance`."""
        lower, upper, number = self.lower, self.upper, float(value)
        if lower is None or upper is None:
            target = lower if lower is not None else upper
            assert target is not None
            return "on target" if number == float(target) else _text_from(value, text, target, "target")
        if number < float(lower):
            return _text_from(value, text, lower, _digits(lower))
        if number > float(upper):
            return _text_from(value, text, upper, _digits(upper))
        return f"within {_digits(lower)} to {_digits(upper)}"


def _outside(value: Decimal, lower: Decimal | None, upper: Decimal | None) -> bool:
    return (lower is not None and value < lower) or (upper is not None and value > upper)


def _judged(frame: pl.DataFrame, position: int, bounds: Bounds) -> pl.DataFrame:
    """Fill the rows that are held to the objective at this position."""
    value = pl.col("_value")
    mine = pl.col("_held") == position
    valued = value.is_not_null()
    status = (
        pl.when(_beyond(value, bounds.warn_lower, bounds.warn_upper))
        .then(pl.lit("critical"))
        .when(_beyond(value, bounds.lower, bounds.upper))
        .then(pl.lit("warning"))
        .otherwise(pl.lit("ok"))
    )
    missing = pl.col("reason").fill_null("no value")
    return _judged_exactly(
        frame.with_columns(
            target=pl.when(mine).then(_target(value, bounds)).otherwise("target"),
            status=pl.when(mine & valued & ~pl.col("_unfinished")).then(status).otherwise("status"),
            status_reason=pl.when(mine)
            .then(pl.when(valued).then(_distance(value, bounds)).otherwise(missing))
            .otherwise("status_reason"),
        ),
        mine,
        bounds,
    )


def _judged_exactly(frame: pl.DataFrame, mine: pl.Expr, bounds: Bounds) -> pl.DataFrame:
    """Judge by their digits the rows whose value equals a bound as a double: rounding keeps the order of all others."""
    doubles = pl.Series([float(bound) for bound in bounds.all])
    ties = mine & pl.col("status").is_not_null() & pl.col("_value").is_in(doubles.implode())
    positions = frame.select(ties.arg_true()).to_series()
    if positions.is_empty():
        return frame
    texts = frame["value"].gather(positions).to_list()
    exact = pl.Series([bounds.judge(Decimal(text)) for text in texts], dtype=pl.String)
    return frame.with_columns(frame["status"].scatter(positions, exact))


def _beyond(value: pl.Expr, lower: Decimal | None, upper: Decimal | None) -> pl.Expr:
    beyond = pl.lit(False)
    if lower is not None:
        beyond = beyond | (value < float(lower))
    if upper is not None:
        beyond = beyond | (value > float(upper))
    return beyond


def _target(value: pl.Expr, bounds: Bounds) -> pl.Expr:
    lower, upper = bounds.lower, bounds.upper
    if lower is None or upper is None:
        return pl.lit(_digits(lower if lower is not None else upper))
    return pl.when(value > float(lower + upper) / 2).then(pl.lit(_digits(upper))).otherwise(pl.lit(_digits(lower)))


def _distance(value: pl.Expr, bounds: Bounds) -> pl.Expr:
    """``1.1 % above target``; for a range ``within 10 to 20`` or the distance to the bound it missed."""
    lower, upper = bounds.lower, bounds.upper
    if lower is None or upper is None:
        target = lower if lower is not None else upper
        assert target is not None
        return pl.when(value == float(target)).then(pl.lit("on target")).otherwise(_from(value, target, "target"))
    return (
        pl.when(value < float(lower))
        .then(_from(value, lower, _digits(lower)))
        .when(value > float(upper))
        .then(_from(value, upper, _digits(upper)))
        .otherwise(pl.lit(f"within {_digits(lower)} to {_digits(upper)}"))
    )


def _from(value: pl.Expr, bound: Decimal, name: str) -> pl.Expr:
    side = pl.when(value > float(bound)).then(pl.lit(f" above {name}")).otherwise(pl.lit(f" below {name}"))
    if bound == 0:
        return pl.concat_str(pl.col("value").str.strip_prefix("-"), side)
    tenths = ((value - float(bound)).abs() * _tenths_per_unit(bound)).clip(0, _MOST_SHOWN * 10 + 1)
    whole = tenths.round(0, mode="half_to_even").cast(pl.Int64)
    shown = pl.concat_str((whole // 10).cast(pl.String), pl.lit("."), (whole % 10).cast(pl.String), pl.lit(" %"))
    shown = pl.when(tenths > _MOST_SHOWN * 10).then(pl.lit(f"more than {_MOST_SHOWN} %")).otherwise(shown)
    return pl.concat_str(pl.when(tenths < _LEAST_SHOWN * 10).then(pl.lit("less than 0.1 %")).otherwise(shown), side)


def _tenths_per_unit(bound: Decimal) -> float:
    """Tenths of a per cent of the bound in one unit of the value: Polars divides by multiplying, so both ways do."""
    return 1000 / abs(float(bound))


def _text_from(value: Decimal, text: str, bound: Decimal, name: str) -> str:
    """What `_from` says of one value, to the letter."""
    side = f" {'above' if float(value) > float(bound) else 'below'} {name}"
    if bound == 0:
        return f"{text.removeprefix('-')}{side}"
    tenths = abs(float(value) - float(bound)) * _tenths_per_unit(bound)
    if tenths < _LEAST_SHOWN * 10:
        return f"less than 0.1 %{side}"
    if tenths > _MOST_SHOWN * 10:
        return f"more than {_MOST_SHOWN} %{side}"
    whole = round(tenths)
    return f"{whole // 10}.{whole % 10} %{side}"


def _digits(bound: Decimal | None) -> str:
    return "" if bound is None else format(bound, "f")


def _applies(frame: pl.DataFrame, objective: Objective, calendar: Calendar) -> Mask:
    found = np.ones(frame.height, dtype=np.bool_)
    for name, value in objective.where.items():
        column = frame[f"dim.{name}"]
        found &= (column.is_null() if value == NULL else (column == value).fill_null(False)).to_numpy()
    if objective.valid_from is not None:
        found &= frame["window_end"].to_numpy() > _local_midnight_us(objective.valid_from, calendar)
    return found


@functools.lru_cache(maxsize=1024)
def _local_midnight_us(day: str, calendar: Calendar) -> int:
    days = date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()
    return int(LocalCalendar(calendar).day_starts(np.array([days]))[0])


def unfinished(frame: pl.DataFrame, kpi: Kpi) -> Mask:
    """Whether the calendar grain of each row's window is not over yet."""
    return frame.select(_unfinished(frame, kpi).alias("unfinished"))["unfinished"].to_numpy()


def _unfinished(frame: pl.DataFrame, kpi: Kpi) -> pl.Expr:
    match kpi.window:
        case Tumble(grain=None):
            return pl.lit(False)
        case Tumble():
            return pl.col("state") == "open"
        case Cumulate():
            whole = _whole(frame["window_end"].unique().to_numpy(), kpi)
            return (pl.col("state") == "open") | ~pl.col("window_end").is_in(whole.tolist())
        case _:
            return pl.lit(False)


def _each_unfinished(frame: pl.DataFrame, kpi: Kpi) -> list[bool]:
    """What `_unfinished` says, row by row."""
    match kpi.window:
        case Tumble(grain=None):
            return [False] * frame.height
        case Tumble():
            return [state == "open" for state in frame["state"].to_list()]
        case Cumulate():
            ends = frame["window_end"].to_numpy()
            whole = np.isin(ends, _whole(np.unique(ends), kpi)).tolist()
            return [state == "open" or not over for state, over in zip(frame["state"].to_list(), whole, strict=True)]
        case _:
            return [False] * frame.height


def _whole(ends: Times, kpi: Kpi) -> Times:
    """The ends of windows at which a grain ends."""
    assert isinstance(kpi.window, Cumulate)
    whole: Times = ends[LocalCalendar(kpi.calendar).begin_grains(kpi.window.grain, ends)]
    return whole
