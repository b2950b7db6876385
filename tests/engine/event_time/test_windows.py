"""Windows against sentences, timelines, and a slow enumeration with dates and sets (protocol rules 10 and 11)."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog.model import Calendar, Cumulate, Duration, Hop, Tumble
from engine.event_time import NEVER
from engine.event_time.durations import exact_us, parse_duration
from engine.event_time.windows import Spans, windows_for

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
AMSTERDAM = Calendar("Europe/Amsterdam")

ZONES = [
    "UTC",
    "Europe/Amsterdam",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "America/New_York",
    "Asia/Gaza",
]
CALENDARS = st.builds(Calendar, st.sampled_from(ZONES), st.integers(0, 6), st.integers(1, 12))
EXACT = st.builds(Duration, st.sampled_from([15, 20, 30, 60, 90]), st.just("m")) | st.builds(
    Duration, st.integers(1, 12), st.just("h")
)
LOCAL = st.builds(Duration, st.integers(1, 10), st.just("d")) | st.builds(Duration, st.integers(1, 3), st.just("w"))
GRAINS = st.sampled_from(["day", "week", "month", "quarter", "year"])
WINDOWS = st.one_of(
    st.builds(Tumble, size=EXACT | LOCAL),
    st.builds(Tumble, size=st.none(), grain=GRAINS),
    st.builds(Hop, EXACT | LOCAL, EXACT),
    st.builds(Hop, LOCAL, LOCAL),
    st.builds(Cumulate, GRAINS, EXACT | LOCAL),
)
# Instants since the late 1970s, often in years and months when clocks change.
INSTANTS = st.integers(8 * 365 * DAY_US, 80 * 365 * DAY_US) | st.builds(
    lambda year, days, minutes: int((date(year, 1, 1) - date(1970, 1, 1)).days + days) * DAY_US + minutes * MINUTE_US,
    st.integers(1980, 2040),
    st.sampled_from([30, 78, 84, 88, 92, 95, 275, 295, 298, 305, 308, 360]),
    st.integers(0, 3 * 24 * 60),
)


def rows(spans: Spans) -> list[tuple[int, int, int]]:
    return list(zip(spans.start_us.tolist(), spans.end_us.tolist(), spans.publish_us.tolist(), strict=True))


def hop(size: str, slide: str) -> Hop:
    return Hop(parse_duration(size), parse_duration(slide))


def cumulate(grain, step: str) -> Cumulate:
    return Cumulate(grain, parse_duration(step))


def tumble(what: str) -> Tumble:
    return Tumble(parse_duration(what)) if what[0].isdigit() else Tumble(grain=what)


class Enumerated:
    """The windows of a KPI around [low, high], found with a loop over every step and every date."""

    def __init__(self, window, calendar: Calendar, clock, low: int, high: int) -> None:
        self.window, self.calendar, self.here = window, calendar, clock(calendar.timezone)
        first = self.here.wall(low).date() - timedelta(days=800)
        dates = [first + timedelta(days=k) for k in range((self.here.wall(high).date() - first).days + 420)]
        self.day_of = {self.here.at(day): day for day in dates}  # of dates that begin together the last
        self.low, self.high = min(self.day_of), max(self.day_of)
        ends = set()
        if isinstance(window, Cumulate) or (isinstance(window, Tumble) and window.grain):
            self.grain_starts = {at for day in dates if self._starts_grain(day) for at in [self.here.at(day)]}
            ends |= self.grain_starts
        step = {Tumble: "size", Hop: "slide", Cumulate: "step"}[type(window)]
        if (duration := getattr(window, step)) is not None:
            ends |= self._multiples(duration, dates)
        self.ends = sorted(ends)

    def _starts_grain(self, day: date) -> bool:
        grain, fiscal = self.window.grain, self.calendar.fiscal_year_start
        months = {"month": 1, "quarter": 3, "year": 12}
        if grain in months:
            return day.day == 1 and (day.month - (1 if grain == "month" else fiscal)) % months[grain] == 0
        return grain == "day" or day.weekday() == self.calendar.week_start

    def _multiples(self, duration: Duration, dates: list[date]) -> set[int]:
        if duration.unit in "smh":
            step = exact_us(duration)
            return set(range(-(-self.low // step) * step, self.high, step))
        days = duration.amount * (7 if duration.unit == "w" else 1)
        anchor = next(d for k in range(7) if (d := date(1970, 1, 1 + k)).weekday() == self.calendar.week_start)
        return {self.here.at(day) for day in dates if (day - anchor).days % days == 0}

    def start(self, end: int, before: int) -> int:
        match self.window:
            case Tumble():
                return before
            case Cumulate():
                return max(start for start in self.grain_starts if start < end)
            case Hop(size, slide):
                if size.unit in "smh":
                    return end - exact_us(size)
                back = timedelta(days=size.amount * (7 if size.unit == "w" else 1))
                return self.here.at((self.here.wall(end) if slide.unit in "smh" else self.day_of[end]) - back)

    def rows(self, low: int, high: int, column: int) -> list[tuple[int, int, int]]:
        """(start, end, publish) of the windows of which this column is in (low, high]."""
        pairs = zip(self.ends, self.ends[1:], strict=False)
        picked = [(before, end) for before, end in pairs if low < (before if column == 2 else end) <= high]
        return [(self.start(end, before), end, before) for before, end in picked]


def stretch(window) -> int:
    """How long to look at these windows, so that there are some but not too many."""
    step = {Tumble: "size", Hop: "slide", Cumulate: "step"}[type(window)]
    duration = getattr(window, step)
    return 400 * DAY_US if duration is None or duration.unit in "dw" else 3 * DAY_US


@settings(max_examples=150, deadline=None)
@given(WINDOWS, CALENDARS, INSTANTS)
def test_windows_are_those_found_with_a_loop_over_every_date_and_step(clock, window, calendar, low) -> None:
    high = low + stretch(window)
    enumerated = Enumerated(window, calendar, clock, low, high)
    windows = windows_for(window, calendar)
    assert rows(windows.closing(low, high)) == enumerated.rows(low, high, column=1)
    assert rows(windows.publishable(low, high)) == enumerated.rows(low, high, column=2)


@given(WINDOWS, CALENDARS, INSTANTS)
def test_rule_10_every_window_is_made_of_whole_panes_and_no_longer_than_said(window, calendar, low) -> None:
    windows = windows_for(window, calendar)
    spans = windows.closing(low, low + stretch(window))
    assert (spans.start_us < spans.end_us).all()
    assert (spans.start_us % windows.pane_us == 0).all()
    assert (spans.end_us % windows.pane_us == 0).all()
    assert (spans.end_us - spans.start_us <= windows.max_length_us).all()
    assert (np.diff(spans.end_us) <= windows.max_step_us).all()
    assert (np.diff(spans.end_us) > 0).all()


@given(WINDOWS, CALENDARS, INSTANTS)
def test_rule_11_one_window_is_current_at_a_time(window, calendar, now) -> None:
    windows = windows_for(window, calendar)
    spans = windows.publishable(now - 2 * windows.max_step_us, now)
    current = (spans.publish_us <= now) & (now < spans.end_us)
    assert current.sum() == 1
    assert current[-1]


@given(WINDOWS, CALENDARS, INSTANTS, st.lists(st.floats(0, 1), max_size=5))
def test_nothing_is_missed_or_repeated_however_time_advances(window, calendar, low, shares) -> None:
    high = low + stretch(window)
    stops = [low, *sorted(low + int(share * (high - low)) for share in shares), high]
    windows = windows_for(window, calendar)
    for ask in (windows.closing, windows.publishable):
        pieces = [row for after, upto in zip(stops, stops[1:], strict=False) for row in rows(ask(after, upto))]
        assert pieces == rows(ask(low, high))


@given(WINDOWS, CALENDARS, INSTANTS)
def test_the_previous_window_is_the_one_that_ended_before(window, calendar, low) -> None:
    windows = windows_for(window, calendar)
    spans = windows.closing(low, low + 3 * windows.max_step_us)
    assert rows(windows.previous(spans.end_us[1:])) == rows(spans)[:-1]
    assert rows(windows.ending_at(spans.end_us)) == rows(spans)


@settings(max_examples=150, deadline=None)
@given(WINDOWS, CALENDARS, INSTANTS, st.data())
def test_containing_agrees_with_brute_force_over_all_published_windows(window, calendar, low, data) -> None:
    windows = windows_for(window, calendar)
    pane = windows.pane_us
    width = max(1, stretch(window) // pane)
    panes = [(low // pane + k) * pane for k in data.draw(st.lists(st.integers(0, width), max_size=6))]
    upto = low + data.draw(st.integers(-windows.max_step_us, stretch(window) + windows.max_length_us))

    first = low // pane * pane - windows.max_step_us
    published = rows(windows.publishable(first - windows.max_step_us, upto))
    expected = {(k, row) for k, at in enumerate(panes) for row in published if row[0] <= at and at + pane <= row[1]}

    found = windows.containing(np.array(panes, dtype=np.int64), upto)
    distinct = rows(found.windows)
    pairs = [(k, distinct[j]) for k, j in zip(found.pane.tolist(), found.window.tolist(), strict=True)]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == expected
    assert distinct == sorted({row for _, row in expected}, key=lambda row: row[1])


def test_a_pane_of_long_ago_costs_no_enumeration_of_the_time_since() -> None:
    windows = windows_for(tumble("1s"), Calendar())
    panes = np.array([0, 60 * 365 * DAY_US, 5_000_000], dtype=np.int64)
    found = windows.containing(panes, 61 * 365 * DAY_US)
    assert found.windows.start_us.tolist() == sorted(panes.tolist())
    assert found.windows.start_us[found.window].tolist() == panes[found.pane].tolist()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Amsterdam"])
def test_an_event_leaves_a_30_day_window_after_30_days_within_one_slide(clock, zone) -> None:
    windows = windows_for(hop("30d", "1h"), Calendar(zone))
    event = clock(zone).at("2026-03-10 10:17")
    pane = np.array([event // windows.pane_us * windows.pane_us])
    found = windows.containing(pane, event + 60 * DAY_US).windows
    leaves = found.end_us[-1] + windows.max_step_us  # the first end of a window without it
    left = clock(zone).at("2026-04-09 10:17")
    assert left < leaves <= left + HOUR_US
    assert len(found) in (720, 719)


def test_never_is_no_beginning_to_enumerate_windows_from() -> None:
    windows = windows_for(tumble("1h"), Calendar())
    with pytest.raises(ValueError, match="first event"):
        windows.closing(NEVER, 0)
    assert len(windows.closing(NEVER, NEVER)) == 0
    assert len(windows.closing(10, 5)) == 0
    assert len(windows.containing(np.array([0]), NEVER).windows) == 0
    assert len(windows.containing(np.empty(0, dtype=np.int64), 0).windows) == 0


PANES = [
    # window, zone, minutes of a pane
    (hop("30d", "1h"), "Europe/Amsterdam", 60),
    (hop("30d", "1h"), "Asia/Kathmandu", 15),
    (hop("30d", "1h"), "Australia/Lord_Howe", 30),
    (hop("30d", "1d"), "America/St_Johns", 30),
    (hop("30d", "1h"), "America/St_Johns", 1),  # until 2011 its clocks changed at 00:01, and windows began there
    (hop("1h", "5m"), "Asia/Kathmandu", 5),
    (hop("90m", "1h"), "Asia/Kathmandu", 30),
    (tumble("1h"), "Asia/Kathmandu", 60),
    (tumble("6h"), "Europe/Amsterdam", 360),
    (tumble("7d"), "Europe/Amsterdam", 60),
    (tumble("month"), "Asia/Kathmandu", 15),
    (cumulate("month", "5m"), "Europe/Amsterdam", 5),
    (cumulate("day", "1h"), "Asia/Kathmandu", 15),
    (cumulate("year", "1d"), "UTC", 60),
]


@pytest.mark.parametrize(("window", "zone", "minutes"), PANES)
def test_rule_10_pane_of(window, zone, minutes) -> None:
    assert windows_for(window, Calendar(zone)).pane_us == minutes * MINUTE_US


# Each line is a window from its start to its end; `!` is where it is published.
TIMELINES = {
    "rule 11: a hop is published one slide before its end": (
        hop("3h", "1h"),
        """
        00 01 02 03 04 05
        [-----!--)
           [-----!--)
              [-----!--)
        """,
    ),
    "rule 11: a cumulate is published one step before its end, the last one of a grain when the one before it ends": (
        cumulate("day", "7h"),
        """
        00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28
        !--------------------)
        [--------------------!--------------------)
        [-----------------------------------------!--------------------)
        [--------------------------------------------------------------!--------)
                                                                                !-----------)
        """,
    ),
    "rule 11: a tumble is published at its start": (
        tumble("2h"),
        """
        00 01 02 03 04 05 06
        !-----)
              !-----)
                    !-----)
        """,
    ),
}


@pytest.mark.parametrize("law", TIMELINES)
def test_timeline(law) -> None:
    window, drawing = TIMELINES[law]
    _, *lines = [line[8:] for line in drawing.strip("\n").splitlines() if line.strip()]
    expected = [
        (line.find("[") if "[" in line else line.index("!"), line.index(")"), line.index("!")) for line in lines
    ]
    drawn = [tuple(column // 3 * HOUR_US for column in row) for row in expected]
    spans = windows_for(window, Calendar()).closing(drawn[0][1] - 1, drawn[-1][1])
    assert rows(spans) == drawn


SENTENCES = [
    # window, after, upto, [start, end, published at]
    (
        hop("30d", "1h"),
        "2026-03-29 04:00",
        "2026-03-29 05:00",
        [("2026-02-27 05:00+01:00", "2026-03-29 05:00+02:00", "2026-03-29 04:00+02:00")],
    ),
    (
        hop("30d", "1h"),  # 30 days before each end the clock shows the same: 719 hours
        "2026-03-29 01:00",
        "2026-03-29 03:00",
        [("2026-02-27 03:00+01:00", "2026-03-29 03:00+02:00", "2026-03-29 01:00+01:00")],
    ),
    (
        hop("1d", "1h"),  # the day before this end lacks the hour at which it should begin
        "2026-03-30 01:00",
        "2026-03-30 02:00",
        [("2026-03-29 03:00+02:00", "2026-03-30 02:00+02:00", "2026-03-30 01:00+02:00")],
    ),
    (
        tumble("day"),
        "2026-03-28 12:00",
        "2026-03-30 12:00",
        [
            ("2026-03-28 00:00+01:00", "2026-03-29 00:00+01:00", "2026-03-28 00:00+01:00"),
            ("2026-03-29 00:00+01:00", "2026-03-30 00:00+02:00", "2026-03-29 00:00+01:00"),
        ],
    ),
    (
        tumble("7d"),  # ends on the week_start, a Monday
        "2026-11-17 00:00",
        "2026-11-23 00:00",
        [("2026-11-16 00:00+01:00", "2026-11-23 00:00+01:00", "2026-11-16 00:00+01:00")],
    ),
    (
        hop("7d", "1d"),
        "2026-11-21 12:00",
        "2026-11-22 12:00",
        [("2026-11-15 00:00+01:00", "2026-11-22 00:00+01:00", "2026-11-21 00:00+01:00")],
    ),
    (
        tumble("month"),
        "2028-02-02 00:00",
        "2028-03-01 00:00",
        [("2028-02-01 00:00+01:00", "2028-03-01 00:00+01:00", "2028-02-01 00:00+01:00")],
    ),
    (
        cumulate("month", "12h"),  # every twelve hours of UTC, and the month's end
        "2026-10-31 12:00",
        "2026-11-01 02:00",
        [
            ("2026-10-01 00:00+02:00", "2026-10-31 13:00+01:00", "2026-10-31 01:00+01:00"),
            ("2026-10-01 00:00+02:00", "2026-11-01 00:00+01:00", "2026-10-31 13:00+01:00"),
            ("2026-11-01 00:00+01:00", "2026-11-01 01:00+01:00", "2026-11-01 00:00+01:00"),
        ],
    ),
]


@pytest.mark.parametrize(("window", "after", "upto", "expected"), SENTENCES)
def test_windows_in_amsterdam(clock, window, after, upto, expected) -> None:
    here = clock("Europe/Amsterdam")
    spans = windows_for(window, AMSTERDAM).closing(here.at(after), here.at(upto))
    assert [tuple(here.text(instant) for instant in row) for row in rows(spans)] == expected


def test_n_day_windows_end_on_the_week_start_whatever_the_zone(clock) -> None:
    for zone, week_start in [("America/Sao_Paulo", 6), ("Asia/Kathmandu", 2), ("UTC", 0)]:
        spans = windows_for(hop("7d", "7d"), Calendar(zone, week_start)).closing(0, 55 * 365 * DAY_US)
        assert {clock(zone).wall(end).weekday() for end in spans.end_us.tolist()} == {week_start}


def test_a_million_windows_are_enumerated_at_once() -> None:
    windows = windows_for(hop("30d", "1m"), AMSTERDAM)
    spans = windows.closing(0, 1_000_000 * MINUTE_US)
    assert len(spans) == 1_000_000


@pytest.mark.parametrize("window", [tumble("day"), tumble("1d"), cumulate("day", "1h"), cumulate("month", "1d")])
def test_a_date_that_the_clocks_skip_has_no_window(clock, window) -> None:
    here = clock("Pacific/Apia")  # went from 2011-12-29 24:00 to 2011-12-31 00:00
    windows = windows_for(window, Calendar("Pacific/Apia"))
    spans = windows.closing(here.at("2011-12-28"), here.at("2012-01-03"))
    assert (spans.start_us < spans.end_us).all()
    assert (np.diff(spans.end_us) > 0).all()
    assert spans.publish_us[1:].tolist() == spans.end_us[:-1].tolist()
    assert here.at("2011-12-31") in spans.end_us.tolist()
