"""What a rule says, and why it was decided as it was, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from engine.alerts.states import BETWEEN, BREACH, UNKNOWN, Verdict
from engine.catalog.alerting import Alert, Anomaly, BurnRate, Change, Condition, NoData, PaceBelow, Threshold
from engine.lookback.robust import Scores

Floats = npt.NDArray[np.float64]

_UNITS = ((7 * 86_400_000_000, "w"), (86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"))


def length(us: int) -> str:
    """``90m`` of a length in microseconds: the largest unit that it is a whole number of."""
    for unit_us, unit in _UNITS:
        if us and us % unit_us == 0:
            return f"{us // unit_us}{unit}"
    return f"{us / 1_000_000:g}s"


def digits(number: Decimal) -> str:
    return format(number.normalize(), "f")


def percent(share: Decimal) -> str:
    return f"{digits(share * 100)} %"


def condition(when: Condition) -> str:
    """``below 1000, ends at 1050``."""
    match when:
        case Threshold():
            return _threshold(when, digits)
        case Change(bounds, relative):
            return f"change against the compared window {_threshold(bounds, percent if relative else digits)}"
        case PaceBelow(share, recover):
            ends = "" if recover == share else f", ends at {percent(recover)}"
            return f"below {percent(share)} of the pace{ends}"
        case Anomaly():
            way = {"both": "", "up": " upwards", "down": " downwards"}[when.direction]
            return f"unlike the same time of the last {when.weeks} weeks: a score above {digits(when.score)}{way}"
        case NoData():
            return f"no event for {length(when.after_us)}"
        case BurnRate(windows):
            pairs = [f"{digits(w.rate)} over {length(w.long_us)} and {length(w.short_us)}" for w in windows]
            return f"error budget burns at more than {', or '.join(pairs)}"


def _threshold(bounds: Threshold, shown: Callable[[Decimal], str]) -> str:
    if bounds.lower is not None and bounds.upper is not None:
        said = f"outside {shown(bounds.lower)} to {shown(bounds.upper)}"
        inner = [b for b in (bounds.recover_lower, bounds.recover_upper) if b is not None]
        return f"{said}, ends within {' to '.join(map(shown, inner))}" if inner else said
    bound, recover = (bounds.lower, bounds.recover_lower)
    said = "below"
    if bound is None:
        bound, recover, said = bounds.upper, bounds.recover_upper, "above"
    assert bound is not None
    ends = "" if recover is None or recover == bound else f", ends at {shown(recover)}"
    return f"{said} {shown(bound)}{ends}"


def bound_of(alert: Alert, value: Decimal | None) -> Decimal | None:
    """The bound that the value is held to: of two the one that is nearer."""
    if not isinstance(alert.when, Threshold):
        return None
    lower, upper = alert.when.lower, alert.when.upper
    if lower is None or upper is None:
        return upper if lower is None else lower
    return upper if value is not None and value > (lower + upper) / 2 else lower


def short(number: str, bounds: Sequence[Decimal] = ()) -> str:
    """A number for people: of a long fraction as many digits as tell it from the bounds, at least six in all. The
    fraction alone is shortened.
    """
    value = Decimal(number)
    whole = max(value.adjusted() + 1, 0)
    for kept in range(6, len(value.as_tuple().digits)):
        if kept >= whole:
            rounded = round(value, kept - 1 - value.adjusted())
            if all(rounded != bound or value == bound for bound in bounds):
                return format(rounded, "f")
    return number


def _bounds(when: Condition) -> list[Decimal]:
    if not isinstance(when, Threshold):
        return []
    found = (when.lower, when.upper, when.recover_lower, when.recover_upper)
    return [bound for bound in found if bound is not None]


def because(rule: Alert, verdict: Verdict, value: str | None, unit: str | None, samples: int, detail: str) -> str:
    """Why a verdict is what it is: ``812 EUR is below 1000``. ``detail``: what the rule looked at beside the value."""
    if verdict == UNKNOWN:
        if value is not None and samples < rule.min_sample:
            return f"only {samples} samples, fewer than {rule.min_sample}"
        return f"no value{f' ({detail})' if detail else ''}"
    shown = f"{short(value or '', _bounds(rule.when))}{f' {unit}' if unit else ''}"
    match rule.when:
        case Threshold():
            return f"{shown} is {_side(rule.when, verdict, Decimal(value or 'nan'))}"
        case Change(bounds, relative):
            side = _side(bounds, verdict, Decimal(detail), percent if relative else digits)
            by = percent(Decimal(detail)) if relative else detail
            return f"{shown}: the change of {by} against the compared window is {side}"
        case PaceBelow(share, recover):
            if verdict == BREACH:
                return f"{shown}: {detail}, below {percent(share)}"
            return f"{shown}: {detail}, {'not yet' if verdict == BETWEEN else 'at or above'} {percent(recover)}"
        case _:
            return f"{shown}: {detail}"


def anomaly_words(scores: Scores, row: int) -> str:
    score, centre = float(scores.score[row]), float(scores.centre[row])
    side = "above" if score > 0 else "below"
    return f"{abs(score):.1f} deviations {side} {centre:.6g}, the median of {int(scores.weeks[row])} weeks"


def burn_words(burn: BurnRate, long: Floats, short: Floats, row: int) -> str:
    """Of the pair that burns fastest for its rate."""
    over = [min(long[row, i], short[row, i]) / float(pair.rate) for i, pair in enumerate(burn.windows)]
    at = int(np.nanargmax(over)) if not np.isnan(over).all() else 0
    pair = burn.windows[at]
    burns = f"{long[row, at]:.3g} times its even pace over {length(pair.long_us)}"
    return f"the error budget burns at {burns}, {short[row, at]:.3g} times over {length(pair.short_us)}"


def _side(bounds: Threshold, verdict: Verdict, number: Decimal, shown: Callable[[Decimal], str] = digits) -> str:
    lower, upper = bounds.lower, bounds.upper
    is_low = upper is None or (lower is not None and number <= (lower + upper) / 2)
    bound = lower if is_low else upper
    assert bound is not None
    if verdict == BREACH:
        return f"{'below' if is_low else 'above'} {shown(bound)}"
    recover = (bounds.recover_lower if is_low else bounds.recover_upper) or bound
    if verdict == BETWEEN:
        return f"not yet {'at or above' if is_low else 'at or below'} {shown(recover)}"
    return f"{'at or above' if is_low else 'at or below'} {shown(recover)}"
