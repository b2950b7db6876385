"""Protocol rule 11 for events that come late: what an event on time would have shown, a late one shows."""

from __future__ import annotations

from tests.engine.rig import HOUR, T0, Rig, end, order, planned, shop

HOURLY = "  sales: {metric: revenue, group_by: [region], window: {type: tumble, size: 1h}}\n"


def sent(*hours: int) -> Rig:
    rig = Rig(planned(shop(HOURLY)), partitions=1)
    for hour in hours:
        rig.send(0, [order(T0 + hour * HOUR)])
        rig.flush(0)
        rig.publish()
    return rig


def test_rule_11_a_late_event_shows_its_series_once_more_in_the_next_window_that_had_closed_without_it() -> None:
    late, on_time = sent(0, 6, 3), sent(0, 3, 6)
    found = {key: (value["samples"], value["value"]) for key, value in late.newest("sales").items()}
    assert found == {key: (value["samples"], value["value"]) for key, value in on_time.newest("sales").items()}
    after = late.newest("sales")["EU", end(5)]
    assert (after["samples"], after["state"], after["revision"]) == (0, "closed", 1)


def test_rule_11_a_second_late_event_changes_nothing_in_the_next_window() -> None:
    rig = sent(0, 6, 3, 3)
    after = rig.newest("sales")["EU", end(5)]
    assert (after["samples"], after["state"], after["revision"]) == (0, "closed", 1)
    assert rig.newest("sales")["EU", end(4)]["samples"] == 2
