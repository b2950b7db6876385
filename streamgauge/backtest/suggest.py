"""Other bounds, ``for`` and recovery of a threshold alert: those that miss the fewest breaches within so many pages.

Candidates are held to the values that were recorded, through the state machine of the engine. What should be caught are
the labelled incidents of the KPI; where there are none, the runs of windows beyond the present bound that last for the
present ``for``. Mutes by other alerts are left out, silences of the catalog count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product
from typing import Final

import numpy as np
import polars as pl

from engine.alerts.objects import instant
from engine.alerts.silences import silenced_by
from engine.alerts.states import BREACH, INACTIVE, AlertState, Decision, Patience, advance, judge, minute_upto
from engine.alerts.verdicts import Codes, concerned, of_values, speaking, steps_are_judged, whole_grains
from engine.alerts.words import digits
from engine.catalog.alerting import Alert, Threshold
from engine.catalog.model import Catalog, Kpi
from engine.event_time import NEVER
from engine.event_time.durations import DAY_US, HOUR_US, MINUTE_US
from engine.event_time.windows import windows_for
from engine.event_time.zones import Times
from streamgauge.backtest.firings import Change
from streamgauge.backtest.incidents import Incident
from streamgauge.backtest.report import Span

_SHARES: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)  # of values beyond a bound
_STEPS: Final = (0, 1, 2, 3, 6)  # windows that `for` lasts
_SPREADS: Final = (0.0, 0.25, 0.5, 1.0)  # from the bound to the recovery, in standard deviations
_DIGITS: Final = 3
_PERIODS: Final = {"day": DAY_US, "week": 7 * DAY_US, "month": 30 * DAY_US, "year": 365 * DAY_US}

Pair = tuple[int, int]  # from, to in microseconds
Breach = tuple[str, int | None, Pair]  # what it is called, its series or None for any, and when


class UnreadableBudget(ValueError):
    """The message says how to write it."""


def budget_of(text: str) -> float:
    """Pages a month (30 days) of ``2/month``. Raises UnreadableBudget."""
    count, slash, period = text.partition("/")
    try:
        if not slash or float(count) < 0:
            raise ValueError
        return float(count) * _PERIODS["month"] / _PERIODS[period.strip()]
    except (ValueError, KeyError):
        raise UnreadableBudget(f"{text} is no budget; write 2/month, or of a day, a week or a year") from None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule would have done. ``caught`` and ``missed``: begin and end of breaches, and what they are called."""

    rule: Alert
    pages: int
    pages_a_month: float
    caught: tuple[str, ...]
    missed: tuple[str, ...]
    late_us: int  # from the begin of a breach to its page, all together


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``best`` is the present rule where nothing is better; ``within``: whether it keeps the budget."""

    kpi: str
    now: Outcome
    best: Outcome
    within: bool
    labelled: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """The rows of one series that are judged, in the order of their instants."""

    dims: dict[str, str | None]
    rows: Times  # places in the frame
    at: Times


class Search:
    """The recorded values of one KPI, as its rules see them. ``values`` as `Replay.values` gives them."""

    def __init__(self, kpi: Kpi, rule: Alert, values: pl.DataFrame, catalog: Catalog, span: Span) -> None:
        self.kpi = kpi
        self.rule = rule
        self.catalog = catalog
        self.span = span
        self.step_us = windows_for(kpi.window, kpi.calendar).max_step_us
        self.frame = self._judged(values)
        self.series = list(self._by_series())

    def _judged(self, values: pl.DataFrame) -> pl.DataFrame:
        """As in `engine.alerts.tracking`: from the first window on that starts after the series' first event, and of
        the windows that are corrected only the last. Column ``at`` is when a row is judged.
        """
        rows = values.sort("publication", "window_end", maintain_order=True)
        if not steps_are_judged(self.rule):
            rows = rows.filter(whole_grains(self.kpi.window, self.kpi.calendar, rows["window_end"].to_numpy()))
        first = pl.col("window_end").filter(pl.col("samples") > 0).first().over("h")
        ends = rows.group_by("publication", maintain_order=True).agg(pl.col("window_end").max().alias("last"))
        rows = rows.with_columns(first.alias("first")).join(
            ends.with_columns(pl.col("last").cum_max().shift(fill_value=NEVER)), on="publication", maintain_order="left"
        )
        end, minute = pl.col("window_end"), pl.col("watermark") // MINUTE_US * MINUTE_US
        at = pl.when(end > pl.col("last")).then(end).otherwise(pl.max_horizontal(end, minute))
        rows = rows.filter(pl.col("window_start") >= pl.col("first"), end >= pl.col("last")).with_columns(
            at.alias("at")
        )
        rows = rows.filter(pl.col("at") < self.span.to_us)
        return rows.filter(concerned(self.rule, rows))

    def _by_series(self) -> Iterator[_Series]:
        places = self.frame.select("h", "at").with_row_index("row")
        for _, of in places.group_by("h", maintain_order=True):
            ordered = of.sort("at", maintain_order=True)
            rows = ordered["row"].to_numpy().astype(np.int64)
            dims = {name: self.frame[f"dim.{name}"][int(rows[0])] for name in self.kpi.group_by}
            yield _Series(dims, rows, ordered["at"].to_numpy())

    # -- what should be caught -----------------------------------------------------------------------------------------

    def breaches(self, incidents: Sequence[Incident]) -> list[Breach]:
        """All that lies in the span."""
        labelled = [one for one in incidents if one.kpi == self.kpi.name]
        if labelled:
            return [
                (f"{instant(one.from_us)} {one.comment}".rstrip(), None, (one.from_us, one.to_us)) for one in labelled
            ]
        codes = of_values(self.rule, self.frame)
        found: list[Breach] = []
        for number, series in enumerate(self.series):
            beyond = np.concatenate(([False], codes[series.rows] == BREACH, [False]))
            turns = np.flatnonzero(beyond[1:] != beyond[:-1]).tolist()
            for first, last in zip(turns[::2], turns[1::2], strict=True):
                begin, end = int(series.at[first]), int(series.at[last - 1])
                if begin >= self.span.from_us and end - begin >= self.rule.for_us:
                    where = ", ".join(f"{name}={value}" for name, value in series.dims.items())
                    found.append((f"{instant(begin)} {where}".rstrip(), number, (begin, end)))
        return found

    # -- candidates ----------------------------------------------------------------------------------------------------

    def candidates(self) -> Iterator[Alert]:
        """The present rule first."""
        yield self.rule
        numbers = (
            self.frame.filter(speaking(self.rule, self.frame))["value"].cast(pl.Float64, strict=False).drop_nulls()
        )
        numbers = numbers.filter(numbers.is_finite())
        when = self.rule.when
        if not len(numbers) or not isinstance(when, Threshold):
            return
        spread = float(numbers.quantile(0.75) or 0) - float(numbers.quantile(0.25) or 0)
        spread /= 1.35
        pairs = {(when.lower, when.upper)}
        for share in _SHARES:
            lower = _rounded(numbers.quantile(share)) if when.lower is not None else None
            upper = _rounded(numbers.quantile(1 - share)) if when.upper is not None else None
            pairs.add((lower, upper))
        # Steps of days are longer by an hour where clocks change: that is nothing to write down.
        step_us = self.step_us // DAY_US * DAY_US or self.step_us
        waits = sorted({self.rule.for_us, *(min(steps * step_us, 30 * DAY_US) for steps in _STEPS)})
        for (lower, upper), away in product(sorted(pairs, key=str), _SPREADS):
            inner = Threshold(
                lower,
                upper,
                None if lower is None or not away else _rounded(float(lower) + away * spread),
                None if upper is None or not away else _rounded(float(upper) - away * spread),
            )
            if (
                lower is not None
                and upper is not None
                and (inner.recover_lower or lower) > (inner.recover_upper or upper)
            ):
                continue
            for wait in waits:
                yield replace(self.rule, when=inner, for_us=wait)

    # -- trying them ---------------------------------------------------------------------------------------------------

    def firings(self, rule: Alert, codes: Codes) -> list[tuple[int, Pair]]:
        """(series, from and to) of every firing; one that has not ended lasts to the end."""
        patience = Patience.of(rule, self.step_us)
        found = []
        for number, series in enumerate(self.series):
            mine = codes[series.rows]
            if (mine == BREACH).any():
                found += [(number, each) for each in _walk(mine, series.at, patience, self.span.to_us)]
        return found

    def outcome(self, rule: Alert, codes: Codes, breaches: Sequence[Breach]) -> Outcome:
        told = [
            (number, each)
            for number, each in self.firings(rule, codes)
            if each[0] >= self.span.from_us and not self._is_silenced(rule, number, each[0])
        ]
        caught: list[str] = []
        missed: list[str] = []
        late = 0
        for name, number, (begin, end) in breaches:
            pages = [
                first
                for of, (first, last) in told
                if number in (None, of) and first <= end + self.step_us and last > begin
            ]
            (caught if pages else missed).append(name)
            late += max(0, min(pages) - begin) if pages else 0
        return Outcome(rule, len(told), len(told) / self.span.months, tuple(caught), tuple(missed), late)

    def _is_silenced(self, rule: Alert, number: int, at_us: int) -> bool:
        dims = self.series[number].dims
        one = Change(rule.name, self.kpi.name, dims, "firing", rule.severity, None, None, at_us, "")
        return silenced_by(one, self.catalog.silences, at_us, self.catalog.holidays) is not None


def suggest(
    kpi: Kpi,
    rule: Alert,
    values: pl.DataFrame,
    catalog: Catalog,
    span: Span,
    incidents: Sequence[Incident],
    budget: float,
) -> Suggestion:
    """Of a threshold alert. ``budget``: pages a month."""
    search = Search(kpi, rule, values, catalog, span)
    breaches = search.breaches(incidents)
    tried: list[Outcome] = []
    judged: dict[object, Codes] = {}
    for candidate in search.candidates():
        codes = judged.get(candidate.when)
        if codes is None:
            codes = judged[candidate.when] = of_values(candidate, search.frame)
        tried.append(search.outcome(candidate, codes, breaches))
    now = tried[0]
    kept = [one for one in tried if one.pages_a_month <= budget]

    def order(one: Outcome) -> tuple[object, ...]:
        return len(one.missed), one.pages, one.late_us, one.rule != rule, one.rule.for_us

    best = min(kept, key=order) if kept else min(tried, key=lambda one: (one.pages, len(one.missed)))
    return Suggestion(kpi.name, now, best, bool(kept), any(one.kpi == kpi.name for one in incidents))


def yaml_of(suggestion: Suggestion) -> str:
    """To paste into the catalog, with what it would have done as comments."""
    now, best = suggestion.now, suggestion.best
    what = "labelled incidents" if suggestion.labelled else "runs beyond the present bound"
    lines = [
        f"# {suggestion.kpi}, {best.rule.name}: {best.pages_a_month:.1f} pages a month (now {now.pages_a_month:.1f});"
        f" catches {len(best.caught)} of {len(best.caught) + len(best.missed)} {what} (now {len(now.caught)})"
    ]
    if not suggestion.within:
        lines.append("# Nothing that was tried keeps the budget; this has the fewest pages.")
    if best.rule == now.rule:
        lines.append("# It is the rule as it is now.")
    lines += [f"# misses: {name}" for name in best.missed[:10]]
    lines += [f"# misses {len(best.missed) - 10:,} more"] if len(best.missed) > 10 else []
    when = best.rule.when
    assert isinstance(when, Threshold)
    lines += [f"- alert: {best.rule.name}", f"  severity: {best.rule.severity}", f"  when: {_when(when)}"]
    lines += [f"  {key}: {value}" for key, value in _kept(best.rule)]
    return "\n".join(lines)


def _kept(rule: Alert) -> Iterator[tuple[str, object]]:
    """The other keys that decide when it fires."""
    if rule.for_us:
        yield "for", _exact(rule.for_us)
    if rule.keep_firing_for_us:
        yield "keep_firing_for", _exact(rule.keep_firing_for_us)
    if rule.min_sample:
        yield "min_sample", rule.min_sample
    if rule.evaluate != "closed":
        yield "evaluate", rule.evaluate
    if rule.where:
        yield "where", json.dumps(rule.where, ensure_ascii=False)


def _when(when: Threshold) -> str:
    if when.lower is not None and when.upper is not None:
        said = f"outside: [{digits(when.lower)}, {digits(when.upper)}]"
        if when.recover_lower is not None or when.recover_upper is not None:
            low, high = when.recover_lower or when.lower, when.recover_upper or when.upper
            said += f", recover: [{digits(low)}, {digits(high)}]"
        return f"{{{said}}}"
    bound, recover, name = (
        (when.lower, when.recover_lower, "below")
        if when.lower is not None
        else (when.upper, when.recover_upper, "above")
    )
    assert bound is not None
    return f"{{{name}: {digits(bound)}{'' if recover is None else f', recover: {digits(recover)}'}}}"


def _exact(us: int) -> str:
    for unit_us, unit in ((HOUR_US, "h"), (MINUTE_US, "m")):
        if us % unit_us == 0:
            return f"{us // unit_us}{unit}"
    return f"{us // 1_000_000}s"


def _rounded(number: float | None) -> Decimal | None:
    return None if number is None else Decimal(f"{number:.{_DIGITS}g}")


def _walk(codes: Codes, at: Times, patience: Patience, until_us: int) -> Iterator[Pair]:
    """The firings of one series. Of an inactive one only breaches matter."""
    breaches = np.flatnonzero(codes == BREACH)
    state: AlertState = INACTIVE
    fired, place = 0, 0

    def follow(decision: Decision, when_us: int) -> Pair | None:
        nonlocal state, fired
        state = decision.state
        if decision.change == "firing":
            fired = when_us
        return (fired, when_us) if decision.change == "resolved" else None

    while place < len(codes):
        if state.phase == "inactive":
            after = int(np.searchsorted(breaches, place))
            if after == len(breaches):
                break
            place = int(breaches[after])
        now = int(at[place])
        while (due := advance(state, patience, now - 1)) is not None:
            if (ended := follow(due[1], due[0])) is not None:
                yield ended
        if (ended := follow(judge(state, int(codes[place]), now, patience), now)) is not None:  # type: ignore[arg-type]
            yield ended
        place += 1
    while (due := advance(state, patience, minute_upto(until_us))) is not None:
        if (ended := follow(due[1], due[0])) is not None:
            yield ended
    if state.phase == "firing":
        yield fired, until_us
