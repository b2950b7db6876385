"""The state machine of an alert. A row of the table is a sentence: what is seen at which minute, and what follows."""

from __future__ import annotations

from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alerts.states import (
    BETWEEN,
    BREACH,
    INACTIVE,
    RECOVERED,
    UNKNOWN,
    AlertState,
    Change,
    Patience,
    Verdict,
    advance,
    deadline,
    judge,
)
from engine.catalog.alerting import MINUTE_US

SEEN: Final[dict[str, Verdict]] = {
    "breach": BREACH,
    "between": BETWEEN,
    "recovered": RECOVERED,
    "no value": UNKNOWN,
}


def told(rule: Patience, seen: list[tuple[int, Verdict]], until: int) -> list[tuple[int, Change]]:
    """What is told of these verdicts, as (minute, change), with the deadlines that pass until a minute."""
    state, found = INACTIVE, list[tuple[int, Change]]()

    def pass_deadlines(state: AlertState, upto: int) -> AlertState:
        while (next_one := advance(state, rule, upto)) is not None:
            at, decision = next_one
            state = decision.state
            assert decision.change is not None
            found.append((at // MINUTE_US, decision.change))
        return state

    for minute, verdict in seen:
        state = pass_deadlines(state, minute * MINUTE_US - 1)
        decision = judge(state, verdict, minute * MINUTE_US, rule)
        state = decision.state
        if decision.change is not None:
            found.append((minute, decision.change))
    pass_deadlines(state, until * MINUTE_US)
    return found


def rule(for_: int = 0, keep: int = 0, give_up: int = 24 * 60) -> Patience:
    return Patience(for_ * MINUTE_US, keep * MINUTE_US, give_up * MINUTE_US)


@pytest.mark.parametrize(
    ("of", "seen", "said"),
    [
        pytest.param(rule(), "at 0 recovered", "", id="what is well is not told"),
        pytest.param(rule(), "at 0 breach", "at 0 firing", id="without for a breach fires at once"),
        pytest.param(
            rule(for_=15), "at 0 breach", "at 0 pending, at 15 firing", id="a breach that stays fires after for"
        ),
        pytest.param(
            rule(for_=15),
            "at 0 breach, at 5 breach, at 15 breach",
            "at 0 pending, at 15 firing",
            id="for counts from the first breach",
        ),
        pytest.param(
            rule(for_=15),
            "at 0 breach, at 10 recovered",
            "at 0 pending, at 10 inactive",
            id="a correction that heals within for pages nobody",
        ),
        pytest.param(
            rule(for_=15),
            "at 0 breach, at 15 recovered",
            "at 0 pending, at 15 inactive",
            id="a value at the very minute of the deadline counts before it",
        ),
        pytest.param(
            rule(for_=15),
            "at 0 breach, at 10 between",
            "at 0 pending, at 10 inactive",
            id="what is no breach any more does not become one by waiting",
        ),
        pytest.param(
            rule(for_=15),
            "at 0 breach, at 10 no value, at 20 breach",
            "at 0 pending, at 10 inactive, at 20 pending, at 35 firing",
            id="a missing value is no breach: for begins anew",
        ),
        pytest.param(
            rule(), "at 0 breach, at 5 recovered", "at 0 firing, at 5 resolved", id="a recovery resolves at once"
        ),
        pytest.param(rule(), "at 0 breach, at 5 between", "at 0 firing", id="short of the recovery value it goes on"),
        pytest.param(
            rule(keep=30),
            "at 0 breach, at 5 recovered",
            "at 0 firing, at 35 resolved",
            id="it goes on for keep_firing_for after the recovery",
        ),
        pytest.param(
            rule(keep=30),
            "at 0 breach, at 5 recovered, at 20 breach, at 25 recovered",
            "at 0 firing, at 55 resolved",
            id="a breach within keep_firing_for is the same alert",
        ),
        pytest.param(
            rule(keep=30),
            "at 0 breach, at 5 recovered, at 20 between, at 25 recovered",
            "at 0 firing, at 55 resolved",
            id="keep_firing_for begins anew where the value fell short of the recovery again",
        ),
        pytest.param(
            rule(give_up=60),
            "at 0 breach, at 10 no value",
            "at 0 firing, at 70 resolved",
            id="a missing value is no recovery, but nobody waits for it for ever",
        ),
        pytest.param(
            rule(give_up=60),
            "at 0 breach, at 10 no value, at 20 breach, at 30 no value",
            "at 0 firing, at 90 resolved",
            id="a value in between begins the wait anew",
        ),
        pytest.param(
            rule(keep=30),
            "at 0 breach, at 5 recovered, at 10 no value",
            "at 0 firing, at 35 resolved",
            id="what has recovered and then has no value has recovered",
        ),
    ],
)
def test_what_is_told(of: Patience, seen: str, said: str) -> None:
    verdicts = [(int(words[1]), SEEN[" ".join(words[2:])]) for words in map(str.split, seen.split(", "))]
    expected = [(int(words[1]), words[2]) for words in map(str.split, filter(None, said.split(", ")))]
    assert told(of, verdicts, until=24 * 60) == expected


rules = st.builds(rule, st.integers(0, 60), st.integers(0, 60), st.integers(60, 600))
histories = st.lists(
    st.tuples(st.integers(0, 2_000), st.sampled_from(get_args(Verdict))), unique_by=lambda one: one[0]
).map(sorted)


@given(rules, histories)
def test_no_alert_fires_and_resolves_twice_within_keep_firing_for(
    of: Patience, seen: list[tuple[int, Verdict]]
) -> None:
    changes = told(of, seen, until=5_000)
    fired = [minute for minute, change in changes if change == "firing"]
    resolved = [minute for minute, change in changes if change == "resolved"]
    assert all(end - start >= of.keep_firing_for_us // MINUTE_US for start, end in zip(fired, resolved, strict=False))
    assert all(b - a >= of.keep_firing_for_us // MINUTE_US for a, b in zip(resolved, resolved[1:], strict=False))


@given(rules, histories)
def test_changes_follow_each_other_as_the_words_say(of: Patience, seen: list[tuple[int, Verdict]]) -> None:
    after = {"": {"pending", "firing"}, "pending": {"firing", "inactive"}, "firing": {"resolved"}}
    last = ""
    for _, change in told(of, seen, until=5_000):
        assert change in after[last]
        last = "" if change in ("inactive", "resolved") else change


@given(rules, histories, st.lists(st.integers(0, 2_000)))
def test_when_deadlines_are_looked_at_changes_nothing(
    of: Patience, seen: list[tuple[int, Verdict]], looks: list[int]
) -> None:
    """Publications come when they come: a look in between is a verdict that says what was known."""
    state, found = INACTIVE, []
    for minute, verdict in sorted([*seen, *((look, None) for look in looks)], key=lambda one: one[0]):
        while (passed := advance(state, of, minute * MINUTE_US - 1)) is not None:
            state = passed[1].state
            found.append((passed[0] // MINUTE_US, passed[1].change))
        if verdict is not None:
            decision = judge(state, verdict, minute * MINUTE_US, of)
            state = decision.state
            if decision.change is not None:
                found.append((minute, decision.change))
    assert found == [one for one in told(of, seen, until=2_000) if one in found]
    assert deadline(INACTIVE, of) is None
