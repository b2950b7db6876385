"""One plot of a KPI: its values, target and bounds, and when its alerts fired."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import matplotlib
import numpy as np
import polars as pl
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from engine.alerts.verdicts import whole_grains
from engine.catalog.alerting import Threshold
from engine.catalog.model import Kpi
from engine.event_time.zones import Times
from streamgauge.backtest.firings import Firing
from streamgauge.backtest.incidents import Incident
from streamgauge.backtest.report import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES: Final = 4  # of a KPI with dimensions: those that fired most
COLUMNS: Final = 600  # of more values than this, each column shows the lowest and the highest
_LINES: Final = ("#1f5fa8", "#7a3e9d", "#00796b", "#8a6d00")
_SHADES: Final = {"critical": "#c62828", "warning": "#ef8f00", "info": "#5c6bc0"}
_SETTINGS: Final = {"svg.fonttype": "none", "svg.hashsalt": "streamgauge", "font.family": "sans-serif", "font.size": 9}


def plot(
    kpi: Kpi, values: pl.DataFrame, found: Sequence[Firing], incidents: Sequence[Incident], span: Span
) -> tuple[bytes, str]:
    """An SVG image, and what it shows in words. ``values`` as `Replay.values` gives them; of a grain to date the
    finished ones are drawn.
    """
    ends = values["window_end"]
    rows = values.filter(whole_grains(kpi.window, kpi.calendar, ends.to_numpy())) if len(ends) else values
    rows = rows.filter(pl.col("window_end").is_between(span.from_us, span.to_us))
    rows = rows.unique(["dims", "window_end"], keep="last", maintain_order=True).sort("window_end", maintain_order=True)
    shown = _series(rows, found)
    with matplotlib.rc_context(_SETTINGS):  # type: ignore[arg-type]  # its keys are a very long literal
        figure = Figure(figsize=(10, 3.1), layout="constrained")
        axes = figure.add_subplot()
        _firings(axes, [one for one in found if _dims(one) in shown], span)
        for number, dims in enumerate(shown):
            _line(axes, rows.filter(pl.col("dims") == dims), _LINES[number], dims, kpi)
        _bounds(axes, kpi)
        for one in incidents:
            axes.axvspan(_date(one.from_us), _date(one.to_us), ymax=0.04, color="black", lw=0)  # type: ignore[arg-type]
        axes.set_xlim(_date(span.from_us), _date(span.to_us))  # type: ignore[arg-type]
        axes.set_ylabel(kpi.unit or "")
        axes.grid(alpha=0.25)
        locator = AutoDateLocator(tz=_zone(kpi))  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=_zone(kpi)))  # type: ignore[no-untyped-call]
        if axes.get_legend_handles_labels()[1]:
            figure.legend(loc="outside lower center", fontsize=8, ncols=4, frameon=False)
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    whose = f" of {', '.join(shown)}" if kpi.group_by else ""
    return written.getvalue(), f"{kpi.name}{whose}: {rows.height:,} values, {len(found):,} firings"


def _series(rows: pl.DataFrame, found: Sequence[Firing]) -> list[str]:
    """The key forms of the series to draw."""
    counts: dict[str, int] = {}
    for one in found:
        counts[_dims(one)] = counts.get(_dims(one), 0) + 1
    fired = sorted(counts, key=lambda dims: (-counts[dims], dims))
    samples = rows.group_by("dims").agg(pl.col("samples").sum()).sort(["samples", "dims"], descending=[True, False])
    largest = [dims for dims in samples["dims"].to_list() if dims not in counts]
    return [*fired, *largest][:SERIES]


def _dims(one: Firing) -> str:
    return one.key.split("|", 2)[2]


def _line(axes: Axes, rows: pl.DataFrame, colour: str, dims: str, kpi: Kpi) -> None:
    name = dims if kpi.group_by else "value"
    x: Times = rows["window_end"].to_numpy()
    y = rows["value"].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    if len(x) > COLUMNS:
        edges = np.linspace(0, len(x), COLUMNS + 1).astype(np.int64)
        parts = [y[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
        low, high = (np.array([f(part) for part in parts]) for f in (np.fmin.reduce, np.fmax.reduce))
        axes.fill_between(_dates(x[edges[:-1]]), low, high, color=colour, lw=0.5, label=name)
    else:
        axes.plot(_dates(x), y, color=colour, lw=1, marker="." if len(x) < 60 else "", label=name)
    target = rows["target"].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    if np.isfinite(target).any():
        axes.step(
            _dates(x),
            target,
            color=colour,
            lw=1,
            ls="--",
            where="post",
            label=f"target of {name}" if kpi.group_by else "target",
        )


def _bounds(axes: Axes, kpi: Kpi) -> None:
    """A line at each bound of the rules, the band up to where the alert ends; and the band of an objective."""
    for rule in kpi.alerts:
        if not isinstance(rule.when, Threshold):
            continue
        for bound, recover in ((rule.when.lower, rule.when.recover_lower), (rule.when.upper, rule.when.recover_upper)):
            if bound is not None:
                axes.axhline(float(bound), color=_SHADES[rule.severity], lw=1, ls=":")
                axes.axhspan(float(bound), float(bound if recover is None else recover), color="grey", alpha=0.15, lw=0)
    for objective in kpi.objectives:
        if objective.op == "between" and objective.upper is not None and not objective.where:
            axes.axhspan(float(objective.value), float(objective.upper), color="#2e7d32", alpha=0.08, lw=0)


def _firings(axes: Axes, found: Sequence[Firing], span: Span) -> None:
    for one in found:
        until = span.to_us if one.ended_us is None else one.ended_us
        begin, end = _date(max(one.fired_us, span.from_us)), _date(until)
        told = one.paged_us is not None
        axes.axvspan(begin, end, color=_SHADES[one.change.severity], alpha=0.3 if told else 0.1, lw=0.6)  # type: ignore[arg-type]


def _date(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC)


def _dates(times: Times) -> Any:
    return times.astype("datetime64[us]")


def _zone(kpi: Kpi) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(kpi.calendar.timezone)
