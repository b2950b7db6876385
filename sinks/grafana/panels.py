"""Panels of Grafana's core, each by what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import bargauge, common, prometheus, stat, statetimeline, table, text, timeseries
from grafana_foundation_sdk.models.dashboard import (
    DashboardFieldConfigSourceOverrides,
    DashboardLink,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColor,
    FieldConfig,
    FieldConfigSource,
    MatcherConfig,
    Panel,
    ThresholdsConfig,
    ValueMapping,
)

from sinks.grafana.palette import TEXT, fixed, status_words
from sinks.grafana.variables import PROMETHEUS

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MUTED_OPACITY: Final = 12


@dataclass(frozen=True, slots=True)
class Look:
    """How numbers are written and coloured."""

    unit: str = "none"
    decimals: int | None = None
    color: FieldColor | None = None
    mappings: Sequence[ValueMapping] = ()
    thresholds: ThresholdsConfig | None = None
    links: Sequence[DashboardLink] = ()

    def properties(self) -> dict[str, Any]:
        """As an override's."""
        found: dict[str, Any] = {"unit": self.unit}
        if self.decimals is not None:
            found["decimals"] = self.decimals
        if self.color is not None:
            found["color"] = self.color
        if self.mappings:
            found["mappings"] = list(self.mappings)
        return found

    def defaults(self) -> FieldConfig:
        return FieldConfig(
            unit=self.unit,
            decimals=self.decimals,
            color=self.color,
            mappings=list(self.mappings) or None,
            thresholds=self.thresholds,
            links=list(self.links) or None,
        )


STATUS: Final = Look(mappings=status_words(), color=fixed(TEXT))


@dataclass(frozen=True, slots=True)
class Query:
    """One query. `name` is what its series are called; `look` and `style` are of its series alone."""

    expr: str
    name: str = ""
    look: Look | None = None
    style: Mapping[str, Any] | None = None


def link(title: str, url: str, *, new_tab: bool = False, variables: bool = False) -> DashboardLink:
    """A link above a dashboard, or of a panel's values. With `variables` it takes along what is chosen, but the time:
    each dashboard opens with that which suits it.
    """
    made = DashboardLink(title=title, url=url, target_blank=new_tab, include_vars=variables)
    setattr(made, "placement", None)  # noqa: B010  # else it is hidden in a menu; the model has no other value
    return made


def stats(
    title: str,
    queries: Sequence[Query],
    look: Look,
    *,
    sparkline: bool = False,
    named: bool = False,
    upright: bool = False,
    **panel: Any,
) -> Panel:
    """Numbers: one with its course behind it, or several now."""
    options = stat.Options(
        graph_mode=common.BigValueGraphMode.AREA if sparkline else common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.VALUE,
        text_mode=common.BigValueTextMode.VALUE_AND_NAME if named else common.BigValueTextMode.VALUE,
        orientation=common.VizOrientation.HORIZONTAL if upright else common.VizOrientation.VERTICAL,
        reduce_options=_last(),
    )
    return _panel("stat", title, queries, look, options, instant=not sparkline, **panel)


def bars(title: str, queries: Sequence[Query], look: Look, **panel: Any) -> Panel:
    """One bar a series, now."""
    options = bargauge.Options(
        display_mode=common.BarGaugeDisplayMode.BASIC,
        orientation=common.VizOrientation.HORIZONTAL,
        name_placement=common.BarGaugeNamePlacement.LEFT,
        reduce_options=_last(),
    )
    return _panel("bargauge", title, queries, look, options, instant=True, **panel)


def lines(
    title: str, queries: Sequence[Query], look: Look, *, bars_: bool = False, stacked: bool = False, **panel: Any
) -> Panel:
    """Courses over time; with thresholds, bands behind them."""
    custom = timeseries.FieldConfig(
        draw_style=common.GraphDrawStyle.BARS if bars_ else common.GraphDrawStyle.LINE,
        line_width=2,
        fill_opacity=_MUTED_OPACITY if stacked or bars_ else 0,
        show_points=common.VisibilityMode.AUTO,  # a lone point is no line
        stacking=common.StackingConfig(mode=common.StackingMode.NORMAL) if stacked else None,
    )
    if look.thresholds is not None:
        custom.thresholds_style = common.GraphThresholdsStyleConfig(
            mode=common.GraphThresholdsStyleMode.DASHED_AND_AREA
        )
    options = timeseries.Options(
        legend=common.VizLegendOptions(
            display_mode=common.LegendDisplayMode.TABLE,
            placement=common.LegendPlacement.BOTTOM,
            show_legend=True,
            calcs=["lastNotNull"],
        ),
        tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING),
    )
    return _panel("timeseries", title, queries, look, options, custom=custom, **panel)


def states(title: str, queries: Sequence[Query], **panel: Any) -> Panel:
    """The status of each series over time."""
    options = statetimeline.Options(show_value=common.VisibilityMode.AUTO, merge_values=True, row_height=0.8)
    custom = statetimeline.FieldConfig(fill_opacity=80, line_width=0, span_nulls=False)
    return _panel("state-timeline", title, queries, STATUS, options, custom=custom, **panel)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the field that a query or a label gives, its heading, how it is written."""

    field: str
    title: str
    look: Look | None = None
    style: Mapping[str, Any] | None = None


def rows(
    title: str, queries: Sequence[Query], columns: Sequence[Column], *, hidden: Sequence[str] = (), **panel: Any
) -> Panel:
    """The series of all queries side by side, joined by their labels; `columns` in order, `hidden` labels left out."""
    panel_ = _panel(
        "table",
        title,
        queries,
        Look(),
        table.Options(),
        custom=table.FieldConfig(),
        instant=True,
        as_table=True,
        **panel,
    )
    assert panel_.field_config is not None
    panel_.field_config.overrides = [
        _override("byName", column.title, _properties(column.look, column.style))
        for column in columns
        if column.look is not None or column.style
    ]
    panel_.transformations = [
        DataTransformerConfig(id_val="merge", options={}),
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {name: True for name in ("Time", *hidden)},
                "indexByName": {column.field: index for index, column in enumerate(columns)},
                "renameByName": {column.field: column.title for column in columns},
            },
        ),
    ]
    return panel_


def result_of(place: int, queries: Sequence[Query]) -> str:
    """The field with the numbers of a query, in a table of several."""
    return f"Value #{_LETTERS[place]}" if len(queries) > 1 else "Value"


def note(markdown: str, title: str = "") -> Panel:
    return Panel(type_val="text", title=title, options=text.Options(mode=text.TextMode.MARKDOWN, content=markdown))


def rule_alerts(title: str, label_filter: str, **panel: Any) -> Panel:
    """What Prometheus' rules raise and Grafana lists: of all sources, by label. The SDK has no model of its options."""
    states_ = {"firing": True, "pending": True, "recovering": True, "noData": False, "normal": False, "error": True}
    options = {
        "viewMode": "list", "groupMode": "default", "groupBy": [], "maxItems": 50, "sortOrder": 3,
        "dashboardAlerts": False, "alertName": "", "alertInstanceLabelFilter": label_filter,
        "showInactiveAlerts": False, "stateFilter": states_,
    }  # fmt: skip
    return Panel(type_val="alertlist", title=title, options=options, **panel)


def _panel(
    kind: str,
    title: str,
    queries: Sequence[Query],
    look: Look,
    options: object,
    *,
    custom: object = None,
    instant: bool = False,
    as_table: bool = False,
    **panel: Any,
) -> Panel:
    defaults = look.defaults()
    defaults.custom = custom
    targets: list[Dataquery] = [
        _target(_LETTERS[place], query, instant, as_table) for place, query in enumerate(queries)
    ]
    overrides = [
        _override("byFrameRefID", _LETTERS[place], _properties(query.look, query.style))
        for place, query in enumerate(queries)
        if query.look is not None or query.style
    ]
    config = FieldConfigSource(defaults=defaults, overrides=overrides)
    return Panel(
        type_val=kind,
        title=title,
        datasource=PROMETHEUS,
        targets=targets,
        options=options,
        field_config=config,
        **panel,
    )


def _target(letter: str, query: Query, instant: bool, as_table: bool) -> prometheus.Dataquery:
    return prometheus.Dataquery(
        ref_id=letter,
        expr=query.expr,
        datasource=PROMETHEUS,
        editor_mode=prometheus.QueryEditorMode.CODE,
        legend_format=query.name or None,
        format_val=prometheus.PromQueryFormat.TABLE if as_table else prometheus.PromQueryFormat.TIME_SERIES,
        instant=instant,
        range_val=not instant,
    )


def _properties(look: Look | None, style: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(look.properties() if look else {}), **(style or {})}


def _override(matcher: str, of: str, properties: Mapping[str, Any]) -> DashboardFieldConfigSourceOverrides:
    return DashboardFieldConfigSourceOverrides(
        matcher=MatcherConfig(id_val=matcher, options=of),
        properties=[DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()],
    )


def _last() -> common.ReduceDataOptions:
    """The very last number, be it NaN: an older one would pass for the present."""
    return common.ReduceDataOptions(calcs=["last"], fields="", values=False)


IN_ITS_COLOR: Final[Mapping[str, Any]] = {"custom.cellOptions": common.TableColorTextCellOptions()}
# Lines that go with the main one.
TARGET_STYLE: Final[Mapping[str, Any]] = {
    "color": fixed(TEXT),
    "custom.lineStyle": common.LineStyle(fill="dash", dash=[10, 6]),
    "custom.lineWidth": 1,
}
EARLIER_STYLE: Final[Mapping[str, Any]] = {
    "custom.lineStyle": common.LineStyle(fill="dot", dash=[2, 6]),
    "custom.lineWidth": 1,
}
