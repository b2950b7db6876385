"""The state machine of one alert of one series, in event time: inactive -> pending -> firing -> resolved.

Pure: it is given verdicts at instants and says what follows. A verdict holds until the next one, so between them only
deadlines count (`deadline`, `advance`). All instants and lengths are microseconds; decisions at deadlines fall on whole
minutes, those at verdicts on the instant of the verdict, which is the end of a window. Nothing depends on when or in
which batches it is asked: a replay decides alike.

The words are Prometheus' (for, keep_firing_for) and Datadog's (recovery threshold).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from engine.catalog.alerting import MINUTE_US, Alert

Phase = Literal["inactive", "pending", "firing"]
Change = Literal["pending", "firing", "resolved", "inactive"]
Verdict = Literal[0, 1, 2, 3]
UNKNOWN: Final = 0  # no value, or too few samples: neither breach nor recovery
RECOVERED: Final = 1
BETWEEN: Final = 2  # no breach any more, and not yet at the recovery value
BREACH: Final = 3

LEAST_PATIENCE_US: Final = 24 * 60 * MINUTE_US


class AlertState(msgspec.Struct, frozen=True):
    """Where one alert of one series stands. ``judged_us`` is the last instant that was decided."""

    phase: Phase = "inactive"
    judged_us: int = 0
    since_us: int = 0  # pending and firing: since when the condition held
    fired_us: int | None = None
    recovering_us: int | None = None  # firing: since when it has recovered
    silent_us: int | None = None  # firing: since when there has been no value


INACTIVE: Final = AlertState()


@dataclass(frozen=True, slots=True)
class Patience:
    """The lengths of a rule. ``give_up_us``: a firing alert without any value for so long is resolved."""

    for_us: int = 0
    keep_firing_for_us: int = 0
    give_up_us: int = LEAST_PATIENCE_US

    @classmethod
    def of(cls, alert: Alert, step_us: int) -> Patience:
        return cls(alert.for_us, alert.keep_firing_for_us, max(LEAST_PATIENCE_US, 2 * step_us))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a verdict or a deadline leads to; ``change`` is None where the state's name stays."""

    state: AlertState
    change: Change | None = None


def judge(state: AlertState, verdict: Verdict, at_us: int, patience: Patience) -> Decision:
    """What follows from a verdict at an instant. Deadlines before it must have been passed (`advance`)."""
    at = max(at_us, state.judged_us)
    now = msgspec.structs.replace(state, judged_us=at)
    if state.phase == "inactive":
        return _begin(at, patience) if verdict == BREACH else Decision(INACTIVE)
    if state.phase == "pending":
        if verdict != BREACH:
            return Decision(INACTIVE, "inactive")
        return _fire(now, at) if at - state.since_us >= patience.for_us else Decision(now)
    if verdict in (BREACH, BETWEEN):
        return Decision(msgspec.structs.replace(now, recovering_us=None, silent_us=None))
    if verdict == RECOVERED:
        since = at if state.recovering_us is None else state.recovering_us
        now = msgspec.structs.replace(now, recovering_us=since, silent_us=None)
        return Decision(INACTIVE, "resolved") if at - since >= patience.keep_firing_for_us else Decision(now)
    since = at if state.silent_us is None else state.silent_us
    return Decision(msgspec.structs.replace(now, silent_us=since))


def deadline(state: AlertState, patience: Patience) -> int | None:
    """The whole minute at which the state changes if no other verdict comes; None where it does not."""
    if state.phase == "pending":
        return minute_from(state.since_us + patience.for_us)
    if state.phase == "firing":
        ends = []
        if state.recovering_us is not None:
            ends.append(state.recovering_us + patience.keep_firing_for_us)
        if state.silent_us is not None:
            ends.append(state.silent_us + patience.give_up_us)
        return minute_from(min(ends)) if ends else None
    return None


def advance(state: AlertState, patience: Patience, upto_us: int) -> tuple[int, Decision] | None:
    """The next deadline at or before an instant, and what it leads to; None where there is none."""
    at = deadline(state, patience)
    if at is None or at > upto_us:
        return None
    now = msgspec.structs.replace(state, judged_us=max(at, state.judged_us))
    return at, (_fire(now, at) if state.phase == "pending" else Decision(INACTIVE, "resolved"))


def minute_from(time_us: int) -> int:
    """The first whole minute at or after an instant."""
    return -(-time_us // MINUTE_US) * MINUTE_US


def minute_upto(time_us: int) -> int:
    """The last whole minute at or before an instant."""
    return time_us // MINUTE_US * MINUTE_US


def _begin(at: int, patience: Patience) -> Decision:
    state = AlertState("pending", at, at)
    return _fire(state, at) if patience.for_us == 0 else Decision(state, "pending")


def _fire(state: AlertState, at: int) -> Decision:
    return Decision(msgspec.structs.replace(state, phase="firing", fired_us=at), "firing")
