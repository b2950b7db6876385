"""The report of a backtest as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from engine.catalog.model import Catalog, Kpi
from streamgauge.backtest.firings import Firing
from streamgauge.backtest.incidents import Incident
from streamgauge.backtest.plots import plot
from streamgauge.backtest.replay import Replay
from streamgauge.backtest.report import AlertReport, Report, Span
from streamgauge.backtest.table import cells, columns

_LISTED = 50  # firings of an alert
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
body { color: #1c1c1c; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85rem }
table { display: block; overflow-x: auto }
th, td { text-align: right; padding: 0.2rem 0.6rem; border-bottom: 1px solid #ddd; white-space: nowrap }
th:nth-child(-n+2), td:nth-child(-n+2), .firings td, .firings th { text-align: left }
.firings td:last-child { white-space: normal }
img { width: 100%; height: auto }
h2 { margin: 2.5rem 0 0.25rem }
p.note { color: #555 }
"""


def page(
    report: Report,
    replay: Replay,
    catalog: Catalog,
    found: Sequence[Firing],
    incidents: Sequence[Incident],
    span: Span,
) -> str:
    """A section with a plot for each KPI that has alerts."""
    title = f"Backtest of the alerts of {report.catalog}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>From {report.begin} to {report.end}: {sum(report.events.values()):,} events, "
        f"{sum(one.pages for one in report.alerts):,} pages, "
        f"{sum(one.at_night for one in report.alerts):,} of them at night ({report.night}).</p>",
        _table(report),
        *(f"<p>No alert saw: {escape(missed)}</p>" for missed in report.missed),
        '<p class="note">Shaded: firing, the paler the shade the less it told (muted or silenced). Dashed: the target.'
        " Dotted: bounds, with the band up to where the alert ends. Black, below: labelled incidents.</p>",
    ]
    for kpi in catalog.kpis.values():
        parts += _section(kpi, report, replay, found, incidents, span)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(report: Report) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns(report))
    rows = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in cells(one, report))}</tr>" for one in report.alerts
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _section(
    kpi: Kpi, report: Report, replay: Replay, found: Sequence[Firing], incidents: Sequence[Incident], span: Span
) -> list[str]:
    alerts = [one for one in report.alerts if one.kpi == kpi.name]
    if not alerts:
        return []
    parts = [f'<h2 id="{escape(kpi.name)}">{escape(kpi.title or kpi.name)}</h2>']
    parts += [f"<p>{escape(kpi.description)}</p>"] if kpi.description else []
    values = replay.values(kpi.name)
    if values is None or values.is_empty():
        parts.append("<p>It had no values.</p>")
    else:
        of_kpi = [one for one in found if one.change.kpi == kpi.name]
        image, said = plot(kpi, values, of_kpi, [one for one in incidents if one.kpi == kpi.name], span)
        parts.append(f'<img alt="{escape(said)}" src="data:image/svg+xml;base64,{base64.b64encode(image).decode()}">')
    return [*parts, *map(_firings, alerts)]


def _firings(one: AlertReport) -> str:
    said = f"{one.alert} ({one.severity}): {one.condition}, for {one.patience}"
    if one.evaluator != "engine":
        return f"<p>{escape(said)}. It is evaluated by Prometheus, and was not replayed.</p>"
    if not one.firings:
        return f"<p>{escape(said)}. It did not fire.</p>"
    names = ("where", "fired", "resolved", "told", "why not", "reason")
    rows = []
    for each in one.firings[:_LISTED]:
        where = ", ".join(f"{name}={value}" for name, value in each.dims.items())
        why = each.muted_by and f"muted by {each.muted_by}"
        why = why or (each.silenced_by and f"silenced by {each.silenced_by}")
        shown = (where, each.fired, each.resolved, each.paged, why, each.reason)
        rows.append(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in shown)}</tr>")
    more = f"<p>And {len(one.firings) - _LISTED:,} more.</p>" if len(one.firings) > _LISTED else ""
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f"<details><summary>{escape(said)}: fired {one.fired:,} times</summary>"
        f'<table class="firings"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>{more}</details>'
    )


def _cell(value: object) -> str:
    return "-" if value is None else escape(str(value))
