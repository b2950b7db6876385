"""What can be chosen above a dashboard: where the metrics are, whose they are, which series, how many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
    VariableType,
)

from sinks import names
from sinks.grafana.queries import JOB, TOP, chosen, dimension_variable, of_kpis, selector

DATASOURCE: Final = "datasource"
PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid=f"${{{DATASOURCE}}}")
_EVERYTHING: Final = ".*"
_TOPS: Final = ("5", "10", "20", "50")
_TOP: Final = "10"


def common_variables() -> list[VariableModel]:
    return [
        VariableModel(
            type_val=VariableType.DATASOURCE, name=DATASOURCE, label="Prometheus", query="prometheus",
            current=VariableOption(text="Prometheus", value="prometheus"),
        ),
        _query(JOB, "Job", f"label_values({names.BUILD_INFO}, {JOB})"),
    ]  # fmt: skip


def dimension_variables(kpi: str, dimensions: Sequence[str]) -> list[VariableModel]:
    """One for each dimension, of the values that go with what is chosen before it; and how many series are shown."""
    found = []
    for place, dimension in enumerate(dimensions):
        seen = selector(names.KPI_SAMPLES, of_kpis([kpi]), *chosen(dimensions[:place]))
        found.append(_query(dimension_variable(dimension), dimension, f"label_values({seen}, {dimension})"))
    if dimensions:
        options = [VariableOption(selected=number == _TOP, text=number, value=number) for number in _TOPS]
        found.append(
            VariableModel(
                type_val=VariableType.CUSTOM, name=TOP, label="Series", query=",".join(_TOPS), options=options,
                current=VariableOption(text=_TOP, value=_TOP), allow_custom_value=False,
            )
        )  # fmt: skip
    return found


def _query(name: str, label: str, query: str) -> VariableModel:
    return VariableModel(
        type_val=VariableType.QUERY, name=name, label=label, definition=query,
        query={"qryType": 1, "query": query, "refId": f"variable-{name}"}, datasource=PROMETHEUS,
        refresh=VariableRefresh.ON_TIME_RANGE_CHANGED, sort=VariableSort.NATURAL_ASC,
        multi=True, include_all=True, all_value=_EVERYTHING, current=VariableOption(text="All", value="$__all"),
    )  # fmt: skip
