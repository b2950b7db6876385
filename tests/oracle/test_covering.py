"""The covering catalog is one that the engine loads, and both readers of it see the same."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from engine.catalog.loader import parse
from engine.catalog.model import AggregationName, Cumulate, Hop, Tumble
from tests.oracle.covering import covering_yaml
from tests.oracle.yaml_catalog import read_catalog


def test_the_loader_takes_it_and_reads_what_the_oracle_reads() -> None:
    loaded = parse([("covering.yaml", covering_yaml())])
    assert loaded.problems == ()
    assert loaded.catalog is not None
    assert replace(loaded.catalog, text="") == replace(read_catalog(covering_yaml()), text="")


def test_every_aggregation_meets_every_kind_of_window() -> None:
    catalog = read_catalog(covering_yaml())
    met = {
        (catalog.metrics[kpi.metric].agg, type(kpi.window), isinstance(kpi.window, Tumble) and kpi.window.grain is None)
        for kpi in catalog.kpis.values()
        if kpi.metric is not None
    }
    for agg in get_args(AggregationName):
        for window in ((Tumble, True), (Tumble, False), (Hop, False), (Cumulate, False)):
            assert (agg, *window) in met
