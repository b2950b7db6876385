"""Zones as tables agree with the standard library, and convert as protocol rule 10 says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.event_time.zones import zone, zone_names

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
END_OF_2199 = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

ZONES = st.sampled_from(sorted(zone_names()))
# Mostly close to changes of clocks, where the errors are.
INSTANTS = st.integers(0, END_OF_2199 - 1)


def instants_of(name: str) -> st.SearchStrategy[int]:
    changes = zone(name).changes_us.tolist()
    if not changes:
        return INSTANTS
    near = st.builds(
        lambda change, hours: change + hours, st.sampled_from(changes), st.integers(-26 * HOUR_US, 26 * HOUR_US)
    )
    return st.one_of(near, st.sampled_from(changes), INSTANTS).filter(lambda instant: 0 <= instant < END_OF_2199)


@given(st.data(), ZONES)
def test_the_wall_clock_is_that_of_the_standard_library_in_every_zone(clock, data, name) -> None:
    instant = data.draw(instants_of(name))
    wall = int(zone(name).to_local(np.array([instant]))[0])
    assert datetime(1970, 1, 1) + timedelta(microseconds=wall) == clock(name).wall(instant)


@given(st.data(), ZONES)
def test_rule_10_nonexistent_is_the_first_instant_after_the_gap_and_repeated_is_the_first(clock, data, name) -> None:
    wall = clock(name).wall(data.draw(instants_of(name))) + timedelta(
        microseconds=data.draw(st.sampled_from([0, -HOUR_US, HOUR_US, 30 * MINUTE_US, -30 * MINUTE_US, 1, -1]))
    )
    if not datetime(1970, 1, 3) < wall < datetime(2199, 12, 29):
        return
    local = (wall - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    assert zone(name).to_utc(np.array([local])).tolist() == [clock(name).at(wall)]


SENTENCES = [
    # zone, wall time, the instant it stands for
    ("Europe/Amsterdam", "2026-03-29 01:59", "2026-03-29 01:59+01:00"),
    ("Europe/Amsterdam", "2026-03-29 02:00", "2026-03-29 03:00+02:00"),  # does not exist
    ("Europe/Amsterdam", "2026-03-29 02:59", "2026-03-29 03:00+02:00"),
    ("Europe/Amsterdam", "2026-10-25 02:30", "2026-10-25 02:30+02:00"),  # twice
    ("Europe/Amsterdam", "2026-10-25 03:00", "2026-10-25 03:00+01:00"),
    ("America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04 01:00-02:00"),  # no midnight
    ("America/Sao_Paulo", "2018-02-17 23:30", "2018-02-17 23:30-02:00"),  # twice
    ("America/Sao_Paulo", "2018-02-18 00:00", "2018-02-18 00:00-03:00"),
    ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-04 02:30+11:00"),  # half an hour is skipped
    ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-05 01:45+11:00"),  # and comes twice
    ("Asia/Kathmandu", "1986-01-01 00:07", "1986-01-01 00:15+05:45"),
    ("Pacific/Apia", "2011-12-30 12:00", "2011-12-31 00:00+14:00"),  # the whole day is skipped
    ("UTC", "2026-03-29 02:30", "2026-03-29 02:30+00:00"),
]


@pytest.mark.parametrize(("name", "wall", "instant"), SENTENCES)
def test_rule_10_what_a_wall_time_stands_for(clock, name, wall, instant) -> None:
    local = (datetime.fromisoformat(wall) - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    found = int(zone(name).to_utc(np.array([local]))[0])
    assert clock(name).text(found) == instant


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("UTC", 60),
        ("Europe/Amsterdam", 60),
        ("America/Sao_Paulo", 60),
        ("Asia/Kolkata", 30),
        ("Australia/Lord_Howe", 30),
        ("Asia/Kathmandu", 15),
        ("America/St_Johns", 30),
    ],
)
def test_rule_10_days_are_made_of_panes_of_the_gcd_of_an_hour_and_the_offsets(name, minutes) -> None:
    assert zone(name).midnight_alignment_us == minutes * MINUTE_US


def test_before_1970_the_offset_of_1970_holds_so_that_panes_stay_aligned() -> None:
    amsterdam = zone("Europe/Amsterdam")
    assert amsterdam.to_local(np.array([-(10**15)])).tolist() == [-(10**15) + HOUR_US]


@pytest.mark.parametrize("name", ["", "Europe/Atlantis", "../../etc/passwd", "europe/amsterdam", "zones"])
def test_what_is_no_time_zone_is_refused(name) -> None:
    with pytest.raises(ValueError, match="IANA name"):
        zone(name)
