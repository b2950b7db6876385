"""The table of a report, for the terminal and for the page."""

from __future__ import annotations

from streamgauge.backtest.report import AlertReport, Report

_COLUMNS = ("kpi", "alert", "pages", "a month", "at night", "flapping", "muted", "silenced", "firing", "longest")
_OF_INCIDENTS = ("detected", "missed", "false", "after")


def columns(report: Report) -> list[str]:
    """The headings."""
    return [*_COLUMNS, "first", "last", *(_OF_INCIDENTS if _labelled(report) else ())]


def cells(one: AlertReport, report: Report) -> list[object]:
    """What stands below them for an alert; None where there is nothing to say."""
    if one.evaluator != "engine":
        return [one.kpi, one.alert, *[None] * (len(columns(report)) - 2)]
    shown: list[object] = [one.kpi, one.alert, one.pages, one.pages_a_month, one.at_night, one.flapping]
    shown += [one.muted, one.silenced, span(one.firing_seconds), span(one.longest_seconds)]
    shown += [one.first and one.first[:16], one.last and one.last[:16]]
    if _labelled(report):
        shown += [one.detected, one.missed, one.false, span(one.detect_seconds)]
    return shown


def span(seconds: int | None) -> str | None:
    """``3d 4h``: the two largest units."""
    if seconds is None:
        return None
    parts = []
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "m")):
        count, seconds = divmod(seconds, unit)
        if count:
            parts.append(f"{count}{name}")
    return " ".join(parts[:2]) or "0"


def _labelled(report: Report) -> bool:
    return any(one.detected is not None for one in report.alerts)
