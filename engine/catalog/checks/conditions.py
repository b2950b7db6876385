"""Conditions of alerts: bounds in order, recovery on the healthy side, something to be measured against."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from engine.catalog.alerting import Alert, Anomaly, BurnRate, Change, Condition, NoData, PaceBelow, Threshold
from engine.catalog.checks.identities import exact_text
from engine.catalog.checks.windows import offsets_of
from engine.catalog.drafts import Draft, Finding, Path, Rule, Whereabouts
from engine.catalog.kinds import Figure
from engine.catalog.model import Cumulate, Hop, Kpi, Tumble
from engine.catalog.records import Read
from engine.event_time.durations import DAY_US, MINUTE_US, nominal_us
from engine.event_time.windows import Windows, windows_for

_LONG_GRAINS: Final = ("month", "quarter", "year")
_RECOVER: Final = {
    "change": "write it inside change: {below: -20%, recover: -10%}",
    "anomaly": "write it inside anomaly: {score: 4, recover: 3}",
    "no_data": "remove it; a series that has an event again is well",
    "burn_rate": "remove it; it ends when the short window has recovered",
}


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    for name, kpi in draft.kpis.items():
        for number, rule in enumerate(draft.rules.get(name, ())):
            if rule.alert is not None:
                path: Path = ("kpis", name, "alerts", number, "when")
                found = list(_recover_form(rule.read["when"], path))
                yield from found or _condition(draft, kpi, rule, rule.alert, path)


def _recover_form(when: Read, path: Path) -> Iterator[Finding]:
    word = next(key for key in when.values if key != "recover")
    recover = when.get("recover")
    here = (*path, "recover")
    if recover is None:
        return
    if word in _RECOVER:
        yield Finding(here, f"{word} has no recover beside it", _RECOVER[word])
    elif (word == "outside") != isinstance(recover, list):
        one = "write the one value at which it ends"
        yield Finding(here, f"does not fit {word}", "write it as [low, high]" if word == "outside" else one)
    elif word != "pace_below" and any(one.percent for one in _figures(recover)):
        yield Finding(here, f"{_figures(recover)[0]} is a share, not a value", "write the value at which it ends")


def _figures(recover: Figure | list[Figure]) -> list[Figure]:
    return recover if isinstance(recover, list) else [recover]


def _condition(draft: Draft, kpi: Kpi, rule: Rule, alert: Alert, path: Path) -> Iterator[Finding]:
    condition: Condition = alert.when
    match condition:
        case Threshold():
            yield from _threshold(condition, path)
        case PaceBelow():
            yield from _pace(kpi, condition, path)
        case Change():
            yield from _change(kpi, condition, rule.read["when"]["change"], (*path, "change"))
        case Anomaly():
            yield from _anomaly(kpi, condition, (*path, "anomaly"))
        case NoData():
            yield from _no_data(draft, kpi, condition, (*path, "no_data"))
        case BurnRate():
            yield from _burn_rate(kpi, condition, (*path, "burn_rate"))


def _threshold(bounds: Threshold, path: Path, percent: bool = False) -> Iterator[Finding]:
    def shown(value: Decimal) -> str:
        return str(Figure(value, percent))

    lower, upper, here = bounds.lower, bounds.upper, (*path, "recover")
    if lower is not None and upper is not None and lower >= upper:
        yield Finding(
            (*path, "outside"), f"{shown(lower)} is not below {shown(upper)}", f"write [{shown(upper)}, {shown(lower)}]"
        )
        return
    low, high = bounds.recover_lower, bounds.recover_upper
    if lower is not None and low is not None and low < lower:
        yield Finding(here, f"{shown(low)} is below {shown(lower)}", "an alert below a bound ends at or above it")
    if upper is not None and high is not None and high > upper:
        yield Finding(here, f"{shown(high)} is above {shown(upper)}", "an alert above a bound ends at or below it")
    if low is not None and high is not None and low > high:
        yield Finding(here, f"{shown(low)} is above {shown(high)}", f"write [{shown(high)}, {shown(low)}]")


def _pace(kpi: Kpi, pace: PaceBelow, path: Path) -> Iterator[Finding]:
    here = (*path, "pace_below")
    paced = [objective for objective in kpi.objectives if objective.pacing is not None]
    if not paced:
        yield Finding(here, "no objective has a pacing", "write pacing: linear or seasonal on an objective")
    for op in dict.fromkeys(objective.op for objective in paced if objective.op != "gte"):
        yield Finding(here, f"what is paced is {op}, and may well be below its pace", "write above: VALUE, or op: gte")
    if pace.recover < pace.share:
        message = f"{Figure(pace.recover, True)} is below {Figure(pace.share, True)}"
        yield Finding((*path, "recover"), message, "an alert below a bound ends at or above it")
    elif pace.recover > 10:
        yield Finding((*path, "recover"), f"{pace.recover:f} times the pace", f"write {pace.recover:f}%")


def _change(kpi: Kpi, change: Change, read: Read, path: Path) -> Iterator[Finding]:
    bounds = change.bounds
    if kpi.compare is None:
        yield Finding(path, "change against nothing", "write compare: {offset_window: 30d}")
    if bounds.lower is None and bounds.upper is None:
        yield Finding(path, "a change that says nothing", "write below: -20%, above: 20%, or both")
    example = "20%" if change.relative else "1000"
    for key, sign in (("below", -1), ("above", 1)):
        figure: Figure | None = read.get(key)
        if figure is None:
            continue
        yield from _form_of_change(figure, change.relative, (*path, key))
        mark = "-" if sign < 0 else ""
        if figure.value == 0:
            message = f"{figure} would be raised by any {'fall' if sign < 0 else 'rise'}"
            yield Finding((*path, key), message, f"write how much, as {mark}{example}")
        elif figure.value * sign < 0:
            shown = str(figure).removeprefix("-")
            yield Finding((*path, key), f"{figure} is no {'fall' if sign < 0 else 'rise'}", f"write {mark}{shown}")
    both = bounds.lower is not None and bounds.upper is not None
    recover = read.get("recover")
    if recover is None:
        return
    here = (*path, "recover")
    if both != isinstance(recover, list):
        hint = "write it as [low, high]" if both else "write the one change at which it ends"
        yield Finding(here, "does not fit " + ("below and above" if both else "one bound"), hint)
        return
    found = [one for figure in _figures(recover) for one in _form_of_change(figure, change.relative, here)]
    yield from found or _threshold(bounds, path, percent=change.relative)


def _form_of_change(figure: Figure, relative: bool, path: Path) -> Iterator[Finding]:
    if relative and not figure.percent and abs(figure.value) > 1:
        message = f"{figure} is a change of {Figure(figure.value, True)}"
        yield Finding(path, message, f"write {figure}%, or by: absolute")
    elif not relative and figure.percent:
        yield Finding(path, f"{figure} is a share of the compared value", "write a difference, or remove by: absolute")


def _anomaly(kpi: Kpi, anomaly: Anomaly, path: Path) -> Iterator[Finding]:
    if anomaly.recover > anomaly.score:
        message = f"{anomaly.recover:f} is above {anomaly.score:f}"
        yield Finding((*path, "recover"), message, "an anomaly ends at or below its score")
    if anomaly.at_least > anomaly.weeks:
        message = f"{anomaly.at_least} of {anomaly.weeks} weeks"
        yield Finding((*path, "at_least"), message, f"write {anomaly.weeks} or fewer, or more weeks")
    grain = getattr(kpi.window, "grain", None)
    if grain in _LONG_GRAINS:
        message = f"a {grain} has no same time in other weeks"
        yield Finding(path, message, "use it on windows of up to a week, or write change")
    match kpi.window:
        case Hop(slide=step) | Cumulate(step=step) | Tumble(size=step) if step is not None:
            if nominal_us(step) < MINUTE_US:
                yield Finding(
                    path, f"windows that end every {step}", "use it on windows that end every 1m or less often"
                )


def _no_data(draft: Draft, kpi: Kpi, no_data: NoData, path: Path) -> Iterator[Finding]:
    windows = _windows(draft, kpi)
    if no_data.after_us < windows.pane_us:
        message = (
            f"{_length(no_data.after_us)} is shorter than the panes of {_length(windows.pane_us)} it is counted in"
        )
        yield Finding(path, message, f"write at least {_length(windows.pane_us)}")
    if no_data.expected_us <= no_data.after_us:
        message = f"a series is not expected any more after {_length(no_data.expected_us)}, so this never fires"
        yield Finding((*path, "expected"), message, f"write expected: longer than {_length(no_data.after_us)}")


def _burn_rate(kpi: Kpi, burn: BurnRate, path: Path) -> Iterator[Finding]:
    if kpi.type != "ratio":
        message = f"a {kpi.type} KPI has no error budget"
        yield Finding(path, message, "use it on a KPI of type ratio, good over all or bad over all")
        return
    if not any(one.op in ("gte", "lte") and _is_share(one.value) for one in kpi.objectives if one.share is None):
        message = "no objective says what share may be bad"
        yield Finding(path, message, "write objectives: [{op: gte, value: 0.999}], or op: lte of the bad share")
    for number, window in enumerate(burn.windows):
        if window.short_us >= window.long_us:
            message = f"short {_length(window.short_us)} is not shorter than long {_length(window.long_us)}"
            yield Finding((*path, number), message, "write the short one as a twelfth of the long one")


def _is_share(value: Decimal) -> bool:
    return 0 < value < 1


def _windows(draft: Draft, kpi: Kpi) -> Windows:
    return windows_for(kpi.window, kpi.calendar, offsets_of(draft, kpi))


def _length(length_us: int) -> str:
    return f"{length_us // DAY_US}d" if length_us % DAY_US == 0 else exact_text(length_us)
